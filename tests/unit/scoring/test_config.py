"""The panel file: defaults, places of faults, and that nothing is silently accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prefstream import ConfigError, ModelJudgeConfig, PanelConfig, PriorJudgeConfig, load_panel_config
from prefstream.scoring.config import DEMO_BASES
from tests.support.priors import prior_entry

PRIOR = prior_entry()
COMMIT = "11c9b309abf73637e4b6f9a3fa1e92e615547819"
MODEL = {"name": "gemma", "kind": "pairwise", "base": "google/gemma-2-9b-it", "revision": COMMIT}


def write(folder: Path, panel: object) -> Path:
    path = folder / "panel.yaml"
    path.write_text(panel if isinstance(panel, str) else yaml.safe_dump(panel), encoding="utf-8")
    return path


def faults_of(folder: Path, panel: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_panel_config(write(folder, panel))
    return caught.value.errors


def only_fault_of(folder: Path, panel: object) -> str:
    (fault,) = faults_of(folder, panel)
    return fault


def test_a_panel_of_both_kinds_is_read(tmp_path: Path) -> None:
    config = load_panel_config(write(tmp_path, {"judges": [MODEL, PRIOR], "swap": True}))
    model, prior = config.judges
    assert isinstance(model, ModelJudgeConfig)
    assert isinstance(prior, PriorJudgeConfig)
    assert config.swap
    assert config.on_judge_failure == "stop"


def test_defaults_of_a_model_judge(tmp_path: Path) -> None:
    (judge,) = load_panel_config(write(tmp_path, {"judges": [MODEL]})).judges
    assert isinstance(judge, ModelJudgeConfig)
    assert (judge.device, judge.dtype, judge.quantization, judge.attention) == ("auto", "auto", "none", "auto")
    assert (judge.weight, judge.max_length, judge.micro_batch_tokens) == (1.0, 2048, None)
    assert not judge.allow_untrained


def test_a_list_of_devices_is_a_replica_on_each(tmp_path: Path) -> None:
    (judge,) = load_panel_config(write(tmp_path, {"judges": [{**MODEL, "device": ["cuda:0", "cuda:1", "cpu"]}]})).judges
    assert isinstance(judge, ModelJudgeConfig)
    assert judge.device == ("cuda:0", "cuda:1", "cpu")
    named = [(replica.name, replica.device) for replica in judge.replicas]
    assert named == [("gemma", "cuda:0"), ("gemma#2", "cuda:1"), ("gemma#3", "cpu")]


def test_a_judge_on_one_device_is_its_only_replica(tmp_path: Path) -> None:
    (judge,) = load_panel_config(write(tmp_path, {"judges": [{**MODEL, "device": "cuda:1"}]})).judges
    assert isinstance(judge, ModelJudgeConfig)
    assert judge.replicas == (judge,)


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:x", "cpu ", [], ["cuda:0", "tpu"], ["cuda:0", 1], 0, None, {"a": "cpu"}]
)
def test_what_is_no_device_is_refused_in_one_line(tmp_path: Path, device: Any) -> None:
    fault = only_fault_of(tmp_path, {"judges": [{**MODEL, "device": device}]})
    assert fault == (
        "judges[0].device: should be auto, cpu, cuda, or a card such as cuda:0; or a list of such devices, without auto"
    )


def test_auto_does_not_stand_in_a_list(tmp_path: Path) -> None:
    fault = only_fault_of(tmp_path, {"judges": [{**MODEL, "device": ["auto", "cuda:1"]}]})
    assert fault == "judges[0].device: auto is for one device; name each device of a list"


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        (PRIOR, "a prior computes nothing"),
        ({"name": "f", "kind": "features", "adapter": "here"}, "features are counted on the CPU"),
        ({"name": "r", "kind": "remote", "url": "http://judge:8000", "layout": "pairwise"}, "its server's to say"),
    ],
)
def test_a_device_of_a_judge_that_has_none_is_refused_with_the_reason(
    tmp_path: Path, judge: dict[str, Any], why: str
) -> None:
    fault = only_fault_of(tmp_path, {"judges": [{**judge, "device": ["cuda:0", "cuda:1"]}]})
    assert fault.startswith("judges[0]: device is for judges with weights here")
    assert why in fault


def test_paths_are_relative_to_the_panel_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "panels" / "adapters" / "gemma").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    judge = {**MODEL, "adapter": "adapters/gemma"}
    config = load_panel_config(write(tmp_path / "panels", {"judges": [judge], "calibration": "./panel.json"}))
    (read,) = config.judges
    assert isinstance(read, ModelJudgeConfig)
    assert read.adapter == str(tmp_path / "panels/adapters/gemma")
    assert config.calibration == str(tmp_path / "panels/panel.json")


def test_a_hub_id_stays_as_it_is(tmp_path: Path) -> None:
    (judge,) = load_panel_config(write(tmp_path, {"judges": [MODEL]})).judges
    assert isinstance(judge, ModelJudgeConfig)
    assert judge.base == "google/gemma-2-9b-it"


@pytest.mark.parametrize("base", DEMO_BASES)
def test_a_base_of_the_demo_is_named_as_recipes_and_adapters_name_it(tmp_path: Path, base: str) -> None:
    (judge,) = load_panel_config(
        write(tmp_path, {"judges": [{"name": "one", "kind": "pointwise", "base": base}]})
    ).judges
    assert isinstance(judge, ModelJudgeConfig)
    assert judge.base == base


@pytest.mark.parametrize(("key", "source"), [("base", "demo:mistral"), ("adapter", "demo:gemma")])
def test_what_is_no_base_of_the_demo_is_refused_with_those_that_are(tmp_path: Path, key: str, source: str) -> None:
    fault = only_fault_of(tmp_path, {"judges": [{**MODEL, key: source}]})
    assert fault == f"judges[0].{key}: {source} is unknown; the demo's bases are {', '.join(DEMO_BASES)}"


def test_the_demos_panel_is_named_demo() -> None:
    judges = [judge for judge in load_panel_config("demo").judges if isinstance(judge, ModelJudgeConfig)]
    assert [(judge.name, judge.kind, judge.base) for judge in judges] == [
        ("gemma", "pointwise", "demo:gemma"),
        ("smollm", "pointwise", "demo:smollm"),
    ]
    assert load_panel_config(Path("demo")) == load_panel_config("demo")


def test_a_hub_base_without_a_revision_is_refused(tmp_path: Path) -> None:
    judge = {key: value for key, value in MODEL.items() if key != "revision"}
    assert "judges[0].base: google/gemma-2-9b-it is no folder" in only_fault_of(tmp_path, {"judges": [judge]})


def test_a_hub_adapter_without_a_revision_is_refused(tmp_path: Path) -> None:
    fault = only_fault_of(tmp_path, {"judges": [{**MODEL, "adapter": "someone/adapter"}]})
    assert fault.startswith("judges[0].adapter: someone/adapter is no folder")
    assert "adapter_revision" in fault


def test_a_branch_is_no_pinned_revision(tmp_path: Path) -> None:
    assert only_fault_of(tmp_path, {"judges": [{**MODEL, "revision": "main"}]}).startswith("judges[0].revision:")


@pytest.mark.parametrize(
    ("panel", "expected"),
    [
        ({"judges": [{**MODEL, "devise": "cpu"}]}, "judges[0].devise: unknown key; did you mean device?"),
        ({"judges": [PRIOR], "swop": True}, "swop: unknown key; did you mean swap?"),
        (
            {"judges": [{**PRIOR, "simulate": {"seconds_per_batches": 1}}]},
            "judges[0].simulate.seconds_per_batches: unknown key; did you mean seconds_per_batch?",
        ),
        (
            {"judges": [{**MODEL, "shares": {"zzz": 1}}]},
            "judges[0].shares.zzz: unknown key; known here: prompt, response",
        ),
    ],
)
def test_an_unknown_key_names_its_place_and_the_nearest_known_one(tmp_path: Path, panel: object, expected: str) -> None:
    assert only_fault_of(tmp_path, panel) == expected


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": "two words"}, "judges[0].name:"),
        ({"weight": -1}, "judges[0].weight:"),
        ({"weight": float("nan")}, "judges[0].weight:"),
        ({"device": "gpu"}, "judges[0].device:"),
        ({"dtype": "fp8"}, "judges[0].dtype:"),
        ({"quantization": "2bit"}, "judges[0].quantization:"),
        ({"quantization": "8bit", "int8_threshold": -1}, "judges[0].int8_threshold:"),
        ({"quantization": "4bit", "quant_type": "int4"}, "judges[0].quant_type:"),
        ({"max_length": 0}, "judges[0].max_length:"),
        *(
            (
                {"micro_batch_tokens": tokens},
                "judges[0].micro_batch_tokens: should be a whole number, at least 1, or auto",
            )
            for tokens in (0, -1, 1.5, "all")
        ),
        ({"shares": {"prompt": 0}}, "judges[0].shares.prompt:"),
        ({"kind": "triwise"}, "judges[0].kind: unknown; give one of pairwise, pointwise, features, remote, prior"),
    ],
)
def test_a_wrong_value_names_its_place(tmp_path: Path, change: dict[str, Any], place: str) -> None:
    assert only_fault_of(tmp_path, {"judges": [{**MODEL, **change}, PRIOR]}).startswith(place)


@pytest.mark.parametrize("tokens", [1, 4096, "auto", None])
def test_the_tokens_of_a_pass_are_a_number_or_left_open(tmp_path: Path, tokens: object) -> None:
    (judge,) = load_panel_config(write(tmp_path, {"judges": [{**MODEL, "micro_batch_tokens": tokens}]})).judges
    assert isinstance(judge, ModelJudgeConfig)
    assert judge.micro_batch_tokens == tokens


@pytest.mark.parametrize(
    "settings",
    [
        {"quantization": "8bit", "int8_threshold": 0},
        {"quantization": "8bit", "int8_threshold": 4.5},
        {"quantization": "4bit", "quant_type": "fp4"},
        {"quantization": "8bit", "merge": "before_quantization"},
        {"quantization": "int8-dynamic"},
        {"quantization": "auto"},
    ],
)
def test_how_a_base_is_quantised_is_read(tmp_path: Path, settings: dict[str, Any]) -> None:
    (judge,) = load_panel_config(write(tmp_path, {"judges": [{**MODEL, "adapter": "./a", **settings}]})).judges
    assert judge.model_dump(include=set(settings)) == settings


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"int8_threshold": 6}, "int8_threshold: is for quantization: 8bit, and this is none; leave it out"),
        (
            {"quantization": "4bit", "int8_threshold": 0},
            "int8_threshold: is for quantization: 8bit, and this is 4bit; leave it out",
        ),
        (
            {"quantization": "8bit", "quant_type": "fp4"},
            "quant_type: is for quantization: 4bit, and this is 8bit; leave it out",
        ),
        (
            {"quantization": "4bit", "adapter": "./a", "merge": "before_quantization"},
            (
                "merge: before_quantization is for quantization: 8bit; 16 levels are too few for what an adapter adds, "
                "which rounding would undo; leave it out"
            ),
        ),
        (
            {"adapter": "./a", "merge": "before_quantization"},
            (
                "merge: before_quantization is for quantization: 8bit; into a base that is not quantised an adapter is "
                "merged anyway"
            ),
        ),
        (
            {"quantization": "int8-dynamic", "adapter": "./a", "merge": "before_quantization"},
            (
                "merge: before_quantization is for quantization: 8bit; into the base of an int8-dynamic judge an "
                "adapter is merged anyway"
            ),
        ),
        (
            {"quantization": "8bit", "allow_untrained": True, "merge": "before_quantization"},
            "merge: before_quantization needs an adapter; leave it out",
        ),
    ],
)
def test_how_a_base_is_quantised_must_fit_its_quantization(
    tmp_path: Path, settings: dict[str, Any], expected: str
) -> None:
    assert only_fault_of(tmp_path, {"judges": [{**MODEL, **settings}]}) == f"judges[0].{expected}"


def test_a_missing_kind_is_named(tmp_path: Path) -> None:
    assert only_fault_of(tmp_path, {"judges": [{"name": "x"}]}).startswith("judges[0].kind: is missing")


def test_probabilities_that_are_none_are_refused(tmp_path: Path) -> None:
    prior = {**PRIOR, "probabilities": {"model_a": 0.9, "model_b": 0.9, "tie": 0.9}}
    assert only_fault_of(tmp_path, {"judges": [prior]}).startswith(
        "judges[0].probabilities: should sum to 1 within 1e-06, not to "
    )


def test_equal_names_are_refused(tmp_path: Path) -> None:
    assert "2 judges are named prior" in only_fault_of(tmp_path, {"judges": [PRIOR, PRIOR]})


def test_a_panel_where_nobody_counts_is_refused(tmp_path: Path) -> None:
    assert "every weight is 0" in only_fault_of(tmp_path, {"judges": [{**PRIOR, "weight": 0}]})


def test_a_panel_without_judges_is_refused(tmp_path: Path) -> None:
    assert only_fault_of(tmp_path, {"judges": []}) == "judges: is empty; a panel needs at least one judge"


def test_who_is_recused_from_what_is_read(tmp_path: Path) -> None:
    patterns = {PRIOR["name"]: ["gemma-*", "gemini-*"]}
    assert load_panel_config(write(tmp_path, {"judges": [PRIOR], "recuse": patterns})).recuse == {
        PRIOR["name"]: ("gemma-*", "gemini-*")
    }
    assert load_panel_config(write(tmp_path, {"judges": [PRIOR]})).recuse == {}


@pytest.mark.parametrize(
    ("recuse", "expected"),
    [
        ({"priro": ["x"]}, "recuse.priro: no judge has this name; did you mean prior?"),
        ({"zzz": ["x"]}, "recuse.zzz: no judge has this name; known here: prior"),
        ({7: ["x"]}, "recuse[7].[key]: should be a text"),
        ({"prior": []}, "recuse.prior: is empty; give patterns for names of models, or leave the judge out"),
        ({"prior": [""]}, "recuse.prior[0]: should not be empty"),
        ({"prior": "gemma-*"}, "recuse.prior: should be a list"),
        ({"prior": [7]}, "recuse.prior[0]: should be a text"),
        (["prior"], "recuse: should be a mapping of keys to values"),
    ],
)
def test_a_wrong_recusal_names_its_place_and_the_nearest_judge(tmp_path: Path, recuse: object, expected: str) -> None:
    assert only_fault_of(tmp_path, {"judges": [{**PRIOR, "name": "prior"}], "recuse": recuse}) == expected


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    panel = {
        "judges": [{**MODEL, "devise": 1, "max_length": 0}, {**PRIOR, "weight": "x"}, PRIOR],
        "swop": 1,
        "recuse": {"nobody": ["x"], PRIOR["name"]: []},
    }
    places = [fault.split(":")[0] for fault in faults_of(tmp_path, panel)]
    assert sorted(places) == [
        "judges",
        "judges[0].devise",
        "judges[0].max_length",
        "judges[1].weight",
        "recuse.nobody",
        f"recuse.{PRIOR['name']}",
        "swop",
    ]


def test_the_message_names_the_file_and_every_fault(tmp_path: Path) -> None:
    path = write(tmp_path, {"judges": [{**MODEL, "devise": 1}], "swop": 1})
    with pytest.raises(ConfigError) as caught:
        load_panel_config(path)
    assert str(caught.value).splitlines()[0] == f"{path}: 2 errors"
    assert len(str(caught.value).splitlines()) == 3


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    text = "swap: true\njudges: []\nswap: false\n"
    assert only_fault_of(tmp_path, text) == "not YAML at line 3 column 1: key swap is given twice"


@pytest.mark.parametrize("text", ["", "[]", "3", "judges: {", "\x00", "judges: 3", "? [1]\n: 2"])
def test_what_is_no_panel_is_refused(tmp_path: Path, text: str) -> None:
    assert faults_of(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_panel_config(tmp_path / "none.yaml")


def test_a_panel_made_in_code_is_refused_as_a_file_is() -> None:
    """All that is wrong at once, in its parts too."""
    with pytest.raises(ConfigError) as caught:
        PanelConfig(judges=[{**PRIOR, "weight": "much"}, {"name": "g", "kind": "pairwise"}], swop=True)  # type: ignore[call-arg]
    assert caught.value.source == "PanelConfig"
    assert caught.value.errors == (
        "judges[0].weight: should be a number",
        "judges[1].base: is missing",
        "swop: unknown key; did you mean swap?",
    )


def test_the_config_is_frozen() -> None:
    config = PanelConfig.model_validate({"judges": [PRIOR]})
    with pytest.raises(ValidationError):
        config.swap = True  # type: ignore[misc]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["pairwise", "prior", "x/y"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["judges", "name", "kind", "base", "weight", "shares", "zz"]), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_yaml_is_read_or_refused_with_a_fault(tmp_path_factory: pytest.TempPathFactory, panel: object) -> None:
    path = write(tmp_path_factory.getbasetemp(), panel if not isinstance(panel, str) else [panel])
    try:
        load_panel_config(path)
    except ConfigError as error:
        assert error.errors  # noqa: PT017 - valid panels must pass too
