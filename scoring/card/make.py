"""Makes a panel's card from what it said of judged battles.

    prefstream score dev.jsonl -o predictions.jsonl
    python -m prefstream.scoring.card.make dev.jsonl predictions.jsonl

The judges are taken as they were before any calibration, and calibrated anew: each battle by parameters that were
fitted on other prompts, the tiers counting alike, as the calibration that ships was fitted on all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import JudgeOpinion, PanelIdentity, Preference, PrefstreamError, decode_preference
from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.calibration.cross_fit import DEFAULT_FOLDS, CalibrationResult, calibrate_panel
from prefstream.scoring.card.card import (
    DEMO_CARD,
    CalibrationCard,
    Card,
    PublishedAgreement,
    SystemCard,
    TierCard,
    VotersCard,
)
from prefstream.scoring.card.guide import DEMO_GUIDE, renew
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.battle_facts import BattleFacts, gather_facts
from prefstream.scoring.evaluation.bootstrap import DEFAULT_RESAMPLES, DEFAULT_SEED, Estimate, Resamples
from prefstream.scoring.evaluation.evaluate import evaluate
from prefstream.scoring.evaluation.metrics import calibration_error_by_chance, share, voters_alike
from prefstream.scoring.evaluation.results import Evaluated, SystemResult
from prefstream.scoring.file_names import printable
from prefstream.scoring.files.labelled import LabelledBattle, read_labelled
from prefstream.scoring.files.rows import RejectedRow
from prefstream.scoring.panel.predict import Forecast, OpinionColumns, Predictions, panel_forecast, triples
from prefstream.scoring.probabilities import Triples, credit
from prefstream.scoring.version import own_version

TIERS: Final = ("arena", "core")
"""Of the project's data, those that are judged as a chat arena judges: with ties."""

PEOPLE: Final = (
    PublishedAgreement(
        among="MT-bench",
        low=0.63,
        high=0.67,
        ties=True,
        what="two who voted on the same battle; first and second turn",
        source="Zheng et al. 2023, arXiv 2306.05685, table 5, setup S1",
    ),
    PublishedAgreement(
        among="AlpacaEval",
        low=0.657,
        high=0.657,
        ties=False,
        what="one annotator and the majority of three others",
        source="github.com/tatsu-lab/alpaca_eval, table of evaluators, humans",
    ),
)
"""As published. Each of the arena's rows has one vote: how far people agree on those is not known."""


def make_card(
    facts: BattleFacts,
    preferences: Mapping[str, Preference],
    data: Path,
    *,
    resamples: int = DEFAULT_RESAMPLES,
) -> Card:
    """Measure a panel.

    Args:
        facts: of battles that people judged, each of a tier.
        preferences: what the panel said of each, by id.
        data: the file that the battles were read from.
        resamples: of the prompts, for the intervals.

    Raises:
        FileError: the preferences are not of one panel, or leave battles out; or there is too little to calibrate on.
    """
    identity = _identity(preferences.values())
    predictions = uncalibrated(facts, preferences)
    result = calibrate_panel(facts, predictions, balance="tier", resamples=resamples, source=str(data))
    tiers = np.array(result.facts.tiers)
    evaluated = Evaluated(
        file=printable(data.name),
        file_sha256=hash_file(data),
        predictions=None,
        version=own_version(),
        swap=False,
    )
    return Card(
        panel=identity.hash,
        calibration=identity.calibration,
        judges={judge.name: judge.provenance and judge.provenance.adapter_hash for judge in predictions.judges},
        data=evaluated.file,
        data_sha256=evaluated.file_sha256,
        folds=DEFAULT_FOLDS,
        resamples=resamples,
        seed=DEFAULT_SEED,
        tiers={
            tier: _tier(result, np.flatnonzero(tiers == tier), evaluated, resamples)
            for tier in dict.fromkeys(tiers.tolist())
        },
        people=PEOPLE,
    )


def uncalibrated(facts: BattleFacts, preferences: Mapping[str, Preference]) -> Predictions:
    """What the judges said of the battles before any calibration.

    Args:
        facts: of the battles.
        preferences: of a panel that reads one order, by id.

    Raises:
        FileError: a battle has no preference, or it was read in both orders.
    """
    if missing := [name for name in facts.ids if name not in preferences]:
        raise FileError(f"the predictions leave {len(missing):,} of {len(facts):,} battles out; score all of them")
    rows = [preferences[name] for name in facts.ids]
    if any(opinion.as_given for row in rows for opinion in row.judges):
        raise FileError("the predictions are of both orders, of which only the mean is known uncalibrated")
    recused = [row.recused or () for row in rows]
    judges = tuple(_judge(opinions, recused) for opinions in zip(*(row.judges for row in rows), strict=True))
    return Predictions(
        positions=np.arange(len(rows)),
        panel=panel_forecast(triples([row.probabilities for row in rows]), judges),
        judges=judges,
        unanswered={},
    )


