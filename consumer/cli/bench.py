"""`prefstream bench`: what this machine does, as ratios that travel."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Column, Table

from prefstream.consumer.cli.exit_codes import EXIT_FAULT
from prefstream.consumer.cli.notes import refuse_unused
from prefstream.consumer.cli.outputs import check_outputs, write_output
from prefstream.consumer.cli.panel_option import DEFAULT_PANEL, PanelOption, panel_config, panel_files
from prefstream.consumer.cli.ui.lines import print_table, say
from prefstream.consumer.cli.ui.measurements import print_latency, print_profile, print_results
from prefstream.consumer.cli.ui.reports.card_report import print_card_report
from prefstream.consumer.observe.logs import configure_logging
from prefstream.scoring.bench.cards.sheets import NAMES, find_cards
from prefstream.scoring.bench.training import DEFAULT_RECIPE
from prefstream.scoring.config import ModelJudgeConfig, PanelConfig
from prefstream.scoring.finetune.recipe import load_recipe
from prefstream.scoring.loading.sources import prepare_demo_bases


class What(StrEnum):
    """What to measure."""

    PANEL = "panel"
    OFFLINE = "offline"
    OVERHEAD = "overhead"
    TRAIN = "train"
    PROFILE = "profile"
    GROWTH = "growth"
    LATENCY = "latency"
    ROOFLINE = "roofline"
    GPU = "gpu"
    ALL = "all"


_CARD_REPORT: Final = "prefstream-gpu.json"

_USED_BY: Final[dict[str, set[What]]] = {
    "panel": {What.PANEL, What.OFFLINE, What.PROFILE, What.GROWTH, What.ROOFLINE, What.GPU},
    "cards": {What.ROOFLINE},
    "recipe": {What.TRAIN},
    "battles": {What.PANEL, What.OFFLINE, What.TRAIN, What.PROFILE, What.GPU},
    "repetitions": {What.PANEL, What.OFFLINE, What.OVERHEAD, What.TRAIN},
    "small_battles": {What.OVERHEAD},
    "batch": {What.OVERHEAD},
    "bootstrap_servers": {What.OFFLINE, What.OVERHEAD, What.LATENCY},
    "quix_python": {What.OVERHEAD},
    "traces": {What.OVERHEAD},
    "competitors_python": {What.PANEL},
    "rows": {What.GROWTH},
    "only": {What.GROWTH, What.GPU},
    "device": {What.GPU},
    "seconds": {What.LATENCY},
}
"""Which measurements an option is for; the others are for all."""


def bench(
    context: typer.Context,
    what: Annotated[
        What,
        typer.Argument(
            help="panel: the panel against a plain loop, a careful one, and sentence-transformers' and OpenVINO where "
            "--competitors-python has them. offline: the stream against `score`. "
            "overhead: the stream with judges that cost nothing against a bare kafka-python loop, and against "
            "quix-streams where it is installed, all from one topic that was filled in record batches of a megabyte. "
            "train: the steps of `finetune` against a bare PyTorch loop that does the same ones. "
            "profile: where each judge's time goes, and what share of this machine's peak it reaches; not among all. "
            "growth: `score`, `evaluate` and `calibrate` by the panel's judges that don't read, and `finetune` of a "
            "judge of features, each on files of growing size: what a row adds to their memory. "
            "latency: how long a reader of committed records waits for an answer, to lone battles and at half load, "
            "beside one pass of the judge and one commit; not among all. "
            "roofline: what graphics cards would do with the panel at most, by arithmetic on their data sheets: a "
            "bound, not a measurement; nothing is loaded, no card is needed, and it is not among all."
        ),
    ] = What.ALL,
    panel: PanelOption = DEFAULT_PANEL,
    recipe: Annotated[str, typer.Option(help="What is trained: a YAML file, or one that ships.")] = DEFAULT_RECIPE,
    battles: Annotated[int, typer.Option(min=1, help="Battles of real lengths for the judges.")] = 200,
    small_battles: Annotated[int, typer.Option(min=1, help="Battles of 2 KB for the overhead.")] = 20_000,
    batch: Annotated[int, typer.Option(min=1, help="Battles in a batch for the overhead.")] = 500,
    repetitions: Annotated[
        int,
        typer.Option(min=1, help="How often each side runs; they take turns."),
    ] = 3,
    rows: Annotated[
        list[int] | None,
        typer.Option(min=1, show_default="1000 and 10000", help="Rows of a file for growth; may be repeated."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            show_default="all",
            help="A command that growth measures, or a section of gpu; may be repeated.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1.0, help="How long battles come in each measurement of latency.")
    ] = 20.0,
    cards: Annotated[
        list[str] | None,
        typer.Option("--card", metavar="NAME", show_default="all", help=f"For roofline: {NAMES}; may be repeated."),
    ] = None,
    device: Annotated[
        str,
        typer.Option(help="For gpu: where the judges are put, cuda:0 and so on; cpu tries the run itself."),
    ] = "cuda:0",
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(
            help="A real cluster, HOST:PORT. Default: an embedded broker in a process of its own.",
        ),
    ] = None,
    quix_python: Annotated[
        Path | None,
        typer.Option(
            help="An interpreter that quix-streams is installed for: it asks for older packages than prefstream does, "
            "so that it may need an environment of its own. Default: this one, where it has it."
        ),
    ] = None,
    traces: Annotated[
        bool,
        typer.Option("--traces", help="For overhead: the stream with 1 % and with all of its battles traced, too."),
    ] = False,
    competitors_python: Annotated[
        Path | None,
        typer.Option(
            help="For panel: an interpreter that sentence-transformers, openvino or both are installed for, and what "
            "prefstream[judges] brings. They score the same battles with the same judges, in turn with the others."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help=f"Write everything as JSON. Default for gpu: {_CARD_REPORT}, for the others none."
        ),
    ] = None,
) -> None:
    """Measure this machine: by ratios of two programs that take turns, but for profile, growth, latency, roofline, gpu.

    Leave the machine alone meanwhile. All of it takes some minutes a repetition on two cores.

    Training is timed over optimiser steps after the first: loading, checkpoints and looks at the dev pairs are not in
    it. The losses of both sides must agree; if they don't, it says so and the exit code is 1. So it is where a section
    of gpu failed; the others run all the same.

    Examples: `prefstream bench overhead` · `prefstream bench panel --battles 50 --repetitions 1` ·
    `prefstream bench train --recipe gemma-3-270m --battles 64` · `prefstream bench growth --rows 1000 --rows 100000` ·
    `prefstream bench latency --bootstrap-servers kafka:9092` ·
    `prefstream bench roofline --panel deploy/panels/two-80gb.yaml --card H100` ·
    `prefstream bench gpu -o card.json` · `prefstream bench gpu --device cpu --battles 8 --only agreement`
    """
    configure_logging("warning", "console")
    if what is not What.ALL:
        refuse_unused(context, [name for name, users in _USED_BY.items() if what not in users], f"on bench {what}")
    check_outputs({"--output": output}, (), force=True)
    console = Console(stderr=True)
    not_among_all: dict[What, Callable[[], None]] = {
        What.PROFILE: lambda: _profile(panel, battles, output, console),
        What.LATENCY: lambda: _latency(seconds, bootstrap_servers, output, console),
        What.ROOFLINE: lambda: _roofline(panel, cards or [], output, console),
        What.GPU: lambda: _gpu(panel, device, battles, only or [], output or Path(_CARD_REPORT), console),
    }
    if alone := not_among_all.get(what):
        alone()
        return
    results: dict[str, Any] = {}
    if what in {What.TRAIN, What.ALL}:
        # First: what is wrong with the recipe should not show after minutes.
        results["train"] = _train(recipe, battles, repetitions, console)
    if what in {What.OVERHEAD, What.ALL}:
        measure = partial(_overhead, small_battles, batch, repetitions, bootstrap_servers, quix_python)
        results["overhead"] = measure(console, traces=traces)
    if what in {What.GROWTH, What.ALL}:
        results["growth"] = _growth(panel_config(panel, partial(say, console)), rows, only, console)
    if what in {What.PANEL, What.OFFLINE, What.ALL}:
        config = _prepared(panel, console)
        if what in {What.PANEL, What.ALL}:
            results["panel"] = _panel(config, battles, repetitions, competitors_python, console)
        if what in {What.OFFLINE, What.ALL}:
            results["offline"] = _offline(config, battles, repetitions, bootstrap_servers, console)
    _tell(results, output)


def _tell(results: dict[str, Any], output: Path | None) -> None:
    if output:
        write_output(output, (json.dumps(results, indent=2) + "\n").encode())
    print_results(results)
    if not results.get("train", {}).get("same_work", True):
        raise typer.Exit(EXIT_FAULT)


def _prepared(panel: Path, console: Console) -> PanelConfig:
    """A panel whose bases are on this machine: the benchmark's processes would fetch them unseen."""
    with console.status("preparing the judges") as status:
        config = panel_config(panel, status.update)
        bases = [judge.base for judge in config.judges if isinstance(judge, ModelJudgeConfig)]
        prepare_demo_bases(bases, say=status.update)
    return config


