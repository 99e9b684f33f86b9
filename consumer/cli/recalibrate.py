"""`prefstream recalibrate`: lets the panel's calibration follow the votes that people cast, live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import structlog
import typer

from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.panel_option import panel_config
from prefstream.consumer.cli.serving import open_log, serve_until_signal
from prefstream.consumer.recalibrate_config import RecalibrateConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prefstream.scoring.config import PanelConfig
    from prefstream.scoring.judges.calibration import CalibrationFile
    from prefstream.scoring.panel.panel import Panel

log = structlog.get_logger(__name__)

STOP_S: Final = 10.0
"""For the end: a fit takes moments, brokers that are away more. Nothing is lost with it."""

_UNUSED_TOPICS: Final = (
    "battles_topic",
    "dead_letters_topic",
    "review_topic",
    "shadow_topic",
    "votes_dead_letters_topic",
)


@with_settings(RecalibrateConfig, leave_out=_UNUSED_TOPICS, own_prefix="recalibrate_")
def recalibrate(
    config: RecalibrateConfig,
    context: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Publish nothing: the log tells what would be, and why.")
    ] = False,
) -> None:
    """Let the panel's calibration follow the votes that people cast, live.

    Follows the topics of votes and preferences, fits the panel's temperature, tie bias and, from many votes on, its
    judges' weights to the votes of late, and judges each fit on votes that came after it. Where it is better than what
    serves, by two standard errors of the difference in log loss, it is chosen on the panels topic: processes of the
    stream that follow it (`run --panels`) answer by it within a second, without loading a judge.

    What serves is read from the panel's file and the panels topic; no judge is loaded. Nothing is published while the
    choice is pinned (`prefstream panels pin`), or where it changed meanwhile. Nothing is kept: a start reads both
    topics as far back as --window. It serves /metrics, /livez and /readyz until SIGTERM or SIGINT.

    Exit codes: 0 stopped, 1 a lasting fault (start again), 2 can't be done as asked.

    Examples: `prefstream recalibrate --panel panel.yaml --panels panels/ --dry-run` ·
    `prefstream recalibrate --bootstrap-servers kafka:9092 --panel panel.yaml --group-id prefstream`
    """
    from prefstream.consumer.panels.folder import PanelFolder
    from prefstream.consumer.panels.loading import PanelLoader
    from prefstream.consumer.votes.live.service import LiveCalibration

    open_log(config, context)
    folder = None if config.panels is None else PanelFolder(config.panels)
    loader = PanelLoader(folder, config.panel, read=lambda path: panel_config(path, log.warning), load=_load_none)
    serve_until_signal(LiveCalibration(config, loader, dry_run=dry_run), stop_s=STOP_S)


def _load_none(panel: PanelConfig, calibration: CalibrationFile | None, beside: Sequence[Panel]) -> Panel:
    raise NotImplementedError("live calibration loads no judge")
