"""Whether answers of then are given again now: to the bit by judges that only count, within a bound by models.

A judge without a model (a prior, one of features) gives each battle the same bits, whatever else is in the batch. A
model gives the same bits in the same micro-batch alone, and nobody knows the micro-batches of then: so it is held to
the bounds that golden sets have for other micro-batches, by `golden.bounds`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from prefstream.schemas import Provenance
from prefstream.scoring.comparison.answers import UNKNOWN, AnswerTable
from prefstream.scoring.comparison.pairs import AnswerPairs
from prefstream.scoring.comparison.results import AnswersReproduced
from prefstream.scoring.golden.bounds import LARGEST, bound_of
from prefstream.scoring.probabilities import Triples
from prefstream.scoring.version import own_version

PANEL: Final = "panel"
"""Name of the answers that all judges gave together; it comes last."""

_WITHOUT_MODEL: Final = frozenset({"prior", "features"})


def reproduced(then: AnswerTable, now: AnswerTable, pairs: AnswerPairs) -> tuple[AnswersReproduced, ...]:
    """Each judge's answers, and the panel's behind them.

    Args:
        then: answers that were given.
        now: answers that are given now.
        pairs: of both, at least one.
    """
    findings = [
        _finding(name, _of(then, name)[pairs.left], _of(now, name)[pairs.right], _bound(then, now, name))
        for name in dict.fromkeys((*then.judges, *now.judges))
    ]
    # Nothing is between the judges and the panel but a mean and its calibration: no bound of its own.
    bound = max(one.bound for one in findings)
    panel = _finding(PANEL, then.probabilities[pairs.left], now.probabilities[pairs.right], bound)
    return (*findings, panel)


def what_differs(then: AnswerTable, now: AnswerTable, pairs: AnswerPairs) -> Iterator[str]:
    """What may be why answers are not given again, in a sentence each; of the judges `describe_judges` tells.

    Args:
        then: answers that were given.
        now: answers that are given now.
        pairs: of both.
    """
    asked = {panel.hash for panel in now.identities}
    others = sorted({panel.hash for panel in then.identities} - asked)
    if others:
        rows = pairs.left
        known = then.panels[rows]
        count = sum(number != UNKNOWN and then.identities[number].hash in others for number in known.tolist())
        yield (
            f"{count:,} of {len(pairs):,} answers are of another panel, by its hash: {', '.join(map(_short, others))} "
            f"then, {', '.join(map(_short, sorted(asked)))} now"
        )
    if untold := int((then.panels[pairs.left] == UNKNOWN).sum()):
        yield f"{untold:,} answers do not say which panel gave them"
    versions = sorted({panel.version for panel in then.identities} - {own_version()})
    if versions:
        yield f"answered by prefstream {', '.join(versions)} then, by {own_version()} now"
    for name, made in then.provenances.items():
        devices = _devices(made), _devices(now.provenances.get(name, ()))
        if devices[0] != devices[1] and all(devices):
            yield f"judge {name} computed on {devices[0]} then, on {devices[1]} now: last bits differ between devices"


def _of(side: AnswerTable, name: str) -> Triples:
    found = side.judges.get(name)
    return np.full_like(side.probabilities, np.nan) if found is None else found


def _bound(then: AnswerTable, now: AnswerTable, name: str) -> float:
    """Of the mean difference; 0 where every bit must be the same."""
    made: Sequence[Provenance] = (*then.provenances.get(name, ()), *now.provenances.get(name, ()))
    return max(0.0 if one.kind in _WITHOUT_MODEL else bound_of(one) for one in made)


def _finding(name: str, then: Triples, now: Triples, bound: float) -> AnswersReproduced:
    """Where only one side has the judge, its answer is not given again."""
    said, says = np.isfinite(then).all(axis=1), np.isfinite(now).all(axis=1)
    both = said & says
    gaps = np.abs(then[both] - now[both])
    mean, largest = (float(gaps.mean()), float(gaps.max())) if len(gaps) else (0.0, 0.0)
    alone = int((said != says).sum())
    near = mean <= bound and largest <= LARGEST * bound
    return AnswersReproduced(
        name=name,
        answers=int((said | says).sum()),
        alone=alone,
        changed=int((gaps > 0).any(axis=1).sum()),
        mean=mean,
        largest=largest,
        bound=bound,
        reproduced=near and not alone,
    )


def _devices(made: Sequence[Provenance]) -> str:
    return ", ".join(sorted({one.device for one in made if one.device}))


def _short(digest: str) -> str:
    return digest[:12]
