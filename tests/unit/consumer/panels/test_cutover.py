"""Taking another panel over, turn by turn: what is given to the pipeline, what is closed, and what is told."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import structlog

from prefstream.consumer.panels.choices import Heard
from prefstream.consumer.panels.cutover import CutOver, Serving, load_first
from prefstream.consumer.panels.loading import PanelLoader
from prefstream.schemas import Battle, Canary, PanelChoice, PanelVersion
from prefstream.scoring.errors import LoadError, MisuseError
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.scorer import Scorer
from tests.support import panel_folders
from tests.support.panel_folders import choice, loader_of, write_panels
from tests.support.streams import wait_until

BATTLE = Battle(id="1", prompt=("p",), response_a=("a",), response_b=("b",))


class Given:
    """What a pipeline was given; what is in flight a test says."""

    def __init__(self) -> None:
        self.scorer: Scorer | None = None
        self.in_flight: list[Scorer] = []

    def use(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def uses(self, scorer: Scorer) -> bool:
        return scorer is self.scorer or any(scorer is one for one in self.in_flight)


class Told:
    """What became of choices."""

    def __init__(self) -> None:
        self.taken = 0
        self.served: list[list[str | None]] = []
        self.why: list[str | None] = []

    def serves(self, serving: Serving) -> None:
        self.served.append([panel.version.panel for panel in serving.panels])

    def took_over(self) -> None:
        self.taken += 1

    def failed(self, why: str | None) -> None:
        self.why.append(why)


class Stage:
    """A cut-over with a pipeline; panels of the folder are loaded for real, unless a test says otherwise."""

    def __init__(self, folder: Path, *, fits: bool = True) -> None:
        self.loads: list[str] = []
        self.may_load = threading.Event()
        self.may_load.set()
        self.broken: set[str] = set()
        self.loader: PanelLoader = loader_of(folder, loads=self._load, fits=fits)
        self.pipeline, self.told = Given(), Told()
        first = Serving(self.loader.load(PanelVersion()))
        self.cut_over = CutOver(self.loader, first, self.told)
        self.pipeline.use(self.cut_over.scorer)
        self.chosen = 0

    def _load(self, config: Any, calibration: Any, beside: Any) -> Panel:
        assert self.may_load.wait(60)
        [judge] = config.judges
        self.loads.append(judge.name)
        if judge.name in self.broken:
            raise LoadError(f"{judge.name} is broken")
        return panel_folders.load(config, calibration, beside)

    def choose(self, made: PanelChoice) -> None:
        self.cut_over.hear(Heard(0, self.chosen, made))
        self.chosen += 1

    def turn_until_done(self) -> None:
        done = len(self.told.why)

        def turned() -> bool:
            self.cut_over.turn(self.pipeline)
            return len(self.told.why) > done

        wait_until(turned)


def name_of(scorer: Scorer | None) -> str:
    """Of the judge that answers."""
    assert scorer is not None
    [answer] = scorer.score_encoded(scorer.encode([BATTLE]))
    return answer.judges[0].name  # type: ignore[union-attr]


def is_closed(panel: Panel) -> bool:
    try:
        panel.score([BATTLE])
    except MisuseError:
        return True
    return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_panels(tmp_path, "one", "two", "three")


@pytest.fixture
def stage(folder: Path) -> Stage:
    return Stage(folder)


def test_the_next_batch_is_given_to_the_chosen_panel_once_it_is_loaded(stage: Stage) -> None:
    stage.may_load.clear()
    stage.choose(choice("g", "two"))
    for _ in range(3):
        stage.cut_over.turn(stage.pipeline)
    assert stage.cut_over.loading
    assert name_of(stage.pipeline.scorer) == "one"
    stage.may_load.set()
    stage.turn_until_done()
    assert name_of(stage.pipeline.scorer) == "two"
    assert (stage.told.served, stage.told.why) == ([["two"]], [None])


def test_the_old_panel_is_closed_when_its_batches_are_through(stage: Stage) -> None:
    old = stage.cut_over.serving.main.panel
    stage.pipeline.in_flight = [stage.cut_over.scorer]
    stage.choose(choice("g", "two"))
    stage.turn_until_done()
    stage.cut_over.turn(stage.pipeline)
    assert not is_closed(old)
    stage.pipeline.in_flight = []
    stage.cut_over.turn(stage.pipeline)
    wait_until(lambda: is_closed(old))


def test_what_can_not_be_loaded_changes_nothing_and_is_told(stage: Stage) -> None:
    stage.broken = {"two"}
    stage.choose(choice("g", "two"))
    with structlog.testing.capture_logs() as lines:
        stage.turn_until_done()
    assert name_of(stage.pipeline.scorer) == "one"
    assert stage.told.why == ["two is broken"]
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["panel not taken over"]


def test_a_choice_is_tried_once(stage: Stage) -> None:
    stage.broken = {"two"}
    stage.choose(choice("g", "two"))
    stage.turn_until_done()
    for _ in range(5):
        stage.cut_over.turn(stage.pipeline)
    assert stage.loads == ["one", "two"]


def test_a_pin_changes_nothing_that_answers_and_takes_nothing_over(stage: Stage) -> None:
    stage.choose(choice("g", "two"))
    stage.turn_until_done()
    stage.choose(choice("g", "two", pinned=True))
    with structlog.testing.capture_logs() as lines:
        stage.turn_until_done()
    assert [line["event"] for line in lines] == ["panel chosen", "panel answers already"]
    assert (stage.told.taken, stage.told.why) == (1, [None, None])
    assert name_of(stage.pipeline.scorer) == "two"


def test_what_was_let_go_of_and_serves_again_was_not_taken_over(folder: Path) -> None:
    stage = Stage(folder, fits=False)
    stage.broken = {"two"}
    stage.choose(choice("g", "two"))
    stage.turn_until_done()
    assert (stage.told.taken, stage.told.why) == (0, ["two is broken"])


def test_another_share_of_the_panel_on_trial_changes_what_answers(stage: Stage) -> None:
    for share in (0.25, 0.5):
        stage.choose(choice("g", canary=Canary(panel="two", share=share)))
        stage.turn_until_done()
    assert stage.told.taken == 2


def test_of_choices_that_come_while_one_is_loaded_the_last_one_is_next(stage: Stage) -> None:
    stage.may_load.clear()
    stage.choose(choice("g", "two"))
    stage.cut_over.turn(stage.pipeline)
    stage.choose(choice("g", "one"))
    stage.choose(choice("g", "three"))
    stage.may_load.set()
    stage.turn_until_done()
    stage.turn_until_done()
    assert stage.loads == ["one", "two", "three"]
    assert name_of(stage.pipeline.scorer) == "three"


def test_what_is_loaded_already_is_not_loaded_again(stage: Stage) -> None:
    stage.choose(choice("g", canary=Canary(panel="two", share=0.5)))
    stage.turn_until_done()
    stage.choose(choice("g", "two", canary=Canary(panel="three", share=0.5)))
    stage.turn_until_done()
    stage.choose(choice("g", "two"))
    stage.turn_until_done()
    assert stage.loads == ["one", "two", "three"]
    assert stage.told.served == [[None, "two"], ["two", "three"], ["two"]]


def test_a_canary_that_can_not_be_loaded_leaves_the_chosen_panel_out_too(stage: Stage) -> None:
    stage.broken = {"three"}
    stage.choose(choice("g", "two", canary=Canary(panel="three", share=0.5)))
    stage.turn_until_done()
    assert name_of(stage.pipeline.scorer) == "one"


def test_where_both_do_not_fit_batches_wait_until_the_old_one_is_through_and_closed(folder: Path) -> None:
    stage = Stage(folder, fits=False)
    old, in_flight = stage.cut_over.serving.main.panel, stage.cut_over.scorer
    stage.pipeline.in_flight = [in_flight]
    stage.choose(choice("g", "two"))

    def gated() -> bool:
        stage.cut_over.turn(stage.pipeline)
        return stage.pipeline.scorer is not in_flight

    wait_until(gated)
    gate = stage.pipeline.scorer
    assert gate is not None
    waiting: list[str] = []
    waiter = threading.Thread(target=lambda: waiting.append(name_of(gate)))
    waiter.start()
    stage.cut_over.turn(stage.pipeline)
    assert not is_closed(old)
    assert stage.loads == ["one"]
    stage.pipeline.in_flight = []
    stage.turn_until_done()
    waiter.join(60)
    assert waiting == ["two"]
    assert is_closed(old)
    assert name_of(stage.pipeline.scorer) == "two"


def test_what_was_let_go_of_for_nothing_is_loaded_again(folder: Path) -> None:
    stage = Stage(folder, fits=False)
    stage.broken = {"two"}
    stage.choose(choice("g", "two"))
    stage.turn_until_done()
    assert stage.loads == ["one", "two", "one"]
    assert stage.told.why == ["two is broken"]
    assert name_of(stage.pipeline.scorer) == "one"


def test_where_nothing_can_be_loaded_any_more_waiting_batches_fail_and_so_does_the_turn(folder: Path) -> None:
    stage = Stage(folder, fits=False)
    stage.broken = {"one", "two"}
    stage.choose(choice("g", "two"))
    with pytest.raises(LoadError, match="two is broken"):
        stage.turn_until_done()
    with pytest.raises(LoadError, match="two is broken"):
        name_of(stage.pipeline.scorer)


def test_another_calibration_of_the_same_panel_loads_nothing(stage: Stage) -> None:
    stage.choose(choice("g", calibration={"panel": {"tie_bias": 1.0}}))
    stage.turn_until_done()
    assert stage.loads == ["one"]
    stage.choose(choice("g", "two"))
    stage.turn_until_done()
    stage.choose(choice("g", "two", calibration={"weights": {"somebody": 1.0}}))
    stage.turn_until_done()
    assert stage.told.why[:2] == [None, None]
    assert "somebody" in (stage.told.why[2] or "")
    assert name_of(stage.pipeline.scorer) == "two"


def test_closing_closes_what_answers_and_what_is_being_loaded(stage: Stage) -> None:
    stage.may_load.clear()
    stage.choose(choice("g", "two"))
    stage.cut_over.turn(stage.pipeline)
    change = stage.cut_over._change
    assert change is not None
    stage.cut_over.close()
    assert is_closed(stage.cut_over.serving.main.panel)
    stage.may_load.set()
    wait_until(lambda: change.serving is not None and is_closed(change.serving.main.panel))


def test_a_start_takes_the_last_that_can_be_loaded_and_says_why(folder: Path) -> None:
    stage = Stage(folder)
    stage.broken = {"two"}
    made = choice("g", "two", earlier=(PanelVersion(panel="nowhere"), PanelVersion(panel="three")))
    serving = load_first(stage.loader, made, stage.told)
    assert serving.main.version.panel == "three"
    assert stage.told.why == ["two is broken"]


def test_a_start_without_its_canary_goes_on_with_the_panel_that_serves(folder: Path) -> None:
    stage = Stage(folder)
    stage.broken = {"three"}
    serving = load_first(stage.loader, choice("g", "two", canary=Canary(panel="three", share=0.5)), stage.told)
    assert [panel.version.panel for panel in serving.panels] == ["two"]
    assert stage.told.why == ["three is broken"]


def test_a_start_where_nothing_can_be_loaded_fails_with_the_reason_of_the_choice(folder: Path) -> None:
    stage = Stage(folder)
    stage.broken = {"one", "two"}
    with pytest.raises(LoadError, match="two is broken"):
        load_first(stage.loader, choice("g", "two"), stage.told)
