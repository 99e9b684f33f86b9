"""Votes joined with preferences by battle, in memory; what stays of a battle is what its judges said.

As the board joins them: a vote counts where its record and that of the battle's preference lie at most the window
apart, and of two preferences of one battle the first one counts. Unlike the board's, this join is gone with the
process: the topics are read again, as far back as the window goes.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from prefstream.consumer.board.store.reading import vote_weights
from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord, hash_id, hash_voter
from prefstream.schemas import OUTCOMES, PanelIdentity, Preference
from prefstream.schemas.preference import JudgeOpinion
from prefstream.scoring.calibration.live_votes import CastVote, Opinions

UNCOUNTED: Final = (
    "unknown_panel",
    "canary",
    "judge_left_out",
    "duplicate_battles",
    "too_late",
    "unknown_battles",
    "bad_preferences",
    "bad_votes",
    "lost_preferences",
    "lost_votes",
)
"""Why a record counts for nothing."""


class AnsweredBy(NamedTuple):
    """Who gave an answer.

    Attributes:
        panel: its name on the panels topic; None for the one that a process was started with.
        calibration: version of its calibration; None without one.
        judges: names, sorted.
        hash: over what the judges are, whatever their weights and calibration.
    """

    panel: str | None
    calibration: str | None
    judges: tuple[str, ...]
    hash: bytes


class _Said(NamedTuple):
    """A vote; its order is the board's: the same on every reading, however partitions are interleaved."""

    order: tuple[int, int, int]
    outcome: int


class LiveJoin:
    """Battles that wait for votes, and votes that wait for battles.

    Args:
        window_ms: a vote that lies further from its battle's preference does not count.
        max_rows: battles, and votes, at most each; those that came first go first.
    """

    def __init__(self, window_ms: int, max_rows: int) -> None:
        self._window_ms = window_ms
        self._max_rows = max_rows
        self._battles: dict[bytes, Opinions] = {}
        self._waiting: dict[bytes, dict[bytes, _Said]] = {}
        self._count_waiting = 0
        self._voter_key = secrets.token_bytes(16)
        self._known: dict[AnsweredBy, AnsweredBy] = {}

    @property
    def battles(self) -> int:
        """How many wait for votes."""
        return len(self._battles)

    @property
    def waiting(self) -> int:
        """Votes whose battle has not come."""
        return self._count_waiting

    def take(
        self, preferences: Sequence[PreferenceRecord], votes: Sequence[VoteRecord], uncounted: Counter[str]
    ) -> list[CastVote]:
        """Take records in.

        Args:
            preferences: in the order in which they came.
            votes: in any order.
            uncounted: what counts for nothing is added, by why.

        Returns:
            Votes that met their battle.
        """
        joined: list[CastVote] = []
        for battle in self._add_battles(preferences, uncounted):
            waited = self._waiting.pop(battle, {})
            self._count_waiting -= len(waited)
            for voter, said in waited.items():
                self._meet(battle, voter, said, joined, uncounted)
        for record in votes:
            battle, voter = hash_id(record.vote.id), hash_voter(self._voter_key, record)
            said = _Said((record.at, record.partition, record.offset), OUTCOMES.index(record.vote.outcome))
            if battle in self._battles:
                self._meet(battle, voter, said, joined, uncounted)
                continue
            waiting = self._waiting.setdefault(battle, {})
            self._count_waiting += voter not in waiting
            waiting[voter] = max(said, waiting.get(voter, said))
        return joined

    def give_up(self, preferences_until: int | None, votes_until: int | None, uncounted: Counter[str]) -> None:
        """Let go what no record can meet any more, and the first of what is too many.

        Args:
            preferences_until: every preference with an earlier timestamp has been read; None where that is not known.
            votes_until: likewise for votes.
            uncounted: votes that are given up are added.
        """
        if votes_until is not None:
            for battle in list(itertools.takewhile(self._is_before(votes_until), self._battles)):
                del self._battles[battle]
        for battle in list(itertools.islice(self._battles, max(0, len(self._battles) - self._max_rows))):
            del self._battles[battle]
        before = self._count_waiting
        oldest = 0 if preferences_until is None else preferences_until - self._window_ms
        gone = []
        for battle, waiting in self._waiting.items():  # not copied: they are many, and this is done after every poll
            if self._count_waiting <= self._max_rows and min(waiting.values()).order[0] >= oldest:
                break
            gone.append(battle)
            self._count_waiting -= len(waiting)
        for battle in gone:
            del self._waiting[battle]
        uncounted["unknown_battles"] += before - self._count_waiting

    def _meet(self, battle: bytes, voter: bytes, said: _Said, joined: list[CastVote], uncounted: Counter[str]) -> None:
        opinions = self._battles[battle]
        if abs(said.order[0] - opinions.at) > self._window_ms:
            uncounted["too_late"] += 1
        else:
            joined.append(CastVote(battle, voter, said.order, said.outcome, opinions))

    def _is_before(self, moment: int) -> Callable[[bytes], bool]:
        return lambda battle: self._battles[battle].at < moment - self._window_ms

    def _add_battles(self, records: Sequence[PreferenceRecord], uncounted: Counter[str]) -> list[bytes]:
        reviews = [record.preference.review for record in records]
        weights = vote_weights(
            np.array([np.nan if review is None else review.probability for review in reviews]),
            np.array([review is not None and review.chosen for review in reviews], dtype=np.bool_),
            "all",
        )
        came = []
        for record, weight in zip(records, weights.tolist(), strict=True):
            said = record.preference
            battle = hash_id(said.id)
            if battle in self._battles:
                uncounted["duplicate_battles"] += 1
                continue
            if said.panel is None or (why := _why_not(said, said.panel)):
                uncounted["unknown_panel" if said.panel is None else why] += 1  # its votes wait in vain
                continue
            self._battles[battle] = self._opinions(said, said.panel, weight, record.at)
            came.append(battle)
        return came

    def _opinions(self, said: Preference, panel: PanelIdentity, weight: float, at: int) -> Opinions:
        judges = sorted(said.judges, key=lambda judge: judge.name)
        recused = set(said.recused or ())
        by = _answered_by(judges, panel)
        return Opinions(
            by=self._known.setdefault(by, by),
            answers=np.array([[getattr(judge.probabilities, outcome) for outcome in OUTCOMES] for judge in judges]),
            counts=np.array([judge.name not in recused or bool(judge.weight) for judge in judges]),
            weight=weight,
            at=at,
        )


def _why_not(said: Preference, panel: PanelIdentity) -> str:
    """Why what a panel said is of no use here; empty where it is."""
    if panel.canary:
        return "canary"
    return "judge_left_out" if said.left_out else ""


def _answered_by(judges: Sequence[JudgeOpinion], panel: PanelIdentity) -> AnsweredBy:
    digest = hashlib.blake2b(digest_size=16)
    for judge in judges:
        of = judge.provenance
        told = (judge.name, of.kind, of.base, of.base_hash, of.adapter_hash, of.template_hash, of.served_model)
        digest.update(repr(told).encode())
    names = tuple(judge.name for judge in judges)
    return AnsweredBy(panel.name, panel.calibration, names, digest.digest())
