"""What answers in this process: the panel that it was started with, or what is chosen on the panels topic."""

from __future__ import annotations

from contextlib import ExitStack

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.consumer.observe.watcher import Watcher
from prefstream.consumer.panels.choices import Heard, follow, read_choice
from prefstream.consumer.panels.cutover import CutOver, Serving, load_first
from prefstream.consumer.panels.loading import PanelLoader
from prefstream.schemas import PanelVersion
from prefstream.scoring.errors import JudgeFaultError


class Standing:
    """Tells metrics which panels answer, and of their faults.

    Args:
        config: names the panel that the process was started with.
        metrics: what operators see.
    """

    def __init__(self, config: StreamConfig, metrics: StreamMetrics) -> None:
        self._started_with = "" if config.panel is None else config.panel.stem
        self._metrics = metrics
        self._failed = False

    def serves(self, serving: Serving) -> None:
        """From the next batch on this answers."""
        metrics = self._metrics
        roles = ("serving", "canary")[: len(serving.panels)]
        for loaded in serving.panels:
            metrics.expect_judges(judge.name for judge in loaded.panel.judges)
            loaded.panel.on_fault = self._fault
        metrics.panels(
            (loaded.panel.identity, loaded.version.panel or self._started_with, role)
            for loaded, role in zip(serving.panels, roles, strict=True)
        )

    def took_over(self) -> None:
        """What was chosen answers, and something else did before."""
        self._metrics.panel_taken_over()

    def failed(self, why: str | None) -> None:
        """Why what was chosen last does not answer; None where it does."""
        self._metrics.panel_choice(failed=why is not None)

    def _fault(self, fault: JudgeFaultError) -> None:
        self._metrics.judge_fault(fault.judge, lost_replica=fault.replica is not None)


def load_standing(config: StreamConfig, loader: PanelLoader, standing: Standing) -> tuple[Serving, Heard | None]:
    """Load what answers at the start.

    Args:
        config: names the panels topic, and whether it is followed.
        loader: loads it.
        standing: hears of it.

    Returns:
        What answers, and the choice that it comes from.

    Raises:
        PrefstreamError: nothing can be loaded.
    """
    heard = None if config.panels is None else read_choice(config, config.group)
    serving = Serving(loader.load(PanelVersion())) if heard is None else load_first(loader, heard.choice, standing)
    standing.serves(serving)
    return serving, heard


def follow_choices(
    config: StreamConfig,
    loader: PanelLoader,
    standing: Standing,
    loaded: tuple[Serving, Heard | None],
    stack: ExitStack,
) -> CutOver:
    """Take over what is chosen from now on, where the panels topic is followed.

    Args:
        config: names the panels topic.
        loader: loads what is chosen.
        standing: hears of it.
        loaded: as `load_standing` returned it.
        stack: stops following.
    """
    serving, heard = loaded
    cut_over = CutOver(loader, serving, standing, taken=heard)
    if config.panels is not None:
        stack.enter_context(Watcher("panels", follow(config, config.group, cut_over.hear)))
    return cut_over
