"""Reads the board's file beside the process that writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prefstream.consumer.board.store.file_reader import FileReader, between
from prefstream.consumer.board.store.reading import (
    HourBin,
    HourFacts,
    JudgedVotes,
    ReviewCandidate,
    StoredAnswer,
    Weighting,
    floats,
    integers,
    vote_weights,
)
from prefstream.consumer.board.store.records import WINNERS, hash_id
from prefstream.consumer.board.store.tables import FIXED_POINT, HOUR_SUMS, PAIR_SUMS, Facts
from prefstream.scoring.probabilities import log_losses
from prefstream.scoring.strengths.tallies import UNKNOWN_STYLE, ForecastCells, VotedBattles

__all__ = ["BoardReader", "Weighting"]

_TIE: Final = 2
_COLUMN: Final = {name: index for index, name in enumerate((*Facts._fields, "id", "battle", "winner", "voted_at"))}
_STYLE: Final = ("characters", "headings", "list_items", "bold")
_COUNTED: Final = frozenset(
    {"battles", "prefer_a", "prefer_b", "prefer_tie", "truncated", "gaps", "styled", "characters", "unequal"}
)
"""Columns of `hour_facts` that are no sums in 2^-32."""


_MARKS: Final = 500
"""Values in one statement: SQLite bounds them."""


class BoardReader(FileReader):
    """What the board knows. Safe in any thread; calls wait for each other."""

    def models(self) -> tuple[str, ...]:
        """Names of all models, in order: the index space of `votes` and `cells`."""
        return tuple(sorted(name for (name,) in self.rows("SELECT name FROM models")))

    def languages(self) -> tuple[str, ...]:
        """Names of all languages, in order."""
        return tuple(sorted(name for (name,) in self.rows("SELECT name FROM languages")))

    def votes(
        self,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
        language: str | None = None,
        weighting: Weighting = "none",
    ) -> VotedBattles:
        """Votes for battles of two named models, for strengths.

        Args:
            since_ms: only battles whose preference was published then or later, ms since the epoch.
            until_ms: only battles whose preference was published before.
            language: only these.
            weighting: what each vote weighs.
        """
        where, values = between("d.at", since_ms, until_ms)
        if language is not None:
            where.append("d.language = (SELECT id FROM languages WHERE name = ?)")
            values.append(language)
        with self.snapshot():
            models = self.models()
            places = self._places("models", models)
            rows = self._judged(["d.model_a != 0", "d.model_b != 0", "d.model_a != d.model_b", *where], values)
        outcomes = np.minimum(integers(rows, _COLUMN["winner"]), _TIE)
        return VotedBattles(
            models=models,
            model_a=places[integers(rows, _COLUMN["model_a"])],
            model_b=places[integers(rows, _COLUMN["model_b"])],
            outcomes=outcomes,
            forecasts=floats(rows, *(_COLUMN[name] for name in ("p_a", "p_b", "p_tie"))),
            weights=_weights(rows, weighting),
            style=_style(rows),
            cells=integers(rows, _COLUMN["style_bin"]),
            battles=_numbers(rows),
        )

    def cells(
        self,
        *,
        since_hour: int | None = None,
        until_hour: int | None = None,
        language: str | None = None,
        by_style: bool = True,
    ) -> ForecastCells:
        """What the panel said of all battles of two named models, voted or not, summed by pair and style bin.

        Args:
            since_hour: only of this hour and later, hours since the epoch.
            until_hour: only of hours before.
            language: only these.
            by_style: whether style bins are kept apart; else there is one row a pair, of the bin of unknown style.
        """
        where, values = between("hour", since_hour, until_hour)
        if language is not None:
            where.append("language = (SELECT id FROM languages WHERE name = ?)")
            values.append(language)
        conditions = " AND ".join(["model_a != 0", "model_b != 0", "model_a != model_b", *where])
        sums = ", ".join(f"sum({name})" for name in ("battles", *PAIR_SUMS))
        kept, cell = ("style_bin", "model_a, model_b, style_bin") if by_style else (UNKNOWN_STYLE, "model_a, model_b")
        with self.snapshot():
            models = self.models()
            places = self._places("models", models)
            rows = self.rows(
                f"SELECT model_a, model_b, {kept}, {sums} FROM hours WHERE {conditions} "
                f"GROUP BY {cell} ORDER BY {cell}",
                values,
            )
        a_a, b_b, tie_tie, a_b, a_tie, b_tie = range(7, 13)
        products = floats(rows, a_a, a_b, a_tie, a_b, b_b, b_tie, a_tie, b_tie, tie_tie) / FIXED_POINT
        return ForecastCells(
            models=models,
            model_a=places[integers(rows, 0)],
            model_b=places[integers(rows, 1)],
            cells=integers(rows, 2),
            counts=floats(rows, 3),
            sums=floats(rows, 4, 5, 6) / FIXED_POINT,
            products=products.reshape(-1, 3, 3),
        )

    def judged(self, *, since_ms: int | None = None, until_ms: int | None = None) -> JudgedVotes:
        """Votes beside what the panel said, for trust.

        Args:
            since_ms: only votes whose record is of then or later, ms since the epoch.
            until_ms: only votes whose record is from before.
        """
        where, values = between("v.at", since_ms, until_ms)
        with self.snapshot():
            rows = self._judged(where, values)
            spaces = {table: self._space(table) for table in ("models", "languages", "panels")}
        winners = integers(rows, _COLUMN["winner"])
        return JudgedVotes(
            ids=tuple(row[_COLUMN["id"]] for row in rows),
            battles=_numbers(rows),
            outcomes=np.minimum(winners, _TIE),
            both_bad=winners == WINNERS.index("both_bad"),
            voted_at=integers(rows, _COLUMN["voted_at"]),
            published_at=integers(rows, _COLUMN["at"]),
            forecasts=floats(rows, *(_COLUMN[name] for name in ("p_a", "p_b", "p_tie"))),
            model_names=spaces["models"][0],
            models=spaces["models"][1][integers(rows, _COLUMN["model_a"], _COLUMN["model_b"])],
            language_names=spaces["languages"][0],
            languages=spaces["languages"][1][integers(rows, _COLUMN["language"])],
            panel_hashes=spaces["panels"][0],
            panels=spaces["panels"][1][integers(rows, _COLUMN["panel"])],
            style_bins=integers(rows, _COLUMN["style_bin"]),
            characters=floats(rows, _COLUMN["characters_a"], _COLUMN["characters_b"]),
            entropy=floats(rows, _COLUMN["entropy"]),
            between_judges=floats(rows, _COLUMN["between_judges"]),
            disagreement=floats(rows, _COLUMN["disagreement"]),
            position_gap=floats(rows, _COLUMN["position_gap"]),
            truncated=integers(rows, _COLUMN["truncated"]) == 1,
            review_probability=floats(rows, _COLUMN["review_probability"]),
            review_chosen=floats(rows, _COLUMN["review_chosen"]) == 1,
        )

    def hours(self, *, since_hour: int | None = None, until_hour: int | None = None) -> list[HourFacts]:
        """Sums by hour, language and panel, over all preferences; the oldest hour first.

        Args:
            since_hour: only this hour and later, hours since the epoch.
            until_hour: only hours before.
        """
        where, values = between("hour", since_hour, until_hour)
        rows = self.rows(_by_hour("hour_facts", HOUR_SUMS, where), values)
        return [
            HourFacts(
                *row[:3],
                *(
                    value if name in _COUNTED else value / FIXED_POINT
                    for name, value in zip(HOUR_SUMS, row[3:], strict=True)
                ),
            )
            for row in rows
        ]

    def bins(self, *, since_hour: int | None = None, until_hour: int | None = None) -> list[HourBin]:
        """Histograms by hour, language and panel, over all preferences; the oldest hour first.

        Args:
            since_hour: only this hour and later, hours since the epoch.
            until_hour: only hours before.
        """
        where, values = between("hour", since_hour, until_hour)
        return [HourBin(*row) for row in self.rows(_by_hour("hour_bins", ("fact", "bin", "battles"), where), values)]

    def pairs(self, *, since_hour: int | None = None, until_hour: int | None = None) -> dict[tuple[str, str], int]:
        """By both names in order, how many battles two named models had, voted on or not.

        Args:
            since_hour: only this hour and later, hours since the epoch.
            until_hour: only hours before.
        """
        where, values = between("hour", since_hour, until_hour)
        conditions = " AND ".join(["model_a != 0", "model_b != 0", "model_a != model_b", *where])
        rows = self.rows(
            "SELECT a.name, b.name, battles FROM (SELECT model_a, model_b, sum(battles) AS battles FROM hours "
            f"WHERE {conditions} GROUP BY model_a, model_b) JOIN models a ON a.id = model_a "
            "JOIN models b ON b.id = model_b",
            values,
        )
        return {(one, other): battles for one, other, battles in rows}

    def histograms(
        self, *, since_hour: int | None = None, until_hour: int | None = None
    ) -> list[tuple[int, str, int, int]]:
        """Hour, fact, bin, and how many battles: as `bins`, over all languages and panels.

        Args:
            since_hour: only this hour and later, hours since the epoch.
            until_hour: only hours before.
        """
        where, values = between("hour", since_hour, until_hour)
        condition = f"WHERE {' AND '.join(where)} " if where else ""
        return self.rows(
            f"SELECT hour, fact, bin, sum(battles) FROM hour_bins {condition}GROUP BY hour, fact, bin", values
        )

    def answers(self, ids: Sequence[str]) -> dict[str, StoredAnswer]:
        """What the panel said of battles, voted on or not; those that are not known, or not any more, are left out.

        Args:
            ids: of the battles, any number.
        """
        id_of = {hash_id(one): one for one in ids}
        hashes = list(id_of)
        found: dict[str, StoredAnswer] = {}
        with self.snapshot():
            for start in range(0, len(hashes), _MARKS):
                some = hashes[start : start + _MARKS]
                marks = ", ".join("?" * len(some))
                for table in ("battles", "voted"):
                    rows = self.rows(
                        f"SELECT d.id_hash, s.name, d.source_partition, d.source_offset, d.p_a, d.p_b, d.p_tie "
                        f"FROM {table} d JOIN sources s ON s.id = d.source WHERE d.id_hash IN ({marks})",
                        some,
                    )
                    found |= {id_of[row[0]]: StoredAnswer(row[1], row[2], row[3], row[4:]) for row in rows}
        return found

    def surprises(self, *, since_ms: int | None = None, limit: int = 100) -> list[ReviewCandidate]:
        """Battles of which a person said what the panel held for least probable, the most surprising first.

        Args:
            since_ms: only votes whose record is of then or later, ms since the epoch.
            limit: at most so many battles, each by its most surprising vote.
        """
        where, values = between("v.at", since_ms, None)
        rows = self.rows(
            "SELECT d.id, min(CASE v.winner WHEN 0 THEN d.p_a WHEN 1 THEN d.p_b ELSE d.p_tie END) AS held, d.at, "
            "a.name, b.name, l.name, d.p_a, d.p_b, d.p_tie, d.disagreement, d.entropy, s.name, d.source_partition, "
            "d.source_offset, v.winner FROM votes v JOIN voted d ON d.battle = v.battle "
            "LEFT JOIN models a ON a.id = d.model_a LEFT JOIN models b ON b.id = d.model_b "
            "LEFT JOIN languages l ON l.id = d.language JOIN sources s ON s.id = d.source "
            f"WHERE {' AND '.join(['d.at < v.at', *where])} GROUP BY d.battle ORDER BY held, d.battle LIMIT ?",
            [*values, limit],
        )
        return [
            ReviewCandidate._make(
                (row[0], "vote", _surprise(row[1]), *row[2:6], row[6:9], *row[9:14], WINNERS[row[14]])
            )
            for row in rows
        ]

    def candidates(self, *, since_ms: int | None = None, limit: int = 100) -> list[ReviewCandidate]:
        """Battles that a person should look at, the most telling ones first, without those that have a vote.

        Args:
            since_ms: only those published then or later, ms since the epoch.
            limit: for each reason at most so many.
        """
        where, values = between("c.at", since_ms, None)
        rows = self.rows(
            "SELECT id, why, score, at, model_a, model_b, language, p_a, p_b, p_tie, disagreement, entropy, source, "
            "source_partition, source_offset FROM (SELECT c.id, c.why, c.score, c.at, a.name AS model_a, b.name AS "
            "model_b, l.name AS language, c.p_a, c.p_b, c.p_tie, c.disagreement, c.entropy, s.name AS source, "
            "c.source_partition, c.source_offset, "
            "row_number() OVER (PARTITION BY c.why ORDER BY c.score DESC, c.id_hash) AS place "
            "FROM candidates c LEFT JOIN models a ON a.id = c.model_a LEFT JOIN models b ON b.id = c.model_b "
            "LEFT JOIN languages l ON l.id = c.language JOIN sources s ON s.id = c.source "
            f"WHERE {' AND '.join(['c.id_hash NOT IN (SELECT id_hash FROM voted)', *where])}) "
            "WHERE place <= ? ORDER BY why, place",
            [*values, limit],
        )
        return [ReviewCandidate._make((*row[:7], row[7:10], *row[10:], None)) for row in rows]

    def _judged(self, where: Sequence[str], values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """One row a vote: the facts of its battle, then what `_COLUMN` names; those of a battle together."""
        facts = ", ".join(f"d.{name}" for name in Facts._fields)
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        return self.rows(
            f"SELECT {facts}, d.id, d.battle, v.winner, v.at FROM votes v JOIN voted d ON d.battle = v.battle"
            f"{condition} ORDER BY d.battle, v.at, v.partition, v.offset",
            values,
        )

    def _places(self, table: str, names: Sequence[str]) -> NDArray[np.intp]:
        """From a table's id to the place of its name; -1 for what has none."""
        ids = dict(self.rows(f"SELECT name, id FROM {table}"))
        places = np.full(max(ids.values(), default=0) + 1, -1, dtype=np.intp)
        for place, name in enumerate(names):
            places[ids[name]] = place
        return places

    def _space(self, table: str) -> tuple[tuple[str, ...], NDArray[np.intp]]:
        """A table's names behind an empty one, and from an id to the place there."""
        name = "hash" if table == "panels" else "name"
        rows = self.rows(f"SELECT id, {name} FROM {table} ORDER BY {name}")
        names = ("", *dict.fromkeys(name for _, name in rows))
        places = np.zeros(max((number for number, _ in rows), default=0) + 1, dtype=np.intp)
        for number, found in rows:
            places[number] = names.index(found)
        return names, places


