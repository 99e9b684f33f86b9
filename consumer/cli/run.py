"""`prefstream run`: the service."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

import structlog

from consumer.cli.options import with_settings
from consumer.config import StreamConfig
from consumer.errors import Stalled
from consumer.logs import configure_logging, install_exception_hooks
from consumer.watchdog import end_process
from scoring.panel import Panel
from scoring.runtime import ensure_fast_process

log = structlog.get_logger(__name__)


@with_settings(StreamConfig)
def run(config: StreamConfig) -> None:
    """Serve: read battles, publish preferences and dead letters, exactly once, until SIGTERM or SIGINT.

    Then the batches in flight are finished or given up within --drain-seconds, and the process leaves the group and
    exits with 0. A second signal ends it at once; nothing is lost by that.

    Example: `prefstream run --bootstrap-servers kafka:9092 --panel panel.yaml --group-id prefstream`
    """
    from consumer.service import Service

    ensure_fast_process()
    configure_logging(config.log_level, config.log_format)
    install_exception_hooks()
    service = Service(config, lambda: load_configured_panel(config))

    def stop(signal_number: int, frame: FrameType | None) -> None:
        del signal_number, frame
        service.stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        if not service.streaming:
            sys.exit(0)  # nothing is in flight while judges are loaded, and that may take minutes

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        service.run()
    except Stalled as error:
        logging.getLogger(__name__).critical("%s", error)
        end_process("scoring")
    if service.gave_up:
        leave_now(0)


def load_configured_panel(config: StreamConfig) -> Panel:
    """The panel of the configuration's file, or the demo judges where it names none."""
    from scoring.panel import load_panel

    if config.panel is not None:
        return load_panel(config.panel)
    from scoring.demo_judges import demo_panel_config

    return load_panel(demo_panel_config(progress=log.info))


def leave_now(code: int) -> None:
    """End the process although a forward pass is under way: the interpreter would wait for its thread."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
