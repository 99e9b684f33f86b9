"""What the rows of a file of preferences say, as numbers: who answered, and what each judge said."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES, Preference, Probabilities, Provenance
from prefstream.scoring.panel.predict import Forecast, OpinionColumns
from prefstream.scoring.probabilities import Triples

_SYMMETRIC_KINDS: Final = frozenset({"pointwise", "features"})
"""Judges that are symmetric by construction; of others only swap could tell."""

_CSV: Final = -1
"""In place of the number of a panel: nothing is known of it."""


@dataclass(slots=True)
class _JudgeRows:
    """The opinions of one judge, and in which rows they stand.

    Attributes:
        rows: number of the row of each opinion.
        columns: the opinions.
        weights: of each, NaN where it says none.
        made_of: number of its provenance.
        provenances: by number.
    """

    rows: array[int] = field(default_factory=lambda: array("q"))
    columns: OpinionColumns = field(default_factory=OpinionColumns)
    weights: array[float] = field(default_factory=lambda: array("d"))
    made_of: array[int] = field(default_factory=lambda: array("q"))
    provenances: dict[Provenance, int] = field(default_factory=dict)

    def places(self, rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
        """Where the opinions of some rows stand, -1 where a row has none of this judge."""
        place = np.full(count, -1, dtype=np.intp)
        place[np.array(self.rows, dtype=np.intp)] = np.arange(len(self.rows))
        found: NDArray[np.intp] = place[rows]
        return found


class JudgesSaid(NamedTuple):
    """What the judges of some rows said.

    Attributes:
        judges: those that answered in all of them.
        partial: names of those that did not.
        of_one_panel: whether all rows were answered by the same judges, those that failed counted in.
    """

    judges: tuple[Forecast, ...]
    partial: tuple[str, ...]
    of_one_panel: bool


class Said:
    """Rows, one after the other; of each a few numbers stay, and ten for each judge."""

    def __init__(self) -> None:
        self._panel = array("d")
        self._panels = array("q")
        self._counting = array("q")
        self._known_panels: dict[frozenset[str], int] = {}
        self._judges: dict[str, _JudgeRows] = {}

    def add(self, probabilities: Probabilities, preference: Preference | None) -> int:
        """Take a row.

        Args:
            probabilities: the panel's.
            preference: what else the row says; None where it says nothing else.

        Returns:
            Its number.
        """
        number = len(self._panels)
        self._panel.extend(getattr(probabilities, outcome) for outcome in OUTCOMES)
        opinions = preference.judges if preference else ()
        names = frozenset((*(one.name for one in opinions), *(preference.left_out if preference else ())))
        self._panels.append(self._known_panels.setdefault(names, len(self._known_panels)) if preference else _CSV)
        self._counting.append(sum(bool(one.weight) for one in opinions))
        for opinion in opinions:
            judge = self._judges.setdefault(opinion.name, _JudgeRows())
            judge.rows.append(number)
            judge.columns.add(opinion, recused=opinion.name in ((preference and preference.recused) or ()))
            judge.weights.append(float("nan") if opinion.weight is None else opinion.weight)
            judge.made_of.append(judge.provenances.setdefault(opinion.provenance, len(judge.provenances)))
        return number

    def panel(self, rows: NDArray[np.intp]) -> Triples:
        """The panel's answers in some rows, shape (rows, 3)."""
        answers: Triples = np.array(self._panel, dtype=np.float64).reshape(-1, len(OUTCOMES))[rows]
        return answers

    def judges(self, rows: NDArray[np.intp]) -> JudgesSaid:
        """What the judges said in some rows.

        Args:
            rows: their numbers, at least one.
        """
        panels = np.array(self._panels, dtype=np.intp)[rows]
        places = {name: judge.places(rows, len(self._panels)) for name, judge in self._judges.items()}
        there = {name: place for name, place in places.items() if (place >= 0).any()}
        whole = [name for name, place in there.items() if (place >= 0).all()]
        # Each judge's weight is its share where most of them counted: elsewhere the others have a recused one's share.
        most = int(np.array(self._counting)[rows].argmax())
        forecasts = []
        for name in whole:
            judge, place = self._judges[name], there[name]
            kinds = [one.kind for one in _used(judge, place)]
            weight = judge.weights[place[most]]
            forecasts.append(
                judge.columns.forecast(
                    name,
                    symmetric=_SYMMETRIC_KINDS.issuperset(kinds),
                    weight=1.0 if np.isnan(weight) else weight,
                    rows=place,
                )
            )
        alike = all(len(set(map(_made_of, _used(self._judges[name], place)))) == 1 for name, place in there.items())
        return JudgesSaid(
            tuple(forecasts),
            tuple(name for name in there if name not in whole),
            of_one_panel=alike and len(set(panels[panels != _CSV].tolist())) <= 1,
        )


def _used(judge: _JudgeRows, places: NDArray[np.intp]) -> Sequence[Provenance]:
    """What answered in the rows in which the judge did."""
    known = list(judge.provenances)
    return [known[number] for number in np.unique(np.array(judge.made_of, dtype=np.intp)[places[places >= 0]])]


def _made_of(provenance: Provenance) -> tuple[str | None, ...]:
    return provenance.kind, provenance.base_hash, provenance.adapter_hash, provenance.template_hash
