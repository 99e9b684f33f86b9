"""A judge whose model is served elsewhere: the same answers as in the process, and what is refused at loading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from prefstream import (
    Battle,
    ConfigError,
    JudgeFaultError,
    LoadError,
    PanelConfig,
    decode_preference,
    encode_battle,
    load_panel,
)
from prefstream.scoring.adapters.merge import merge_adapter
from prefstream.scoring.config import ModelJudgeConfig, RemoteJudgeConfig
from prefstream.scoring.encoding.template import Kind
from prefstream.scoring.golden.check import check_golden
from prefstream.scoring.golden.make import make_golden
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.loading.judge import load_judge
from prefstream.scoring.loading.remote import load_remote_judge
from prefstream.scoring.panel.combine import PanelAnswer
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.only import run_only
from tests.support.served import TOKEN, Serving, serve

VARIABLE = "THE_JUDGES_KEY"

ASK = """
import sys
from prefstream import Battle, load_panel

with load_panel(sys.argv[1]) as panel:
    [answer] = panel.score([Battle(id="1", prompt="Which?", response_a="This. ", response_b="That, of course.")])
print(answer.probabilities.model_a, "torch" in sys.modules)
"""

BATTLES = [
    Battle(id=str(index), prompt=("Which?",), response_a=("This. " * index,), response_b=("That, of course.",))
    for index in range(9)
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], dict[str, Any]]:
    """A tiny judge of each kind, in the process, and merged for a server beside it."""
    made: dict[Kind, dict[str, Any]] = {}

    def entry(kind: Kind) -> dict[str, Any]:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[kind] = make_tiny_judge(folder, "gemma2", kind)
            merge_adapter(folder / "adapter", folder / "merged", base=made[kind]["base"], dtype="float32")
        return made[kind]

    return entry


@pytest.fixture
def pairwise(entries: Callable[[Kind], dict[str, Any]]) -> dict[str, Any]:
    return entries("pairwise")


@pytest.fixture
def served(pairwise: dict[str, Any]) -> Iterator[Serving]:
    with serve(merged(pairwise)) as serving:
        yield serving


def merged(entry: dict[str, Any]) -> Path:
    return Path(entry["base"]).parent / "merged"


def remote(entry: dict[str, Any], url: str, **changed: Any) -> RemoteJudgeConfig:
    """The same judge, asked for over there."""
    described = {
        **{key: entry[key] for key in ("name", "base", "adapter", "max_length")},
        "kind": "remote",
        "url": url,
        "layout": entry["kind"],
        "patience_s": 0,
    }
    return RemoteJudgeConfig.model_validate(described | changed)


@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
def test_it_says_what_the_same_judge_says_in_the_process(entries: Callable[[Kind], dict[str, Any]], kind: Kind) -> None:
    entry = entries(kind)
    config = ModelJudgeConfig.model_validate(entry)
    local = load_judge(config, place_judges([config])[config.name])
    expected = local.score(local.encode(BATTLES)).probabilities
    with serve(merged(entry)) as serving:
        judge = load_remote_judge(remote(entry, serving.url))
        found = judge.score(judge.encode(BATTLES)).probabilities
        judge.close()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 1e-3, "battles that all judge alike would show nothing"


def test_a_pointwise_judge_tells_single_answers_scores(entries: Callable[[Kind], dict[str, Any]]) -> None:
    entry = entries("pointwise")
    config = ModelJudgeConfig.model_validate(entry)
    local = load_judge(config, place_judges([config])[config.name])
    answers = [(("Which?",), ("This.",)), (("Which?",), ("That, of course.",))]
    with serve(merged(entry)) as serving:
        judge = load_remote_judge(remote(entry, serving.url))
        found = judge.rewards(judge.encode_answers(answers))
        judge.close()
    np.testing.assert_allclose(found, local.rewards(local.encode_answers(answers)), atol=1e-5)


def test_a_panel_has_it_beside_a_judge_of_its_own(pairwise: dict[str, Any], served: Serving) -> None:
    there = remote(pairwise, served.url, name="there")
    panel = PanelConfig(judges=(ModelJudgeConfig.model_validate(pairwise), there), swap=True)
    with load_panel(panel) as loaded:
        [answer] = loaded.score(BATTLES[:1])
    assert isinstance(answer, PanelAnswer)
    here, remotely = answer.judges
    assert here.probabilities.model_a == pytest.approx(remotely.probabilities.model_a, abs=1e-3)


def test_its_provenance_says_who_served_what(pairwise: dict[str, Any], served: Serving) -> None:
    judge = load_remote_judge(remote(pairwise, served.url))
    said = judge.provenance
    judge.close()
    assert (said.kind, said.engine, said.served_model, said.device) == ("pairwise", "vllm 0.12.1", "judge", served.url)
    assert (said.base_hash, said.adapter_hash) == (None, None), "nobody here saw the weights"


def test_probabilities_in_place_of_logits_are_refused(pairwise: dict[str, Any], served: Serving) -> None:
    served.ignores_activation = True
    with pytest.raises(LoadError, match="gives probabilities where raw logits were asked for"):
        load_remote_judge(remote(pairwise, served.url))


def test_a_head_of_another_layout_is_refused(pairwise: dict[str, Any], entries: Callable[[Kind], Any]) -> None:
    refused = pytest.raises(LoadError, match="head has 2 outputs, and a judge of its layout has 3")
    with serve(merged(entries("pointwise"))) as serving, refused:
        load_remote_judge(remote(pairwise, serving.url))


def test_a_head_that_reads_more_than_the_last_token_is_refused(tmp_path: Path) -> None:
    entry = make_tiny_judge(tmp_path, "gemma2", "pointwise", pooling="answer")
    with pytest.raises(LoadError, match="pooling: answer, and vLLM gives it the last token's state"):
        load_remote_judge(remote(entry, "http://127.0.0.1:9"))


def test_a_model_that_is_not_served_is_refused_with_those_that_are(pairwise: dict[str, Any], served: Serving) -> None:
    with pytest.raises(LoadError, match="serves judge, and no another; set model"):
        load_remote_judge(remote(pairwise, served.url, model="another"))


def test_a_server_that_reads_less_than_the_judge_is_refused(pairwise: dict[str, Any], served: Serving) -> None:
    served.max_model_len = 100
    with pytest.raises(ConfigError, match="max_length is 256, and its server reads at most 100 tokens"):
        load_remote_judge(remote(pairwise, served.url))


def test_the_token_comes_from_the_environment(
    pairwise: dict[str, Any], served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.wanted_token = TOKEN
    with pytest.raises(LoadError, match="status 401; set the token that its server wants"):
        load_remote_judge(remote(pairwise, served.url))
    with pytest.raises(ConfigError, match=f"{VARIABLE} is not in the environment"):
        load_remote_judge(remote(pairwise, served.url, token_variable=VARIABLE))
    monkeypatch.setenv(VARIABLE, TOKEN)
    load_remote_judge(remote(pairwise, served.url, token_variable=VARIABLE)).close()


def test_a_password_has_no_place_in_a_panel_file(pairwise: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="which a panel file must not"):
        remote(pairwise, "http://me:secret@judge:8000")


def test_nobody_there_is_told_at_loading(pairwise: dict[str, Any]) -> None:
    with pytest.raises(LoadError, match=r"its server http://127\.0\.0\.1:9 /v1/models: ConnectError"):
        load_remote_judge(remote(pairwise, "http://127.0.0.1:9"))


@pytest.mark.parametrize("on_failure", ["stop", "degrade"])
def test_a_server_that_stays_away_ends_the_judge_as_the_panel_says(
    pairwise: dict[str, Any], served: Serving, on_failure: str
) -> None:
    there = remote(pairwise, served.url, name="there")
    judges = (ModelJudgeConfig.model_validate(pairwise), there)
    with load_panel(PanelConfig.model_validate({"judges": judges, "on_judge_failure": on_failure})) as panel:
        served.failures = [503]
        if on_failure == "stop":
            with pytest.raises(JudgeFaultError, match=r"judge there: .* status 503"):
                panel.score(BATTLES[:1])
        else:
            [answer] = panel.score(BATTLES[:1])
            assert isinstance(answer, PanelAnswer)
            assert [judge.name for judge in answer.judges] == [pairwise["name"]]
            assert panel.left_out == ("there",)


def test_in_an_installation_without_torch_it_answers_as_here_by_name_and_by_command(
    pairwise: dict[str, Any], served: Serving, tmp_path: Path
) -> None:
    judge = remote(pairwise, served.url)
    panel = tmp_path / "panel.yaml"
    panel.write_text(yaml.safe_dump({"judges": [judge.model_dump(mode="json")]}), encoding="utf-8")
    told = run_only(["remote"], ["-c", ASK, panel])
    assert told.returncode == 0, told.stderr
    probability, has_torch = told.stdout.split()
    file = tmp_path / "battles.jsonl"
    file.write_bytes(encode_battle(BATTLES[1]))
    scored = run_only(["remote"], ["score", file, "-o", "-", "--panel", panel])
    assert scored.returncode == 0, scored.stderr
    with load_panel(PanelConfig(judges=(judge,))) as here:
        [answer] = here.score(BATTLES[1:2])
    assert isinstance(answer, PanelAnswer)
    assert has_torch == "False"
    assert float(probability) == pytest.approx(answer.probabilities.model_a, abs=1e-6)
    preference = decode_preference(scored.stdout.encode())
    assert preference.probabilities.model_a == pytest.approx(answer.probabilities.model_a, abs=1e-6)


def test_its_known_answers_are_held_to_a_bound_alone(pairwise: dict[str, Any], served: Serving) -> None:
    """Its server promises no bits, and may be of another version tomorrow."""
    with load_panel(PanelConfig(judges=(remote(pairwise, served.url),))) as panel:
        golden = make_golden(panel, BATTLES, source="golden.jsonl", count=4, say=lambda _: None)
        served.garble = shifted(0.01)
        report = check_golden(panel, golden)
        assert report.passed
        assert report.findings[0].changed == 4
        served.garble = shifted(1.0)
        problem = check_golden(panel, golden).problem
    assert problem is not None
    assert "is off its known answers by " in problem
    assert "; a server of its own can explain 0.02 on average; " in problem


def shifted(by: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What a server says that computes otherwise."""

    def shift(answer: dict[str, Any]) -> dict[str, Any]:
        for row in answer["data"]:
            row["probs"][0] += by
        return answer

    return shift
