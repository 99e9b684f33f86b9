"""`prefstream run`: the service."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final

import structlog
import typer

from prefstream.consumer.cli.exit_codes import leave_now
from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.panel_option import panel_config
from prefstream.consumer.cli.serving import code_of_service, open_log
from prefstream.consumer.cli.signals import leave_within, stop_service_on_signals
from prefstream.consumer.client.watchdog import end_process
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.early_signals import EXIT_STOPPED, SignalForm, end_at_once
from prefstream.consumer.errors import StalledError
from prefstream.consumer.process.garbage import loading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from prefstream.consumer.stream.service import Service
    from prefstream.scoring.config import PanelConfig
    from prefstream.scoring.judges.calibration import CalibrationFile
    from prefstream.scoring.panel.panel import Panel

log = structlog.get_logger(__name__)

CLOSE_S: Final = 5.0
"""After the time to drain: leaving the group and closing connections takes a second when the brokers answer."""


@with_settings(StreamConfig)
def run(config: StreamConfig, context: typer.Context) -> None:
    """Serve: read battles, publish preferences and dead letters, exactly once, until SIGTERM or SIGINT.

    Then the batches in flight are finished or given up within --drain-seconds, and the process leaves the group and
    exits with 0. A second signal ends it at once; nothing is lost by that.

    Example: `prefstream run --bootstrap-servers kafka:9092 --panel panel.yaml --group-id prefstream`
    """
    # Until `_stop_on_signals`, a signal ends the process as it does while the settings are read.
    from prefstream.consumer.panels.folder import PanelFolder
    from prefstream.consumer.panels.loading import PanelLoader
    from prefstream.consumer.stream.service import Service
    from prefstream.consumer.stream.telemetry import judge_loading
    from prefstream.scoring.panel.load import load_panel

    open_log(config, context)

    def say(line: str) -> None:
        log.info("loading", step=line)

    def load(panel: PanelConfig, calibration: CalibrationFile | None, beside: Sequence[Panel]) -> Panel:
        with loading(panel):
            return load_panel(panel, calibration=calibration, say=say, loading=judge_loading, beside=beside)

    folder = None if config.panels is None else PanelFolder(config.panels)

    def fits(panel: PanelConfig, beside: Sequence[Panel]) -> bool:
        from prefstream.consumer.doctor.judges import fits_beside  # needed where a panel is changed

        return fits_beside(panel, beside)

    early: dict[Path, PanelConfig] = {}

    def read(path: Path) -> PanelConfig:
        return early.pop(path, None) or panel_config(path, log.warning)  # a pipe can be read once

    service = Service(config, PanelLoader(folder, config.panel, read=read, load=load, fits=fits))

    def serve() -> None:
        _stop_on_signals(service, config.drain_seconds)
        if folder is None:  # what is wrong there is told before brokers are waited for
            panel = config.require_panel()
            early[panel] = panel_config(panel, log.warning)
        else:
            folder.names()
        try:
            service.run()
        except StalledError as error:
            end_process("scoring", str(error))

    code = code_of_service(serve)
    if service.gave_up:
        leave_now(code)
    sys.exit(code)


def _stop_on_signals(service: Service, drain_seconds: float) -> None:
    """SIGTERM and SIGINT ask the service to finish; a second one ends the process at once."""

    def ask(number: int, form: SignalForm) -> None:
        if not service.streaming:  # loading judges may take minutes
            end_at_once("stopped while it started, nothing was begun", number, EXIT_STOPPED, form)
        service.stop(signal.Signals(number).name)
        # A broker that is away can hold the loop up longer than the time to drain; leaving in the middle of a
        # transaction is safe, our successor ends it.
        leave_within(drain_seconds + CLOSE_S, service.tell_end)

    stop_service_on_signals(
        ask,
        asked="stopping, batches in flight are finished or given up",
        ended="stopped at once, batches in flight will be scored again",
    )
