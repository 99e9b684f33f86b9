"""What serves now, by the panels topic and the panel's file; and the choice that takes its place, if there is one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol

import orjson
import structlog

from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import StreamError
from prefstream.consumer.panels.choices import Heard, publish_choice, read_choice
from prefstream.consumer.panels.choosing import first_choice, recalibrate
from prefstream.consumer.panels.loading import PanelLoader
from prefstream.consumer.votes.live.join import AnsweredBy
from prefstream.consumer.votes.live.metrics import LiveMetrics
from prefstream.schemas import PanelChoice, PanelVersion, PrefstreamError
from prefstream.scoring.calibration.live import Decision, LiveCalibrator, ServedCalibration
from prefstream.scoring.calibration.live_votes import CastVote
from prefstream.scoring.moments import milliseconds
from prefstream.scoring.panel.identity import version_of

log = structlog.get_logger(__name__)

OUTCOMES: Final = (
    "published",
    "would_publish",
    "not_better",
    "too_few_votes",
    "too_few_later_votes",
    "too_soon",
    "pinned",
    "choice_changed",
    "failed",
)
"""What may come of a look."""


class AsksChoices(Protocol):
    """Reads and writes the last choice of a group."""

    def read(self) -> Heard | None:
        """The last choice; None where nothing was chosen."""

    def publish(self, choice: PanelChoice) -> None:
        """Make a choice."""


class TopicChoices:
    """The choices on the panels topic.

    Args:
        names: the brokers, and the topic's name.
        group: consumer group.
    """

    def __init__(self, names: TopicNames, group: str) -> None:
        self._names = names
        self._group = group

    def read(self) -> Heard | None:
        """As `read_choice`."""
        return read_choice(self._names, self._group)

    def publish(self, choice: PanelChoice) -> None:
        """As `publish_choice`."""
        publish_choice(self._names, choice)


@dataclass(frozen=True, slots=True)
class ServedNow:
    """What serves, and whose answers are those of its judges.

    Attributes:
        served: weights and calibration.
        panel: its name on the panels topic; None for the one that processes were started with.
        calibrations: versions of calibrations under which its judges answer as they do now.
    """

    served: ServedCalibration
    panel: str | None
    calibrations: frozenset[str | None]

    def answered(self, by: AnsweredBy) -> bool:
        """Whether an answer is one of these judges, by all that it says of itself."""
        return by.panel == self.panel and by.calibration in self.calibrations and by.judges == self.served.judges


def find_served(loader: PanelLoader, choice: PanelChoice) -> ServedNow:
    """What serves by a choice. Judges are not loaded.

    Args:
        loader: reads the panel's file.
        choice: the last one.

    Raises:
        PrefstreamError: the panel's file or the calibration can't be read.
    """
    config, file = loader.read(choice.serving)
    judges = sorted(config.judges, key=lambda judge: judge.name)
    served = ServedCalibration(
        tuple(judge.name for judge in judges), tuple(float(judge.weight) for judge in judges), file
    )
    alike: set[str | None] = set()
    for version in (choice.serving, *choice.earlier, PanelVersion(panel=choice.serving.panel)):
        if version.panel != choice.serving.panel:
            continue
        try:
            _, before = loader.read(version)
        except PrefstreamError:
            continue  # it served in its time; its answers are left out
        if before.judges == file.judges:
            uncalibrated = version.calibration is None and config.calibration is None
            alike.add(None if uncalibrated else version_of(before))
    return ServedNow(served.with_file(file), choice.serving.panel, frozenset(alike))


class LiveChooser:
    """Looks whether a calibration is better, and chooses it.

    Args:
        calibrator: has the votes.
        loader: reads panel files.
        choices: of the group.
        group: whose panel is calibrated.
        metrics: hear of each decision.
        dry_run: only tell.
        now: ms since the epoch.
    """

    def __init__(
        self,
        calibrator: LiveCalibrator,
        loader: PanelLoader,
        choices: AsksChoices,
        group: str,
        metrics: LiveMetrics,
        *,
        dry_run: bool = False,
        now: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._calibrator = calibrator
        self._loader = loader
        self._choices = choices
        self._group = group
        self._metrics = metrics
        self._dry_run = dry_run
        self._now = now
        self._of_the_future: tuple[Heard, int] | None = None

    def turn(self) -> str | None:
        """Look, if it is time to.

        Returns:
            What came of it, of `OUTCOMES`; None where it was no time for a look.

        Raises:
            StreamError: the panels topic can't be read or written.
        """
        now = self._now()
        if not self._calibrator.due(now):
            return None
        heard = self._choices.read()
        choice = first_choice(self._group, datetime.now(UTC)) if heard is None else heard.choice
        try:
            serving = find_served(self._loader, choice)
        except PrefstreamError as error:
            self._calibrator.looked(now)
            log.warning("what serves can't be read", panel=str(choice.serving), why=str(error))
            self._metrics.decided("failed", None, None)
            return "failed"
        since = self._chosen_at(heard, now)
        decision = self._calibrator.look(now, serving.served, since=since, of_panel=partial(votes_on, serving))
        try:
            outcome = self._carry_out(now, decision, serving.served, heard, choice)
        except StreamError:
            self._calibrator.take_back()
            raise
        self._metrics.decided(outcome, serving.served, decision)
        log.info("decided", outcome=outcome, panel=str(choice.serving), **figures(decision, serving.served))
        return outcome

    def _chosen_at(self, heard: Heard | None, now: int) -> int:
        """When what serves was chosen, ms since the epoch; -1 where nothing was.

        A moment in the future comes of a clock that is wrong, and would keep all votes out until then: such a choice
        counts from when it was first seen here.
        """
        if heard is None:
            return -1
        at = milliseconds(heard.choice.chosen_at)
        if at <= now:
            return at
        if self._of_the_future is None or self._of_the_future[0] != heard:
            self._of_the_future = heard, now
            log.warning("the choice is of the future, and counts from now on", chosen_at=str(heard.choice.chosen_at))
        return self._of_the_future[1]

    def _carry_out(
        self, now: int, decision: Decision, served: ServedCalibration, heard: Heard | None, choice: PanelChoice
    ) -> str:
        if choice.pinned:
            return "pinned"
        if decision.verdict != "better" or decision.file is None:
            return decision.verdict
        if self._dry_run:
            return "would_publish"
        if self._choices.read() != heard:
            return "choice_changed"
        content = orjson.loads(decision.file.encode())
        at = datetime.fromtimestamp(now / 1000, UTC)  # when it was decided, from which the next hour counts
        self._choices.publish(recalibrate(choice, content, at, why=why_of(decision, served)))
        return "published"


def figures(decision: Decision, served: ServedCalibration) -> dict[str, object]:
    """A decision for the log."""
    told: dict[str, object] = {"votes": round(decision.votes), "later_votes": round(decision.later)}
    if decision.file is None or decision.change is None or decision.error is None or decision.log_loss is None:
        return told
    before, after = served.file.panel, decision.file.panel
    return told | {
        "log_loss": round(decision.log_loss, 4),
        "change": round(decision.change, 4),
        "error": round(decision.error, 4),
        "temperature": f"{before.temperature:.4g} to {after.temperature:.4g}",
        "tie_bias": f"{before.tie_bias:+.4g} to {after.tie_bias:+.4g}",
    }


def why_of(decision: Decision, served: ServedCalibration) -> str:
    """A decision for people who read the choice."""
    told = figures(decision, served)
    moved = ", weights too" if decision.file is not None and decision.file.weights != served.file.weights else ""
    return (
        f"log loss {told['log_loss']} changes by {told['change']} (standard error {told['error']}) on "
        f"{told['later_votes']} votes after the {told['votes']} it was fitted to; temperature {told['temperature']}, "
        f"tie bias {told['tie_bias']}{moved}"
    )


def votes_on(serving: ServedNow, votes: Sequence[CastVote]) -> list[CastVote]:
    """Votes on answers of the panel's judges; of those who answered last: a name may stand for other weights by now.

    Args:
        serving: the panel.
        votes: on answers of whichever panel.
    """
    own = [(vote, by) for vote in votes if isinstance(by := vote.opinions.by, AnsweredBy) and serving.answered(by)]
    _, newest = max(own, key=lambda one: one[0].opinions.at, default=(None, None))
    return [vote for vote, by in own if newest is not None and by.hash == newest.hash]
