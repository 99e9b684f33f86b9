"""Preferences and sides of a comparison, made for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prefstream.schemas import (
    FileSource,
    JudgeOpinion,
    KafkaSource,
    PanelIdentity,
    Preference,
    Probabilities,
    Provenance,
    Style,
)
from prefstream.scoring.comparison.answers import AnswerGathering, AnswerTable

PROVENANCE = Provenance(kind="features", adapter_hash="a" * 64)


def triple(row: Sequence[float]) -> Probabilities:
    """Probabilities in the order A, B, tie."""
    return Probabilities(model_a=row[0], model_b=row[1], tie=row[2])


def make_preference(
    number: int,
    row: Sequence[float],
    *,
    judges: Sequence[str] = ("one",),
    provenance: Provenance = PROVENANCE,
    panel: str | None = "1" * 64,
    source: KafkaSource | FileSource | None = None,
    battle_id: str | None = None,
) -> Preference:
    """The answer to a battle, whose language, length and formatting follow from its number.

    Args:
        number: of the battle; its offset on `battles`.
        row: probabilities of A, B, tie, which every judge gives.
        judges: their names.
        provenance: of each of them.
        panel: hash; None leaves it out.
        source: where the battle stands, in place of that.
        battle_id: in place of one made of the number.
    """
    said = triple(row)
    counts = {"lines": 3, "headings": 0, "bold": 0, "code_blocks": 0, "tables": 0, "links": 0, "digits": 0}
    sides = ({"characters": 100 * (number % 40), "list_items": number % 3}, {"characters": 900, "list_items": 0})
    return Preference(
        id=battle_id or f"battle-{number}",
        probabilities=said,
        preferred=said.preferred,
        judges=tuple(JudgeOpinion(name=name, probabilities=said, provenance=provenance) for name in judges),
        disagreement=0.0,
        language=("en", "de", None)[number % 3],
        style=Style.model_validate(dict(zip("ab", (counts | side for side in sides), strict=True))),
        panel=PanelIdentity(hash=panel, version="0.1.0") if panel else None,
        source=source or KafkaSource(topic="battles", partition=number % 2, offset=number // 2),
    )


def table_of(preferences: Iterable[Preference], name: str = "side") -> AnswerTable:
    """One side of a comparison."""
    gathering = AnswerGathering(name)
    for one in preferences:
        gathering.add(one.id, one.probabilities, one)
    return gathering.table()


def make_table(rows: Iterable[Sequence[float]], name: str = "side", *, panel: str | None = "1" * 64) -> AnswerTable:
    """One side that answers battles from 0 on."""
    return table_of((make_preference(number, row, panel=panel) for number, row in enumerate(rows)), name)
