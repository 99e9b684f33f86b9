"""Making a golden set: battles are chosen, answered in one batch, and answered once more to see that it holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Final

from prefstream.schemas import Battle, Outcome
from prefstream.scoring.errors import BattleTooLargeError, FileError
from prefstream.scoring.golden.check import check_golden
from prefstream.scoring.golden.choose import CandidateBattles, choose
from prefstream.scoring.golden.fingerprint import B, KnownPanel, fingerprint, given_answer
from prefstream.scoring.golden.record import MOST_BATTLES, GoldenSet

DEFAULT_BATTLES: Final = 30
"""Some of each kind, and still one batch that takes seconds."""


def make_golden(
    panel: KnownPanel[B],
    battles: Iterable[Battle],
    *,
    source: str,
    count: int = DEFAULT_BATTLES,
    say: Callable[[str], None],
) -> GoldenSet:
    """Choose battles, and record what a panel answers.

    Args:
        panel: that can be trusted now: what it says is what it will be held to.
        battles: to choose from, any number; few are held at a time.
        source: where they come from, for messages.
        count: how many to choose, `MOST_BATTLES` at most.
        say: told what is done, one short line at a time.

    Raises:
        FileError: there is no battle to choose.
        GoldenSetError: the panel does not give the same bits twice, which would be needed.
        BattleTooLargeError: a device has no room any more for what it had room for before.
        JudgeFaultError: a judge broke down.
    """
    candidates = CandidateBattles(count)
    for battle in battles:
        candidates.add(battle)
    taken = candidates.take()
    say(f"{len(taken)} candidates are scored, to find some of each verdict")
    chosen = choose(_verdicts(panel, taken), count)
    if not chosen:
        raise FileError(f"{source}: has no battle that a golden set could have; give a file of battles")
    batch = panel.encode(chosen)
    record = fingerprint(panel, batch)
    answers = []
    for battle, answer in zip(chosen, panel.score_encoded(batch), strict=True):
        if isinstance(answer, BattleTooLargeError):  # among fewer candidates there was room for it
            raise answer
        answers.append(given_answer(battle, answer))
    golden = GoldenSet(source, record, tuple(answers))
    check_golden(panel, golden).require()
    return golden


def _verdicts(panel: KnownPanel[B], battles: Iterable[Battle]) -> list[tuple[Battle, Outcome]]:
    verdicts: list[tuple[Battle, Outcome]] = []
    remaining = iter(battles)
    while chunk := list(itertools.islice(remaining, MOST_BATTLES)):
        for battle, answer in zip(chunk, panel.score_encoded(panel.encode(chunk)), strict=True):
            if not isinstance(answer, BattleTooLargeError):
                verdicts.append((battle, answer.probabilities.preferred))
    return verdicts
