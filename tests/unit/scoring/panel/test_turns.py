"""Who asks is told when each judge had its turn; nobody else pays for that."""

from __future__ import annotations

import functools
import time

import pytest

from prefstream.schemas import Battle
from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.turns import turn_of
from tests.support.priors import HeldJudge, prior_panel

BATTLE = Battle(id="1", prompt="?", response_a="a", response_b="b")


class Flaky(HeldJudge):
    """Fails in passing, once."""

    failed = False

    def score(self, batch: JudgeBatch) -> Scores:
        if not self.failed:
            self.failed = True
            raise JudgeFaultError(self.name, "a hiccup", transient=True)
        return super().score(batch)


def test_each_judge_is_told_of_with_its_times() -> None:
    told: list[tuple[str, float, float, str | None]] = []
    with prior_panel(0.05, judges=2) as panel:
        before = time.monotonic()
        panel.score_encoded(panel.encode([BATTLE]), on_judged=lambda *turn: told.append(turn))
        after = time.monotonic()
    assert sorted(name for name, *_ in told) == ["prior-0", "prior-1"]
    for _, began, ended, failure in told:
        assert before <= began <= ended - 0.05
        assert ended <= after
        assert failure is None


def test_an_attempt_that_failed_is_told_of_and_so_is_the_next() -> None:
    told: list[str | None] = []
    judge = Flaky()
    judge.let()
    with Panel([judge]) as panel:
        panel.score_encoded(panel.encode([BATTLE]), on_judged=lambda *turn: told.append(turn[3]))
    assert told == ["JudgeFaultError", None]


def test_where_nobody_asks_a_judge_is_called_as_it_is() -> None:
    judge = HeldJudge()
    turn = turn_of(judge, JudgeBatch(1, 0), None)
    assert isinstance(turn, functools.partial)
    assert turn.func == judge.score


@pytest.mark.parametrize("asked", [True, False])
def test_the_answer_is_the_same(asked: bool) -> None:
    with prior_panel() as panel:
        batch = panel.encode([BATTLE])
        assert panel.score_encoded(batch, on_judged=(lambda *_: None) if asked else None) == panel.score([BATTLE])
