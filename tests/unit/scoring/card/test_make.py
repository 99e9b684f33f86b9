"""A panel's card is made of what its judges said before any calibration, on prompts that nothing was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from prefstream.schemas import (
    OUTCOMES,
    JudgeOpinion,
    PanelIdentity,
    Preference,
    Probabilities,
    Provenance,
    encode_preference,
)
from prefstream.scoring.calibration.cross_fit import calibrate_panel
from prefstream.scoring.card.card import Card
from prefstream.scoring.card.make import main, make_card, uncalibrated
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.evaluation.metrics import log_loss
from prefstream.scoring.files.labelled import LabelledBattle
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.probabilities import Triples
from tests.support.judged import make_labelled, make_probabilities
from tests.support.samples import a_preference

LABELLED = make_labelled(160, prompts=60)
FACTS = gather_facts(LABELLED)
BY_JUDGE = {"one": make_probabilities(len(LABELLED), seed=1), "two": make_probabilities(len(LABELLED), seed=2)}
RESAMPLES = 100
"""Nothing here is about how precise an interval is."""

PANEL = PanelIdentity(hash="0" * 64, calibration="abc", version="1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labelled battles as a file."""
    path = tmp_path_factory.mktemp("card") / "dev.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row_of(one)) + b"\n" for one in LABELLED))
    return path


def row_of(one: LabelledBattle) -> dict[str, object]:
    return {**one.battle.model_dump(mode="json"), "winner": one.label.outcome, "tier": one.tier}


def preferences(
    by_judge: Mapping[str, Triples] = BY_JUDGE, calibration: Calibration | None = None
) -> dict[str, Preference]:
    """What a panel says, by id, as it was published: calibrated, and what it was before."""
    published = {name: (calibration or Calibration()).apply(rows) for name, rows in by_judge.items()}
    found = {}
    for place, one in enumerate(LABELLED):
        opinions = tuple(
            JudgeOpinion(
                name=name,
                probabilities=triple(published[name][place]),
                uncalibrated=triple(rows[place]) if calibration else None,
                weight=0.5,
                provenance=Provenance(kind="pointwise", adapter_hash=f"adapter of {name}"),
            )
            for name, rows in by_judge.items()
        )
        found[one.battle.id] = a_preference(id=one.battle.id, judges=opinions, panel=PANEL)
    return found


def triple(row: Sequence[float]) -> Probabilities:
    return Probabilities(**dict(zip(OUTCOMES, map(float, row), strict=True)))


@pytest.fixture(scope="module")
def card(data: Path) -> Card:
    return make_card(FACTS, preferences(), data, resamples=RESAMPLES)


def test_each_tier_has_the_figures_of_answers_by_parameters_of_other_prompts(card: Card) -> None:
    result = calibrate_panel(FACTS, uncalibrated(FACTS, preferences()), balance="tier")
    for name, tier in card.tiers.items():
        rows = np.array([one.tier == name for one in LABELLED])
        assert tier.battles == rows.sum()
        assert tier.panel.log_loss.value == log_loss(result.out_of_fold[rows], result.facts.outcomes[rows]).of_all()
        assert [system.name for system in tier.systems] == ["panel", "one", "two", "class prior", "length only"]
        assert tier.baselines == tier.systems[3:]
        assert tier.calibration is not None
        assert 0 < tier.calibration.by_chance < tier.calibration.by_chance_95
    assert set(card.tiers) == {"arena", "core"}


def test_a_calibration_that_the_panel_had_changes_no_figure(card: Card, data: Path) -> None:
    calibrated = preferences(calibration=Calibration(temperature=3.0, tie_bias=1.0))
    assert make_card(FACTS, calibrated, data, resamples=RESAMPLES).tiers == card.tiers


def test_where_a_judge_was_recused_it_does_not_count() -> None:
    """It answered all the same, with a weight of 0. A judge that never weighs anything only listens."""
    said = preferences()
    first = said[LABELLED[0].battle.id]
    one, two = first.judges
    opinions = (one.model_copy(update={"weight": 0.0}), two)
    said[first.id] = first.model_copy(update={"judges": opinions, "recused": ("one",)})
    by_name = {judge.name: judge for judge in uncalibrated(FACTS, said).judges}
    assert by_name["one"].counted is not None
    assert by_name["one"].counted.tolist() == [False, *[True] * (len(LABELLED) - 1)]
    assert (by_name["two"].counted, by_name["one"].weight) == (None, 1.0)


def test_it_says_which_panel_it_is_of(card: Card) -> None:
    assert (card.panel, card.calibration) == (PANEL.hash, PANEL.calibration)
    assert card.judges == {"one": "adapter of one", "two": "adapter of two"}


def test_people_are_held_against_one_another_where_several_voted(data: Path) -> None:
    """Of four battles on which 3 said A and 1 said B: two of them agree in half of the pairs, the panel with 3 of 4."""
    voted = [
        replace(one, label=replace(one.label, votes=(3.0, 1.0, 0.0) if place < 4 else (1.0, 0.0, 0.0)), tier="core")
        for place, one in enumerate(LABELLED)
    ]
    always_a = np.tile([0.6, 0.3, 0.1], (len(voted), 1))
    card = make_card(gather_facts(voted), preferences({"one": always_a}), data, resamples=RESAMPLES)
    voters = card.tiers["core"].voters
    assert voters is not None
    assert (voters.battles, voters.each_other.value, voters.panel.value) == (4, 0.5, 0.75)


def test_where_each_battle_has_one_vote_nothing_is_said_of_voters(card: Card) -> None:
    assert all(tier.voters is None for tier in card.tiers.values())


def test_battles_that_were_left_out_are_refused(data: Path) -> None:
    some = dict(list(preferences().items())[1:])
    with pytest.raises(FileError, match="leave 1 of 160 battles out"):
        make_card(FACTS, some, data)


def test_answers_of_several_panels_are_refused(data: Path) -> None:
    mixed = preferences()
    mixed[LABELLED[0].battle.id] = mixed[LABELLED[0].battle.id].model_copy(update={"panel": None})
    with pytest.raises(FileError, match="not those of one panel"):
        make_card(FACTS, mixed, data)


def test_the_command_reads_what_score_writes_and_writes_what_the_card_reads(
    card: Card, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, output = tmp_path / "predictions.jsonl", tmp_path / "card.json"
    predictions.write_bytes(b"".join(encode_preference(one) + b"\n" for one in preferences().values()))
    main([str(data), str(predictions), "-o", str(output)])
    read = Card.read(output)
    for name, tier in read.tiers.items():
        assert tier.panel.log_loss.value == pytest.approx(card.tiers[name].panel.log_loss.value, abs=1e-4)
    assert "class prior" in capsys.readouterr().out
