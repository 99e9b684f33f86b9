"""When panels that serve are checked, and what becomes of it: told by the clock, without a second of waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import yaml
from structlog.testing import capture_logs

from prefstream import JudgeFaultError, MisuseError, Panel, load_panel, load_panel_config
from prefstream.consumer.errors import GoldenFaultError, StalledError
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.consumer.panels.folder import PanelFolder
from prefstream.consumer.panels.golden_watch import HOLD_S, GoldenWatch, known_to_answer
from prefstream.consumer.panels.loading import PanelLoader
from prefstream.schemas import PanelVersion
from prefstream.scoring.errors import GoldenSetError
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.judges.prior import PriorJudge
from tests.support.fake_clock import FakeClock
from tests.support.goldens import golden_battles, golden_of, panel_of
from tests.support.priors import HeldJudge, prior_entry
from tests.support.streams import wait_until

EVERY_S = 900.0
TIMEOUT_S = 60.0


def known_panel() -> Panel:
    """One that gives its known answers, until somebody changes what its judge has in memory."""
    panel = panel_of(prior_entry("one"))
    panel.golden = golden_of(prior_entry("one"), count=2)
    return panel


def break_judge(panel: Panel) -> None:
    [judge] = panel.judges
    assert isinstance(judge, PriorJudge)
    judge._row = np.array([0.2, 0.3, 0.5])


class Stage:
    """A watch over what serves; the test turns it and moves its clock."""

    def __init__(self, *serving: Panel) -> None:
        self.clock = FakeClock()
        self.metrics = StreamMetrics()
        self.serving = list(serving)
        self.watch = GoldenWatch(lambda: self.serving, EVERY_S, TIMEOUT_S, self.metrics, self.clock.monotonic)

    def turn(self, after_s: float = 0.0, *, idle: bool = True) -> None:
        """One turn, some time after the last one; what it began is done when this returns."""
        self.clock.now += after_s
        self.watch.turn(idle=idle)
        wait_until(lambda: not self.watch.busy)

    def checks(self, result: str = "passed") -> float | None:
        """How many were counted."""
        return self.metrics.registry.get_sample_value("prefstream_golden_checks_total", {"result": result})


@pytest.fixture
def panel() -> Iterator[Panel]:
    with known_panel() as loaded:
        yield loaded


@pytest.fixture
def stage(panel: Panel) -> Iterator[Stage]:
    made = Stage(panel)
    with closing(made.watch):
        yield made


def test_a_panel_is_checked_again_and_again_when_there_is_nothing_to_do(stage: Stage) -> None:
    stage.turn(EVERY_S - 1)
    stage.turn()
    assert stage.checks() == 0
    stage.turn(1)
    stage.turn()
    assert stage.checks() == 1
    stage.turn(EVERY_S)
    stage.turn()
    assert stage.checks() == 2
    assert stage.watch.obstacle is None


def test_where_there_is_always_something_to_do_it_is_half_as_long_again(stage: Stage) -> None:
    stage.turn(1.5 * EVERY_S - 1, idle=False)
    stage.turn(idle=False)
    assert stage.checks() == 0
    stage.turn(1, idle=False)
    stage.turn(idle=False)
    assert stage.checks() == 1


def test_wrong_answers_are_an_obstacle_at_once_and_end_the_process_when_probes_have_seen_it(
    stage: Stage, panel: Panel
) -> None:
    break_judge(panel)
    stage.turn(EVERY_S)
    stage.turn()
    assert stage.checks("failed") == 1
    assert stage.watch.obstacle is not None
    told = str(stage.watch.obstacle)
    assert told.startswith("golden.jsonl: judge one answers 2 of 2 golden battles otherwise, off by 0.")
    assert "The answers were right at 2" in told
    assert "prefstream rescore" in told
    stage.turn(HOLD_S - 1)
    with pytest.raises(GoldenFaultError) as raised:
        stage.turn(1)
    assert raised.value is stage.watch.obstacle


def test_what_was_found_of_a_panel_that_serves_no_more_is_dropped(stage: Stage, panel: Panel) -> None:
    break_judge(panel)
    stage.turn(EVERY_S)
    with known_panel() as other:
        stage.serving = [other]
        stage.turn()
        assert stage.watch.obstacle is None
        assert stage.checks("failed") == 0
        stage.turn(EVERY_S)
        stage.turn()
        assert stage.checks() == 1


def test_a_panel_that_was_closed_meanwhile_has_no_answers_to_give(stage: Stage, panel: Panel) -> None:
    panel.close()
    stage.turn(EVERY_S)
    stage.turn()
    assert stage.watch.obstacle is None


def test_of_several_panels_each_is_checked_that_has_a_set(stage: Stage, panel: Panel) -> None:
    with known_panel() as other, panel_of(prior_entry("three")) as unknown:
        stage.serving = [panel, other, unknown]
        stage.turn(EVERY_S)
        stage.turn()
        assert stage.checks() == 2
        break_judge(other)
        stage.turn(EVERY_S)
        stage.turn()
        assert stage.watch.obstacle is not None


def test_a_judge_that_breaks_down_at_a_golden_battle_is_a_judge_that_breaks_down(
    stage: Stage, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall_off(_: PriorJudge, batch: JudgeBatch) -> Scores:
        raise JudgeFaultError("one", f"fell off the bus at {batch.count} battles", transient=False)

    monkeypatch.setattr(PriorJudge, "score", fall_off)
    stage.turn(EVERY_S)
    with pytest.raises(JudgeFaultError, match="fell off the bus"):
        stage.turn()


def test_a_check_that_hangs_ends_the_process() -> None:
    judge = HeldJudge()
    with Panel([judge]) as panel:
        judge.let(1)
        panel.golden = golden_of(prior_entry("prior-0"), count=2)
        stage = Stage(known_to_answer(panel))
        stage.clock.now += EVERY_S
        stage.watch.turn(idle=True)
        stage.clock.now += TIMEOUT_S + 1
        with pytest.raises(StalledError, match="golden battles have been scored for more than 60 s"):
            stage.watch.turn(idle=True)
        judge.let()
        stage.watch.close()


def test_a_panel_on_trial_that_breaks_down_leaves_the_rest_to_the_one_that_serves(
    stage: Stage, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with known_panel() as tried:
        [judge] = tried.judges

        def fall_off(_: JudgeBatch) -> Scores:
            raise JudgeFaultError("one", "fell off the bus", transient=False)

        monkeypatch.setattr(judge, "score", fall_off)
        stage.serving = [panel, tried]
        stage.turn(EVERY_S)
        stage.turn()
        assert stage.checks() == 1
        assert stage.watch.obstacle is None


def test_before_it_serves_a_panel_is_told_of_or_closed_and_refused(panel: Panel) -> None:
    with capture_logs() as lines:
        assert known_to_answer(panel) is panel
    [line] = lines
    assert line["event"] == "golden set passed"
    assert line["detail"].startswith("answers to 2 golden battles as known, to the bit")
    break_judge(panel)
    with pytest.raises(GoldenSetError, match="judge one answers"):
        known_to_answer(panel)
    with pytest.raises(MisuseError, match="closed"):
        panel.score(golden_battles(1))


def test_a_panel_that_is_chosen_while_others_serve_must_give_its_answers_first(tmp_path: Path) -> None:
    golden_of(prior_entry("one"), count=2).write(tmp_path / "golden.jsonl")
    for name, judge in [("right", prior_entry("one")), ("wrong", prior_entry("one", (0.2, 0.3, 0.5)))]:
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"judges": [judge], "golden": "golden.jsonl"}))
    loader = PanelLoader(
        PanelFolder(tmp_path),
        None,
        read=load_panel_config,
        load=lambda config, calibration, _: load_panel(config, calibration=calibration),
    )
    with loader.load(PanelVersion(panel="right")).panel as panel:
        assert panel.golden is not None
    with pytest.raises(GoldenSetError, match="another one than this golden set is of: judge one: probabilities"):
        loader.load(PanelVersion(panel="wrong"))
