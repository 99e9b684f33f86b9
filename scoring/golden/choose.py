"""Which battles of a file are worth knowing the answers to: few that differ in all that judges may stumble over.

Which ones they are depends on what stands in them alone: not on their order, nor on any draw.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final, TypeAlias

from prefstream.schemas import Battle, Outcome
from prefstream.scoring.files.languages import language_name

LONGEST_CHARS: Final = 60_000
"""Of a battle that is chosen: some 15,000 tokens, beyond what judges read of one; a set must stay a small file."""

CANDIDATES: Final = 4
"""Per battle that is wanted: the panel answers them all once, to find some of each verdict."""

_LENGTHS: Final = (400, 1_500, 5_000, 15_000)
"""Characters of all turns, from which on a battle is of the next longer kind: about 100 to 4,000 tokens."""

_MOST_KEPT: Final = 5_000
"""While a file is read: where its battles are of many kinds, fewer of each kind are kept."""

Trait: TypeAlias = tuple[str, str]
"""In what battles differ, and how."""


class CandidateBattles:
    """Takes battles one after the other, and keeps few of each kind: what is kept does not grow with the file.

    Args:
        wanted: how many battles are to be chosen in the end.
    """

    def __init__(self, wanted: int) -> None:
        self._most = self._of_each = wanted * CANDIDATES
        self._kept = 0
        self._kinds: defaultdict[tuple[Trait, ...], list[tuple[int, str, Battle]]] = defaultdict(list)

    def add(self, battle: Battle) -> None:
        """Keep a battle, or pass it over."""
        if _chars(battle) > LONGEST_CHARS:
            return
        # A file may name thousands of languages: by two digits of a hash they are of 256 kinds at most.
        kind = traits(battle, hashlib.sha256(_language(battle).encode()).hexdigest()[:2])
        pile, digest = self._kinds[tuple(kind)], content_hash(battle)
        if any(one[1] == digest for one in pile):
            return
        heapq.heappush(pile, (-int(digest, 16), digest, battle))  # the one whose hash is the highest goes first
        self._kept += 1
        self._shrink(pile)
        # Of each kind those of the lowest hashes stay, and how many follows from the whole file, not from its order.
        while self._kept > _MOST_KEPT and self._of_each > 1:
            self._of_each //= 2
            for other in self._kinds.values():
                self._shrink(other)

    def _shrink(self, pile: list[tuple[int, str, Battle]]) -> None:
        while len(pile) > self._of_each:
            heapq.heappop(pile)
            self._kept -= 1

    def take(self) -> list[Battle]:
        """Battles of all kinds, in turn, until there are enough."""
        by_hash = [sorted(pile, key=itemgetter(1)) for pile in self._kinds.values() if pile]
        piles = sorted(by_hash, key=lambda pile: pile[0][1])
        taken: list[Battle] = []
        for layer in range(max(map(len, piles), default=0)):
            taken += [pile[layer][2] for pile in piles if layer < len(pile)]
        return taken[: self._most]


def choose(verdicts: Sequence[tuple[Battle, Outcome]], wanted: int) -> list[Battle]:
    """The battles that show most: each is the one whose traits were chosen least so far.

    Args:
        verdicts: candidates, and what the panel says about them.
        wanted: how many; fewer where there are fewer.

    Returns:
        In an order that depends on nothing but them.
    """
    hashed = [(content_hash(battle), battle, _judged(battle, outcome)) for battle, outcome in verdicts]
    left = sorted(hashed, key=itemgetter(0))
    seen: Counter[Trait] = Counter()
    chosen: list[Battle] = []
    while left and len(chosen) < wanted:
        best = min(left, key=lambda one: (-sum(1 / (1 + seen[trait]) for trait in one[2]), one[0]))
        left.remove(best)
        seen.update(best[2])
        chosen.append(best[1])
    return chosen


def coverage(battles: Iterable[tuple[Battle, Outcome]]) -> Mapping[str, Counter[str]]:
    """How many battles there are of each language, length, number of rounds and verdict.

    Args:
        battles: chosen ones, each with the panel's verdict.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for battle, outcome in battles:
        for trait, value in _judged(battle, outcome):
            counts[trait][value] += 1
    return counts


def traits(battle: Battle, language: str) -> list[Trait]:
    """In what a battle differs from others, before anybody judged it.

    Args:
        battle: the battle.
        language: of it; empty where it isn't told.
    """
    length = sum(_chars(battle) >= bound for bound in _LENGTHS)
    bounds = [*_LENGTHS, None]
    longest = "longer" if bounds[length] is None else f"under {bounds[length]:,} characters"
    rounds = min(len(battle.prompt), 3)
    return [
        ("language", language or "not told"),
        ("length", longest),
        ("rounds", f"{rounds}{' or more' if rounds == 3 else ''}"),
    ]


def content_hash(battle: Battle) -> str:
    """SHA-256 (64 hexadecimal digits) of all that a judge may get to read of a battle."""
    content = json.dumps([battle.prompt, battle.response_a, battle.response_b])
    return hashlib.sha256(content.encode()).hexdigest()


def _judged(battle: Battle, outcome: Outcome) -> list[Trait]:
    return [*traits(battle, _language(battle)), ("verdict", outcome)]


def _language(battle: Battle) -> str:
    return language_name(battle.language) if battle.language else ""


def _chars(battle: Battle) -> int:
    return sum(map(len, (*battle.prompt, *battle.response_a, *battle.response_b)))
