"""A recount of the board by another way: from the raw JSON of the topics' records, with none of the board's code.

Probabilities and what is summed of them are counted in exact fractions of 2^-32, each rounded by itself.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

HOUR = 3_600_000


@dataclass
class Raw:
    """A record as any reader gets it."""

    value: bytes
    at: int
    partition: int
    offset: int

    @property
    def fields(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.value)
        return decoded


@dataclass
class Recount:
    """What the board should hold.

    Attributes:
        counters: by name, but for what happens to the join's bounds.
        hours: by hour, models, language and panel: battles, and the sums of probabilities and products.
        facts: by hour, language and panel: battles, sums of probabilities, of entropy, of disagreement, verdicts.
        votes: battle, winner, timestamp, partition and offset of each vote that counts.
    """

    counters: Counter[str] = field(default_factory=Counter)
    hours: dict[tuple[Any, ...], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * 10))
    facts: dict[tuple[Any, ...], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * 13))
    votes: list[tuple[Any, ...]] = field(default_factory=list)


def recount(preferences: Iterable[Raw], votes: Iterable[Raw], window_ms: int) -> Recount:
    """Count all records; of two preferences with one id the first one given counts.

    Args:
        preferences: those of a partition in order.
        votes: in any order.
        window_ms: a vote that lies further from its battle's preference is too late.
    """
    found = Recount()
    published: dict[str, int] = {}
    for record in preferences:
        said = record.fields
        if said["id"] in published:
            found.counters["duplicate_battles"] += 1
            continue
        published[said["id"]] = record.at
        found.counters["preferences"] += 1
        _count(found, said, record.at)
    _count_votes(found, votes, published, window_ms)
    return found


def assert_equal(held: Mapping[str, Sequence[tuple[Any, ...]]], expected: Recount) -> None:
    """Every count and sum is that of the recount, to the last bit.

    Args:
        held: what the board's file holds, as `tests.support.board.dump` gives it.
        expected: the recount.
    """
    counters = dict(held["counters"])
    assert counters.get("preferences", 0) == expected.counters["preferences"]
    for name in ("duplicate_battles", "unnamed", "votes", "too_late", "replaced_votes"):
        assert counters.get(name, 0) == expected.counters[name], name
    assert len(held["pending_votes"]) == expected.counters["waiting"]
    winners = ("model_a", "model_b", "tie", "both_bad")
    assert sorted((i, winners[w], at, p, o) for i, w, at, _, p, o in held["votes"]) == expected.votes
    hours: dict[object, list[int]] = {}
    for hour, one, other, language, _, panel, *sums in held["hours"]:
        cell = hours.setdefault((hour, one, other, language, panel and panel[:64]), [0] * 10)
        cell[:] = [have + more for have, more in zip(cell, sums, strict=True)]
    assert hours == expected.hours
    facts = {
        (hour, language, panel and panel[:64]): [*sums[:4], *sums[7:13], *sums[14:17]]
        for hour, language, panel, *sums in held["hour_facts"]
    }
    assert facts == expected.facts


def _count(found: Recount, said: dict[str, Any], at: int) -> None:
    one, other, language = said.get("model_a"), said.get("model_b"), said.get("language")
    panel = said.get("panel", {})
    found.counters["unnamed"] += one is None or other is None
    shares = [said["probabilities"][name] for name in ("model_a", "model_b", "tie")]
    given = list(shares)
    if one is not None and other is not None and other < one:
        one, other = other, one
        shares = [shares[1], shares[0], shares[2]]
    a, b, tie = shares
    sums = [1, *map(_whole, (a, b, tie, a * a, b * b, tie * tie, a * b, a * tie, b * tie))]
    _add(found.hours[(at // HOUR, one, other, language, panel.get("hash"))], sums)
    gaps = [judge["position_gap"] for judge in said["judges"] if "position_gap" in judge]
    style = said.get("style")
    lengths = [style[side]["characters"] for side in "ab"] if style else []
    unequal = len(set(lengths)) == 2
    of_longer = given[lengths.index(max(lengths))] if unequal else 0.0
    cut = any(
        value for judge in said["judges"] for name, value in judge.get("truncation", {}).items() if "drop" in name
    )
    facts = [
        1,
        *map(_whole, given),
        _whole(said["uncertainty"]["entropy"]),
        _whole(said["disagreement"]),
        int(cut),
        len(gaps) > 0,
        _whole(math.fsum(gaps) / len(gaps)) if gaps else 0,
        _whole(_flipped(said["judges"])),
        sum(lengths),
        int(unequal),
        _whole(of_longer),
    ]
    _add(found.facts[(at // HOUR, language, panel.get("hash"))], facts)


def _flipped(judges: Sequence[dict[str, Any]]) -> float:
    flips = [_best(judge["as_given"]) != _best(judge["swapped"]) for judge in judges if "swapped" in judge]
    return sum(flips) / len(flips) if flips else 0.0


def _best(shares: dict[str, float]) -> int:
    row = [shares[name] for name in ("model_a", "model_b", "tie")]
    return row.index(max(row))


def _count_votes(found: Recount, votes: Iterable[Raw], published: dict[str, int], window_ms: int) -> None:
    latest: dict[tuple[str, Any], tuple[Any, ...]] = {}
    for record in votes:
        vote = record.fields
        found.counters["votes"] += 1
        battle, order = vote["id"], (record.at, record.partition, record.offset)
        if battle not in published:
            found.counters["waiting"] += 1
        elif abs(record.at - published[battle]) > window_ms:
            found.counters["too_late"] += 1
        else:
            key = (battle, vote.get("voter", order))
            found.counters["replaced_votes"] += key in latest
            latest[key] = max(
                latest.get(key, (battle, "", -1)), (battle, vote["winner"], *order), key=lambda one: one[2:]
            )
    found.votes = sorted(latest.values())


def _whole(value: float) -> int:
    return round(Fraction(value) * 2**32)


def _add(sums: list[int], more: Sequence[int]) -> None:
    for index, value in enumerate(more):
        sums[index] += value
