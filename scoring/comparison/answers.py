"""Answers of one side, as arrays: of each a few hundred bytes stay, however long its battle is."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import (
    OUTCOMES,
    FileSource,
    KafkaSource,
    PanelIdentity,
    Preference,
    Probabilities,
    Provenance,
    Style,
)
from prefstream.scoring.files.languages import language_name
from prefstream.scoring.probabilities import Triples
from prefstream.scoring.style import STYLE_FEATURES

SourceName: TypeAlias = tuple[Literal["topic", "file"], str]
"""Of a topic or a file that battles come from."""

UNKNOWN: Final = -1
"""In place of a count or a number that an answer does not tell."""

MOST_JUDGES: Final = 32
"""Names of judges that are told apart on a side. A panel has a few; each name takes 24 bytes of every answer, and names
that strangers made up have no end."""

_LARGEST_PLACE: Final = 2**63 - 1
"""Kafka's largest offset. JSON's integers have no end: what is larger is no place, and a larger count no count."""

_LARGEST_COUNT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class AnswerTable:
    """What one side said, one row an answer, in the order in which they were read.

    Attributes:
        name: of the side, for people.
        ids: of the battles.
        sources: shape (n, 3): number of its name in `source_names`, partition (0 of a file), offset or line;
            `UNKNOWN` throughout where an answer does not say where its battle stands.
        source_names: of topics and files.
        probabilities: shape (n, 3): the panel's.
        judges: by name, shape (n, 3); NaN where the judge said nothing. The first `MOST_JUDGES` names.
        left_out: opinions in the name of others than those.
        provenances: by judge, all that answered in its name, in order of appearance.
        panels: number of its panel in `identities`; `UNKNOWN` where an answer does not tell.
        identities: of the panels that answered.
        languages: English names of the languages, where they are known.
        styles: shape (n, 2, counts): of A and B, `STYLE_FEATURES` in their order; `UNKNOWN` where they are not told.
    """

    name: str
    ids: tuple[str, ...]
    sources: NDArray[np.int64]
    source_names: tuple[SourceName, ...]
    probabilities: Triples
    judges: Mapping[str, Triples]
    left_out: int
    provenances: Mapping[str, tuple[Provenance, ...]]
    panels: NDArray[np.intp]
    identities: tuple[PanelIdentity, ...]
    languages: tuple[str | None, ...]
    styles: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    def source(self, row: int) -> KafkaSource | FileSource | None:
        """Where a battle stands; None where its answer does not say."""
        number, partition, place = self.sources[row].tolist()
        if number == UNKNOWN:
            return None
        kind, name = self.source_names[number]
        if kind == "topic":
            return KafkaSource(topic=name, partition=partition, offset=place)
        return FileSource(file=name, line=place)

    def panel(self, row: int) -> PanelIdentity | None:
        """Which panel answered; None where the answer does not say."""
        number = int(self.panels[row])
        return None if number == UNKNOWN else self.identities[number]


class AnswerGathering:
    """Takes answers one after the other.

    Args:
        name: of the side.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._ids: list[str] = []
        self._sources = array("q")
        self._source_names: dict[SourceName, int] = {}
        self._probabilities = array("d")
        self._judges: dict[str, tuple[array[int], array[float]]] = {}
        self._left_out = 0
        self._provenances: dict[str, dict[Provenance, None]] = {}
        self._panels = array("q")
        self._identities: dict[PanelIdentity, int] = {}
        self._languages: list[str | None] = []
        self._names: dict[str, str] = {}
        self._styles = array("i")

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, battle_id: str, probabilities: Probabilities, preference: Preference | None) -> None:
        """Take an answer.

        Args:
            battle_id: of its battle.
            probabilities: the panel's.
            preference: what else is said; None of a row that says nothing else.
        """
        row = len(self._ids)
        self._ids.append(battle_id)
        self._probabilities.extend(_triple(probabilities))
        if preference is None:
            self._sources.extend((UNKNOWN,) * 3)
            self._panels.append(UNKNOWN)
            self._languages.append(None)
            self._styles.extend(_NO_STYLE)
            return
        self._sources.extend(self._place(preference.source))
        panel = preference.panel
        self._panels.append(UNKNOWN if panel is None else self._identities.setdefault(panel, len(self._identities)))
        language = preference.language and language_name(preference.language)
        self._languages.append(language and self._names.setdefault(language, language))
        self._styles.extend(_counts(preference.style))
        for opinion in preference.judges:
            if len(self._judges) == MOST_JUDGES and opinion.name not in self._judges:
                self._left_out += 1
                continue
            rows, numbers = self._judges.setdefault(opinion.name, (array("q"), array("d")))
            rows.append(row)
            numbers.extend(_triple(opinion.probabilities))
            self._provenances.setdefault(opinion.name, {}).setdefault(opinion.provenance)

    def table(self) -> AnswerTable:
        """All that was taken."""
        count = len(self._ids)
        return AnswerTable(
            name=self.name,
            ids=tuple(self._ids),
            sources=np.array(self._sources, dtype=np.int64).reshape(count, 3),
            source_names=tuple(self._source_names),
            probabilities=np.array(self._probabilities, dtype=np.float64).reshape(count, len(OUTCOMES)),
            judges={name: _spread(rows, numbers, count) for name, (rows, numbers) in self._judges.items()},
            left_out=self._left_out,
            provenances={name: tuple(found) for name, found in self._provenances.items()},
            panels=np.array(self._panels, dtype=np.intp),
            identities=tuple(self._identities),
            languages=tuple(self._languages),
            styles=np.array(self._styles, dtype=np.int32).reshape(count, 2, len(STYLE_FEATURES)),
        )

    def _place(self, source: KafkaSource | FileSource) -> tuple[int, int, int]:
        name: SourceName
        if isinstance(source, KafkaSource):
            name, partition, place = ("topic", source.topic), source.partition, source.offset
        else:
            name, partition, place = ("file", source.file), 0, source.line
        if max(partition, place) > _LARGEST_PLACE:
            return UNKNOWN, UNKNOWN, UNKNOWN
        return self._number(name), partition, place

    def _number(self, name: SourceName) -> int:
        return self._source_names.setdefault(name, len(self._source_names))


_NO_STYLE: Final = (UNKNOWN,) * (2 * len(STYLE_FEATURES))


def _counts(style: Style | None) -> Sequence[int]:
    """Of A, then of B, `STYLE_FEATURES` in their order."""
    if style is None:
        return _NO_STYLE
    counts = [getattr(side, name) for side in (style.a, style.b) for name in STYLE_FEATURES]
    return counts if max(counts) <= _LARGEST_COUNT else _NO_STYLE


def probabilities_of(row: Sequence[float]) -> Probabilities:
    """A row of `Triples` as it stands in an answer."""
    return Probabilities(**dict(zip(OUTCOMES, row, strict=True)))


def _triple(probabilities: Probabilities) -> tuple[float, float, float]:
    return probabilities.model_a, probabilities.model_b, probabilities.tie


def _spread(rows: array[int], numbers: array[float], count: int) -> Triples:
    """One row an answer, of which not each holds this judge."""
    spread = np.full((count, len(OUTCOMES)), np.nan)
    spread[np.array(rows, dtype=np.intp)] = np.array(numbers, dtype=np.float64).reshape(-1, len(OUTCOMES))
    return spread