def _surprise(probability: float) -> float:
    """-log2, of nothing smaller than what costs in a log loss are counted by."""
    return float(log_losses(np.array(probability)) / np.log(2.0))


def _by_hour(table: str, columns: Sequence[str], where: Sequence[str]) -> str:
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    return (
        f"SELECT hour, coalesce(l.name, ''), coalesce(p.hash, ''), {', '.join(columns)} FROM {table} h "
        f"LEFT JOIN languages l ON l.id = h.language LEFT JOIN panels p ON p.id = h.panel{condition} "
        "ORDER BY hour, h.language, h.panel"
    )


def _numbers(rows: Sequence[Sequence[Any]]) -> NDArray[np.intp]:
    """Numbers of the battles, from 0."""
    return np.unique(integers(rows, _COLUMN["battle"]), return_inverse=True)[1].astype(np.intp)


def _weights(rows: Sequence[Sequence[Any]], weighting: Weighting) -> NDArray[np.float64]:
    probability = floats(rows, _COLUMN["review_probability"])
    return vote_weights(probability, floats(rows, _COLUMN["review_chosen"]) == 1, weighting)


def _style(rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
    """As `style_differences` of each battle."""
    a, b = (floats(rows, *(_COLUMN[f"{name}_{side}"] for name in _STYLE)) for side in "ab")
    together = a + b
    differences: NDArray[np.float64] = np.divide(a - b, together, out=np.zeros_like(together), where=together != 0)
    return differences
