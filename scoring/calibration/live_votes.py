"""The votes that a live calibration looks at: the last word of each person on a battle, nobody counting for many."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Order: TypeAlias = tuple[int, int, int]
"""When a vote was cast, in ms since the epoch; and two numbers that tell votes of one moment apart, such as where its
record stands."""

DEFAULT_VOTER_VOTES: Final = 10
"""For which a voter counts at most: of 300 votes that a fit is judged on, one person's are a thirtieth."""

HELD_OF_VOTER: Final = 10
"""Times as many are held of each voter. Were no more held than count, those of who votes all the time would all be
among the newest, and just these judge a fit; so they count less each, and reach back further."""


@dataclass(frozen=True, slots=True, eq=False)
class Opinions:
    """What the judges of a panel said of a battle, each after its own calibration, before the panel's.

    Attributes:
        by: who said it; votes on answers of others are none on theirs.
        answers: shape (judges, 3), in the order of `schemas.OUTCOMES`.
        counts: shape (judges,): who counts; a judge that is recused does not.
        weight: what a vote on this battle weighs: the inverse of the probability with which it was asked for.
        at: when it was said, ms since the epoch.
    """

    by: object
    answers: NDArray[np.float64]
    counts: NDArray[np.bool_]
    weight: float = 1.0
    at: int = 0


class CastVote(NamedTuple):
    """What a person said of a battle that a panel answered.

    Attributes:
        battle: which.
        voter: who.
        order: when.
        outcome: column of `schemas.OUTCOMES`.
        opinions: of the panel.
    """

    battle: bytes
    voter: bytes
    order: Order
    outcome: int
    opinions: Opinions


class VoteWindow:
    """Holds the newest votes. What it holds depends on the votes alone, not on the order in which they come.

    Args:
        most: votes, in all.
        most_of_voter: votes of one voter, at most: the newest ones.
    """

    def __init__(self, most: int, most_of_voter: int = HELD_OF_VOTER * DEFAULT_VOTER_VOTES) -> None:
        self._most = most
        self._most_of_voter = most_of_voter
        self._held: dict[tuple[bytes, bytes], CastVote] = {}
        self._of_voter: dict[bytes, dict[bytes, CastVote]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, votes: Iterable[CastVote]) -> int:
        """Take votes in: of two of one voter on one battle the later counts.

        Returns:
            How many of them are held now, of each voter at most as many as may be.
        """
        added = set()
        for vote in votes:
            there = self._held.get((vote.battle, vote.voter))
            if there is not None and (there.order, there.outcome) >= (vote.order, vote.outcome):
                continue
            own = self._of_voter.setdefault(vote.voter, {})
            self._held[vote.battle, vote.voter] = own[vote.battle] = vote
            added.add((vote.battle, vote.voter))
            if len(own) > self._most_of_voter:
                self._drop(min(own.values(), key=_order_of))
        if len(self) > self._most:
            for vote in heapq.nsmallest(len(self) - self._most, self._held.values(), key=_order_of):
                self._drop(vote)
        return sum(key in self._held for key in added)

    def forget_before(self, moment: int) -> None:
        """Let go of votes that were cast before a moment, in ms since the epoch."""
        for vote in [vote for vote in self._held.values() if vote.order[0] < moment]:
            self._drop(vote)

    def votes(self) -> list[CastVote]:
        """All of them, the oldest first."""
        return sorted(self._held.values(), key=_order_of)

    def _drop(self, vote: CastVote) -> None:
        del self._held[vote.battle, vote.voter]
        own = self._of_voter[vote.voter]
        del own[vote.battle]
        if not own:
            del self._of_voter[vote.voter]


@dataclass(frozen=True, slots=True, eq=False)
class VoteColumns:
    """Votes as arrays, the oldest first.

    Attributes:
        answers: shape (judges, n, 3).
        counts: shape (judges, n).
        outcomes: shape (n,).
        weights: shape (n,): `counted`, times what a vote on its battle weighs.
        counted: shape (n,): 1, or less where a voter has more votes than count.
        times: shape (n,): ms since the epoch.
        voters: shape (n,): a number for each person.
        battles: shape (n,): a number for each battle.
    """

    answers: NDArray[np.float64]
    counts: NDArray[np.bool_]
    outcomes: NDArray[np.intp]
    weights: NDArray[np.float64]
    counted: NDArray[np.float64]
    times: NDArray[np.int64]
    voters: NDArray[np.intp]
    battles: NDArray[np.intp]

    @classmethod
    def of(cls, votes: Sequence[CastVote], judges: int, voter_votes: int = DEFAULT_VOTER_VOTES) -> VoteColumns:
        """Make them of votes.

        Args:
            votes: the oldest first, all on answers of the same judges.
            judges: how many these are.
            voter_votes: for which a voter counts at most, over all of theirs.
        """
        numbers: dict[bytes, int] = {}
        opinions = [vote.opinions for vote in votes]
        voters = np.array([numbers.setdefault(b"v" + vote.voter, len(numbers)) for vote in votes], dtype=np.intp)
        counted = np.minimum(1.0, voter_votes / np.bincount(voters)[voters]) if votes else np.zeros(0)
        return cls(
            answers=np.array([said.answers for said in opinions]).reshape(-1, judges, 3).transpose(1, 0, 2),
            counts=np.array([said.counts for said in opinions], dtype=np.bool_).reshape(-1, judges).T,
            outcomes=np.array([vote.outcome for vote in votes], dtype=np.intp),
            weights=counted * np.array([said.weight for said in opinions], dtype=np.float64),
            counted=counted,
            times=np.array([vote.order[0] for vote in votes], dtype=np.int64),
            voters=voters,
            battles=np.array([numbers.setdefault(b"b" + vote.battle, len(numbers)) for vote in votes], dtype=np.intp),
        )

    def __len__(self) -> int:
        return len(self.outcomes)

    def at(self, rows: slice) -> VoteColumns:
        """The same of some votes."""
        return VoteColumns(
            self.answers[:, rows],
            self.counts[:, rows],
            self.outcomes[rows],
            self.weights[rows],
            self.counted[rows],
            self.times[rows],
            self.voters[rows],
            self.battles[rows],
        )


def effective(weights: NDArray[np.float64]) -> float:
    """How many votes of equal weight say as much (Kish 1965); 0 without any."""
    total = float(weights.sum())
    return total * total / float(weights @ weights) if total else 0.0


def _order_of(vote: CastVote) -> tuple[Order, bytes, bytes]:
    return vote.order, vote.battle, vote.voter
