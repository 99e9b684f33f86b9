"""What serves is told by the choice and the panel's file; nothing is chosen against a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from prefstream.consumer.errors import UnconfirmedError
from prefstream.consumer.panels.choices import Heard
from prefstream.consumer.votes.live.chooser import OUTCOMES, LiveChooser, find_served, votes_on
from prefstream.consumer.votes.live.join import UNCOUNTED, AnsweredBy
from prefstream.consumer.votes.live.metrics import LiveMetrics
from prefstream.schemas import Canary, PanelChoice, PanelVersion
from prefstream.scoring.calibration.live import LiveCalibrator, LiveRules
from prefstream.scoring.calibration.live_votes import CastVote, Opinions
from prefstream.scoring.judges.calibration import CalibrationFile
from prefstream.scoring.panel.identity import version_of
from tests.support.panel_folders import choice, loader_of, write_panels

NOW_MS = int(datetime.now(UTC).timestamp() * 1000)
HOUR_MS = 3_600_000
LONG_AGO = datetime.now(UTC) - timedelta(days=1)
CALIBRATION = {"format": 1, "panel": {"temperature": 1.0, "tie_bias": 0.25}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_panels(tmp_path, "one", "two")


class Choices:
    """Choices of a group, without a broker; another may be made behind the back of who reads."""

    def __init__(self, first: PanelChoice | None = None, then: PanelChoice | None = None) -> None:
        self.made = [] if first is None else [first]
        self._then = then

    def read(self) -> Heard | None:
        heard = Heard(0, len(self.made), self.made[-1]) if self.made else None
        if self._then is not None:
            self.made.append(self._then)
            self._then = None
        return heard

    def publish(self, made: PanelChoice) -> None:
        self.made.append(made)


def ties(count: int = 400, *, by: AnsweredBy | None = None, at: int = 0) -> list[CastVote]:
    """Votes of people who say tie, on answers of the panel `one`."""
    by = by or AnsweredBy(None, None, ("one",), b"judges")
    said = Opinions(by, np.array([[0.345, 0.345, 0.31]]), np.ones(1, dtype=np.bool_), at=at)
    return [
        CastVote(b"%d" % one, b"%d" % one, (NOW_MS - 10_000 + one, 0, one), 2 if one % 4 else one % 8 // 4, said)
        for one in range(count)
    ]


def chooser_of(
    folder: Path,
    choices: Choices,
    *,
    dry_run: bool = False,
    now: Callable[[], int] = lambda: NOW_MS,
) -> LiveChooser:
    calibrator = LiveCalibrator(LiveRules(later_votes=100))
    calibrator.add(ties())
    metrics = LiveMetrics(OUTCOMES, UNCOUNTED)
    return LiveChooser(calibrator, loader_of(folder), choices, "g", metrics, dry_run=dry_run, now=now)


def test_what_is_better_is_chosen_with_figures_and_what_served_before_stands_behind_it(folder: Path) -> None:
    choices = Choices()
    assert chooser_of(folder, choices).turn() == "published"
    [made] = choices.made
    assert made.chosen_by == "calibrate"
    assert made.serving.panel is None
    assert made.serving.calibration is not None
    assert made.serving.calibration["panel"]["tie_bias"] == 0.5
    assert made.earlier == (PanelVersion(),)
    assert "standard error" in (made.why or "")


def test_a_canary_goes_on(folder: Path) -> None:
    canary = Canary(panel="two", share=0.1)
    choices = Choices(_old(choice("g", canary=canary)))
    assert chooser_of(folder, choices).turn() == "published"
    assert choices.made[-1].canary == canary


def test_nothing_is_chosen_in_a_dry_run(folder: Path) -> None:
    choices = Choices()
    assert chooser_of(folder, choices, dry_run=True).turn() == "would_publish"
    assert choices.made == []


def test_what_is_pinned_stays(folder: Path) -> None:
    choices = Choices(_old(choice("g", pinned=True)))
    assert chooser_of(folder, choices).turn() == "pinned"
    assert len(choices.made) == 1


def test_who_chose_meanwhile_is_heard(folder: Path) -> None:
    choices = Choices(then=choice("g", "two"))
    assert chooser_of(folder, choices).turn() == "choice_changed"
    assert [made.serving.panel for made in choices.made] == ["two"]


def test_no_version_within_the_hour_of_a_choice(folder: Path) -> None:
    choices = Choices(choice("g"))
    assert chooser_of(folder, choices).turn() == "too_soon"


def test_a_choice_that_a_wrong_clock_put_into_the_future_keeps_votes_out_for_an_hour_and_not_for_ever(
    folder: Path,
) -> None:
    choices = Choices(choice("g").model_copy(update={"chosen_at": datetime(2999, 1, 1, tzinfo=UTC)}))
    now = [NOW_MS - HOUR_MS, NOW_MS - 1, NOW_MS]
    chooser = chooser_of(folder, choices, now=lambda: now.pop(0))
    moments = [chooser.turn() for _ in range(3)]
    assert moments == ["too_soon", None, "published"]
    assert choices.made[-1].chosen_at == datetime.fromtimestamp(NOW_MS / 1000, UTC)


def test_what_could_not_be_written_is_decided_again_and_written_though_no_vote_came(folder: Path) -> None:
    class Away(Choices):
        away = True

        def publish(self, made: PanelChoice) -> None:
            if self.away:
                raise UnconfirmedError("nobody knows")
            super().publish(made)

    choices = Away()
    chooser = chooser_of(folder, choices)
    with pytest.raises(UnconfirmedError):
        chooser.turn()
    choices.away = False
    assert chooser.turn() == "published"
    assert len(choices.made) == 1


def test_a_panel_that_is_not_in_the_folder_is_told_and_left_alone(folder: Path) -> None:
    choices = Choices(_old(choice("g", "nowhere")))
    chooser = chooser_of(folder, choices)
    assert [chooser.turn(), chooser.turn()] == ["failed", None]
    assert len(choices.made) == 1


def test_answers_of_the_same_judges_calibrated_otherwise_count_and_no_others(folder: Path) -> None:
    serving = choice("g", calibration=CALIBRATION, earlier=(PanelVersion(), PanelVersion(panel="two")))
    found = find_served(loader_of(folder), serving)
    version = version_of(CalibrationFile.model_validate(CALIBRATION))
    assert found.served.file.panel.tie_bias == 0.25
    assert found.calibrations == {None, version}
    now = AnsweredBy(None, version, ("one",), b"judges")
    before, unknown = now._replace(calibration=None), now._replace(calibration="0123456789ab")
    other, named = now._replace(judges=("two",)), now._replace(panel="two")
    assert [found.answered(by) for by in (now, before, unknown, other, named)] == [True, True, False, False, False]


def test_of_a_name_that_has_other_judges_by_now_those_who_answered_last_count(folder: Path) -> None:
    found = find_served(loader_of(folder), choice("g"))
    old = ties(3, by=AnsweredBy(None, None, ("one",), b"of then"), at=1)
    new = ties(2, by=AnsweredBy(None, None, ("one",), b"of now"), at=2)
    assert votes_on(found, [*new, *old]) == new
    assert votes_on(found, []) == []


def _old(made: PanelChoice) -> PanelChoice:
    return made.model_copy(update={"chosen_at": LONG_AGO})
