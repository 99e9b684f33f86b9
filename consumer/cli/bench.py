"""`prefstream bench`: what this machine does, as ratios that travel."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from consumer.logs import configure_logging
from scoring.config import PanelConfig, load_panel_config
from scoring.runtime import ensure_fast_process


class What(StrEnum):
    """What to measure."""

    PANEL = "panel"
    OFFLINE = "offline"
    OVERHEAD = "overhead"
    ALL = "all"


def bench(
    what: Annotated[
        What,
        typer.Argument(
            help="panel: the panel against a plain loop. offline: the stream against `score`. "
            "overhead: the stream with judges that cost nothing against a bare Kafka loop."
        ),
    ] = What.ALL,
    panel: Annotated[
        Path | None, typer.Option(envvar="PREFSTREAM_PANEL", help="Panel file. Default: the demo judges.")
    ] = None,
    battles: Annotated[
        int, typer.Option(min=1, envvar="PREFSTREAM_BENCH_BATTLES", help="Battles of real lengths for the judges.")
    ] = 200,
    small_battles: Annotated[
        int, typer.Option(min=1, envvar="PREFSTREAM_BENCH_SMALL_BATTLES", help="Battles of 2 KB for the overhead.")
    ] = 20_000,
    batch: Annotated[
        int, typer.Option(min=1, envvar="PREFSTREAM_BENCH_BATCH", help="Battles in a batch for the overhead.")
    ] = 500,
    repetitions: Annotated[
        int,
        typer.Option(min=1, envvar="PREFSTREAM_BENCH_REPETITIONS", help="How often each side runs; they take turns."),
    ] = 3,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(
            envvar="PREFSTREAM_BENCH_BOOTSTRAP_SERVERS",
            help="A real cluster, HOST:PORT. Default: an embedded broker in a process of its own.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", envvar="PREFSTREAM_BENCH_OUTPUT", help="Write everything as JSON.")
    ] = None,
) -> None:
    """Measure this machine. Each figure is a ratio of two programs that take turns in the same run.

    Leave the machine alone meanwhile. All of it takes some minutes a repetition on two cores.

    Examples: `prefstream bench overhead` · `prefstream bench panel --battles 50 --repetitions 1`
    """
    ensure_fast_process()
    configure_logging("warning", "console")
    console = Console(stderr=True)
    results: dict[str, Any] = {}
    if what in {What.OVERHEAD, What.ALL}:
        results["overhead"] = _overhead(small_battles, batch, repetitions, bootstrap_servers, console)
    if what in {What.PANEL, What.OFFLINE, What.ALL}:
        with console.status("preparing the judges") as status:
            config = load_panel_config(panel) if panel else _demo_panel(status.update)
        if what in {What.PANEL, What.ALL}:
            results["panel"] = _panel(config, battles, repetitions, console)
        if what in {What.OFFLINE, What.ALL}:
            results["offline"] = _offline(config, battles, repetitions, bootstrap_servers, console)
    _print(results)
    if output:
        output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _demo_panel(tell: Any) -> PanelConfig:
    from scoring.demo_judges import demo_panel_config

    return demo_panel_config(progress=tell)


def _overhead(battles: int, batch: int, repetitions: int, servers: str | None, console: Console) -> dict[str, Any]:
    from consumer.bench import overhead

    with console.status(f"stream and bare loop, {battles} battles of 2 KB, {batch} in a transaction"):
        result = overhead(battles, batch, repetitions, servers)
    return {"ratio": result.ratio, **asdict(result)}


def _panel(config: PanelConfig, battles: int, repetitions: int, console: Console) -> dict[str, Any]:
    from scoring.bench import bench_battles, bench_panel

    result = bench_panel(config, battles=bench_battles(battles), repetitions=repetitions, progress=console.log)
    return {
        "ours_per_s": [battles / seconds for seconds in result.panel_s],
        "theirs_per_s": [battles / seconds for seconds in result.plain_s],
        **asdict(result),
    }


def _offline(
    config: PanelConfig, battles: int, repetitions: int, servers: str | None, console: Console
) -> dict[str, Any]:
    from consumer.bench import stream_against_offline
    from scoring.bench import DEFAULT_BATCH_BATTLES, bench_battles
    from scoring.panel import load_panel

    with load_panel(config) as panel, console.status(f"stream and offline, {battles} battles of real lengths"):
        result = stream_against_offline(panel, bench_battles(battles), DEFAULT_BATCH_BATTLES, repetitions, servers)
    return {"ratio": result.ratio, **asdict(result)}


def _print(results: dict[str, Any]) -> None:
    table = Table("what", "battles/s", "against", "battles/s", "ratio")
    names = {
        "overhead": ("stream, judges that cost nothing", "bare consume-send-commit loop"),
        "panel": ("panel", "plain notebook loop"),
        "offline": ("stream", "score, from a file"),
    }
    for key, result in results.items():
        ours, theirs = names[key]
        table.add_row(
            ours, _spread(result["ours_per_s"]), theirs, _spread(result["theirs_per_s"]), f"{result['ratio']:.2f}"
        )
    Console().print(table)


def _spread(rates: list[float]) -> str:
    """Lowest to highest."""
    digits = 0 if min(rates) > 100 else 2
    return f"{min(rates):,.{digits}f} to {max(rates):,.{digits}f}"