def _profile(panel: Path, battles: int, output: Path | None, console: Console) -> None:
    from prefstream.scoring.bench.profile import profile_panel
    from prefstream.scoring.bench.throughput import bench_battles

    config = _prepared(panel, console)
    with console.status(f"profiling each judge over {battles} battles of real lengths"):
        result = profile_panel(config, battles=bench_battles(battles), say=console.log)
    if output:
        write_output(output, (json.dumps(result.to_fields(), indent=2) + "\n").encode())
    print_profile(result, Console())


def _roofline(panel: Path, cards: Sequence[str], output: Path | None, console: Console) -> None:
    from prefstream.scoring.bench.cards.roofline import Way, bounds, cells

    chosen = find_cards(cards)
    with console.status("counting what each judge multiplies and moves") as status:
        found = bounds(panel_config(panel, status.update), chosen)
    if output:
        write_output(output, (json.dumps([asdict(bound) for bound in found], indent=2) + "\n").encode())
    if not found:
        say(console, "none of these cards holds the panel's weights and computes in its dtypes")
        return
    table = Table("card", *(Column(way.value, justify="right") for way in Way))
    for row in cells(found):
        table.add_row(*row)
    table.caption = "battles/s at most, with swap / without; one card for each device of the panel"
    printed = Console()
    print_table(printed, table)
    say(printed, "a bound by arithmetic, not a measurement: real cards stay below it")


