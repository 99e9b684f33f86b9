"""Every message that this version writes keeps to the schema of 1.1, as it was committed and as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import orjson
import pytest

from prefstream import JudgeFaultError, Panel, PanelAnswer, PanelConfig, load_panel
from prefstream.schemas import Battle, FileSource, KafkaSource, Preference, decode_preference, encode_preference
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.judges.prior import PriorJudge
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.priors import prior_entry

SCHEMAS: Final = [
    Path(__file__).parents[2] / "schemas" / "recorded" / "preference-1.1.schema.json",
    Path(__file__).parents[4] / "schemas" / "preference.schema.json",
]
BATTLES: Final = [
    Battle.model_validate(
        {
            "id": 1,
            "prompt": ["two plus two", "and three"],
            "response_a": ["# four", "- **five**"],
            "response_b": ["4", ""],
            "model_a": "one",
            "model_b": "two",
            "response_id_a": 17,
            "language": "English",
            "occurred_at": "2026-11-20T10:00:00+01:00",
        }
    ),
    Battle(id="empty", prompt="", response_a="", response_b=""),
]
CALIBRATED: Final = Calibration(temperature=1.5, tie_bias=0.25)


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A judge of every kind."""
    folder = tmp_path_factory.mktemp("judges")
    return [
        make_tiny_judge(folder / "pair", "llama", "pairwise", max_length=64),
        make_tiny_judge(folder / "point", "gemma3", "pointwise", weight=2.0, max_length=64),
        prior_entry("prior", (0.5, 0.25, 0.25)),
    ]


def preferences(panel: Panel, **settings: Any) -> Iterator[Preference]:
    sources: list[FileSource | KafkaSource] = [
        FileSource(file="battles.jsonl", line=1),
        KafkaSource(topic="battles", partition=0, offset=0),
    ]
    with one_torch_thread(), panel:
        answers = panel.score(BATTLES)
    for battle, source, answer in zip(BATTLES, sources, answers, strict=True):
        assert isinstance(answer, PanelAnswer)
        yield answer.to_preference(battle, source, **settings)


def fits(preference: Preference) -> dict[str, Any]:
    """The message, once it has kept to every schema."""
    written = encode_preference(preference)
    message: dict[str, Any] = orjson.loads(written)
    for path in SCHEMAS:
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.Draft202012Validator(orjson.loads(path.read_bytes()), format_checker=checker).validate(message)
    assert decode_preference(written) == preference
    return message


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("swap", [False, True])
def test_of_every_kind_of_judge(entries: list[dict[str, Any]], *, swap: bool, calibrated: bool) -> None:
    config = PanelConfig.model_validate({"judges": entries, "swap": swap})
    names = [entry["name"] for entry in entries]
    each = {name: CALIBRATED if calibrated else Calibration() for name in names[:2]}
    calibration = CalibrationFile(panel=each[names[0]], judges=each)
    with one_torch_thread():
        panel = load_panel(config, calibration=calibration)
    for message in map(fits, preferences(panel)):
        assert [judge["provenance"]["kind"] for judge in message["judges"]] == ["pairwise", "pointwise", "prior"]
        assert [judge["weight"] for judge in message["judges"]] == [0.25, 0.5, 0.25]
        assert ["uncalibrated" in judge for judge in message["judges"]] == [calibrated, calibrated, False]
        assert ["position_gap" in judge for judge in message["judges"]] == [swap] * 3
        assert {"uncertainty", "style", "panel"} <= message.keys()
        assert not {"adjusted", "recused", "review"} & message.keys()


def test_of_a_battle_that_says_much_and_of_one_that_says_nothing() -> None:
    config = PanelConfig.model_validate({"judges": [prior_entry("prior", (0.5, 0.25, 0.25))]})
    much, nothing = map(fits, preferences(load_panel(config)))
    named = {"model_a", "model_b", "language", "occurred_at"}
    assert {name: much[name] for name in named - {"occurred_at"}} == {
        "model_a": "one",
        "model_b": "two",
        "language": "English",
    }
    assert not named & nothing.keys()
    assert set(nothing["style"]["a"].values()) == {0}
    assert "17" not in str(much), "names of responses are not published"
    hidden, _ = map(fits, preferences(load_panel(config), publish_models=False))
    assert hidden.keys() == much.keys() - {"model_a", "model_b"}


class Broken(PriorJudge):
    """Fails for good."""

    def score(self, batch: JudgeBatch) -> Scores:
        raise JudgeFaultError(self.name, "broke", transient=False)


def test_of_a_panel_that_lost_a_judge(entries: list[dict[str, Any]]) -> None:
    first, second, third = PanelConfig.model_validate(
        {"judges": [prior_entry(name, (0.5, 0.25, 0.25)) for name in ("one", "two", "three")]}
    ).judges
    judges = [Broken(first), PriorJudge(second), PriorJudge(third)]  # type: ignore[arg-type]
    whole = Panel([PriorJudge(first), *judges[1:]])  # type: ignore[arg-type]
    for message in map(fits, preferences(Panel(judges, on_judge_failure="degrade"))):
        assert message["left_out"] == ["one"]
        assert [judge["weight"] for judge in message["judges"]] == [0.5, 0.5], "what is left shares the whole"
        assert message["panel"]["hash"] == whole.identity.hash, "of the panel as it was chosen"
    whole.close()


def test_of_judges_that_are_recused_and_of_a_panel_with_a_length_slope() -> None:
    config = PanelConfig.model_validate(
        {"judges": [prior_entry("own"), prior_entry("other", (0.5, 0.25, 0.25))], "recuse": {"own": ["ONE"]}}
    )
    named, nameless = map(fits, preferences(load_panel(config, calibration=CalibrationFile(length_slope=0.5))))
    assert named["recused"] == ["own"]
    assert [judge["weight"] for judge in named["judges"]] == [0.0, 1.0]
    assert named["adjusted"]["tie"] == named["probabilities"]["tie"]
    assert named["adjusted"]["model_a"] < named["probabilities"]["model_a"], "A is the longer"
    assert "recused" not in nameless
    assert nameless["adjusted"] == nameless["probabilities"], "its answers are empty"