def _judge(opinions: Sequence[JudgeOpinion], recused: Sequence[Collection[str]]) -> Forecast:
    name, columns = opinions[0].name, OpinionColumns()
    for opinion, names in zip(opinions, recused, strict=True):
        before = opinion.uncalibrated or opinion.probabilities
        columns.add(opinion.model_copy(update={"probabilities": before}), recused=name in names)
    listens = all(opinion.weight == 0 for opinion in opinions)
    return columns.forecast(name, symmetric=False, weight=0.0 if listens else 1.0)


def _identity(preferences: Iterable[Preference]) -> PanelIdentity:
    identities = {preference.panel for preference in preferences}
    if len(identities) != 1 or not (identity := identities.pop()):
        raise FileError("the predictions are not those of one panel; score the whole file anew, by one panel")
    return identity


def _tier(result: CalibrationResult, rows: NDArray[np.intp], evaluated: Evaluated, resamples: int) -> TierCard:
    facts = result.facts.at(rows)
    answers = result.out_of_fold[rows]
    judges = tuple(Forecast(judge.name, judge.after[rows], judge.after[rows]) for judge in result.judges)
    predictions = Predictions(
        positions=np.arange(len(rows)),
        panel=panel_forecast(answers, ()),
        judges=judges,
        unanswered={},
    )
    found = evaluate(facts, predictions, evaluated, resamples=resamples)
    by_chance = calibration_error_by_chance(answers, resamples=resamples, seed=found.seed)
    return TierCard(
        battles=found.battles,
        prompts=found.prompts,
        systems=tuple(map(_system, found.systems)),
        calibration=CalibrationCard(
            error=found.panel.calibration_error,
            by_chance=by_chance.mean,
            by_chance_95=by_chance.upper,
        ),
        voters=_voters(facts, answers, resamples),
    )


def _system(found: SystemResult) -> SystemCard:
    return SystemCard(
        name=found.name,
        kind=found.kind,
        log_loss=found.log_loss,
        accuracy=found.accuracy,
        decided_accuracy=found.decided_accuracy,
    )


def _voters(facts: BattleFacts, answers: Triples, resamples: int) -> VotersCard | None:
    """Two voters drawn of those of a battle, and one of them beside the panel; each battle counts once."""
    several, alike = voters_alike(facts.votes)
    if not several.any():
        return None
    votes, alike, answers = facts.votes[several], alike[several], answers[several]
    total = votes.sum(axis=1)
    with_panel = sum(credit(answers, np.full(len(votes), outcome)) * votes[:, outcome] for outcome in range(3)) / total
    found = Resamples(facts.prompts[several], resamples=resamples).estimate(
        {"each_other": share(alike), "panel": share(with_panel)}
    )
    return VotersCard(battles=len(votes), **found)


def read_tiers(data: Path) -> Iterator[LabelledBattle]:
    """The battles of `TIERS` in a labelled file.

    Raises:
        FileError: the file can't be read, or a row of it can't be used.
    """
    for record in read_labelled(data):
        if isinstance(record.content, RejectedRow):
            raise FileError(f"{data}:{record.line}: {record.content}")
        if record.content.tier in TIERS:
            yield record.content


def read_preferences(path: Path) -> dict[str, Preference]:
    """Preferences as `prefstream score` writes them, by id.

    Raises:
        ContractError: a line holds none.
        OSError: the file can't be read.
    """
    with path.open("rb") as lines:
        return {preference.id: preference for preference in map(decode_preference, lines)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the card that ships, and its figures into the guide beside it; or another one."""
    parser = argparse.ArgumentParser(
        prog="python -m prefstream.scoring.card.make",
        description="Write a panel's card: what people's judgements say of it.",
    )
    parser.add_argument("data", type=Path, help=f"labelled battles, of the tiers {' and '.join(TIERS)}")
    parser.add_argument("predictions", type=Path, help="what `prefstream score` wrote of them (.jsonl)")
    parser.add_argument("-o", "--output", type=Path, default=DEMO_CARD, help="default: the card that ships")
    options = parser.parse_args(arguments)
    try:
        card = make_card(gather_facts(read_tiers(options.data)), read_preferences(options.predictions), options.data)
    except PrefstreamError as error:
        sys.exit(str(error))
    card.write(options.output)
    if options.output == DEMO_CARD:
        renew(DEMO_GUIDE, Card.read())
    for line in _told(card):
        sys.stdout.write(f"{line}\n")


def _told(card: Card) -> Iterator[str]:
    for name, tier in card.tiers.items():
        for system in tier.systems:
            figures = (system.log_loss, system.accuracy, system.decided_accuracy)
            yield f"{name:6} {tier.battles:4} {system.name:12} " + "  ".join(map(_figure, figures))


def _figure(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    main()