def _gpu(panel: Path, device: str, battles: int, only: Sequence[str], output: Path, console: Console) -> None:
    from prefstream.scoring.bench.gpu.check import check_card
    from prefstream.scoring.bench.gpu.report import SectionName

    _refuse_unknown(only, list(SectionName))
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise typer.BadParameter(f"{device} is neither cpu nor a card's name such as cuda:0", param_hint="--device")
    check_outputs({"--output": output}, panel_files(panel), force=True)
    with console.status(f"trying {device}") as status:
        report = check_card(
            panel_config(panel, status.update),
            device=device,
            battles=battles,
            only=[SectionName(name) for name in only],
            say=status.update,
            done=lambda section: console.log(f"{section.name}: {section.status} after {section.seconds:.0f} s"),
        )
    write_output(output, (json.dumps(report.to_fields(), indent=2) + "\n").encode())
    printed = Console()
    print_card_report(report, printed)
    say(printed, f"all figures are in {output}")
    if not report.passed:
        raise typer.Exit(EXIT_FAULT)


def _refuse_unknown(only: Sequence[str], known: Collection[str]) -> None:
    unknown = sorted({*only} - {*known})
    if unknown:
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(known)}", param_hint="--only")


def _overhead(
    battles: int,
    batch: int,
    repetitions: int,
    servers: str | None,
    quix: Path | None,
    console: Console,
    *,
    traces: bool,
) -> dict[str, Any]:
    from prefstream.consumer.bench.stream import overhead

    with console.status(f"stream and others, {battles} battles of 2 KB, {batch} in a transaction"):
        measured = overhead(battles, batch, repetitions, servers, quix=quix, traces=traces, say=console.log)
    return measured.to_fields()


def _latency(seconds: float, servers: str | None, output: Path | None, console: Console) -> None:
    from prefstream.consumer.bench.latency import latency

    runs = []
    with console.status("latency of the stream, each load with a linger of 50 ms and without"):
        for run in latency(seconds, servers):
            console.log(f"{run.load}, linger {run.linger_ms} ms: p50 {1000 * run.p50_s:.0f} ms")
            runs.append(run.to_fields())
    if output:
        write_output(output, (json.dumps(runs, indent=2) + "\n").encode())
    print_latency(runs, Console())


def _growth(
    config: PanelConfig, rows: Sequence[int] | None, only: Sequence[str] | None, console: Console
) -> list[dict[str, Any]]:
    from prefstream.consumer.bench.growth import COMMANDS, DEFAULT_ROWS, growth

    _refuse_unknown(only or (), COMMANDS)
    runs = growth(config, rows or DEFAULT_ROWS, commands=only or COMMANDS, say=console.log)
    return [run.to_fields() for run in runs]


def _panel(
    config: PanelConfig, battles: int, repetitions: int, competitors: Path | None, console: Console
) -> dict[str, Any]:
    from prefstream.scoring.bench.throughput import bench_battles, bench_panel

    chosen = bench_battles(battles)
    result = bench_panel(config, battles=chosen, repetitions=repetitions, competitors=competitors, say=console.log)
    return result.to_fields()


def _offline(
    config: PanelConfig, battles: int, repetitions: int, servers: str | None, console: Console
) -> dict[str, Any]:
    from prefstream.consumer.bench.stream import stream_against_offline
    from prefstream.scoring.bench.throughput import DEFAULT_BATCH_BATTLES, bench_battles
    from prefstream.scoring.panel.load import load_panel

    with load_panel(config) as panel, console.status(f"stream and offline, {battles} battles of real lengths"):
        result = stream_against_offline(panel, bench_battles(battles), DEFAULT_BATCH_BATTLES, repetitions, servers)
    return {"speed": result.to_fields()}


def _train(recipe: str, battles: int, repetitions: int, console: Console) -> dict[str, Any]:
    from prefstream.scoring.bench.throughput import bench_battles
    from prefstream.scoring.bench.training import bench_train

    result = bench_train(load_recipe(recipe), battles=bench_battles(battles), repetitions=repetitions, say=console.log)
    return result.to_fields()
