"""Measurements as a person reads them: tables and sentences of `prefstream bench`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Column, Table

from prefstream.consumer.cli.ui.lines import print_table, say

if TYPE_CHECKING:
    from prefstream.scoring.bench.profile import JudgeProfile, PanelProfile


def print_profile(result: PanelProfile, console: Console) -> None:
    """Where the time of each judge goes.

    Args:
        result: of `bench profile`.
        console: to print on.
    """
    table = Table("", *result.judges)
    judges = list(result.judges.values())
    for kind in judges[0].shares:
        table.add_row(f"{kind}, of the passes", *(f"{judge.shares[kind]:.0%}" for judge in judges))
    table.add_section()
    rows: dict[str, Callable[[JudgeProfile], str]] = {
        "battles/s, alone": lambda judge: f"{result.battles / judge.seconds:.2f}",
        "tokenising, of all its time": lambda judge: f"{judge.encoding_s / judge.seconds:.1%}",
        "padding, of its tokens": lambda judge: f"{judge.padding_share:.1%}",
        "busy, while all judge": lambda judge: f"{min(1.0, judge.busy_share):.0%}",
        "GFLOP/s in products": lambda judge: f"{judge.product_flops / judge.products_s / 1e9:,.0f}",
        "peak, GFLOP/s": lambda judge: f"{judge.peak_flops_per_s / 1e9:,.0f}",
        "of the peak": lambda judge: f"{judge.peak_share:.0%}",
        "its products alone, of the peak": lambda judge: f"{judge.shape_peak_share:.0%}",
    }
    for name, told in rows.items():
        table.add_row(name, *map(told, judges))
    print_table(console, table)
    say(console, f"all judges together: {result.battles / result.seconds:.2f} battles/s")
    for name, judge in result.judges.items():
        say(console, f"{name}: {judge.settings}")


def print_results(results: dict[str, Any]) -> None:
    """What was measured by ratios, and what rows add.

    Args:
        results: by the name of the measurement.
    """
    console = Console()
    ratios = {name: result for name, result in results.items() if name != "growth"}
    if ratios:
        _print_ratios(ratios, console)
    if "growth" in results:
        _print_growth(results["growth"], console)


def _print_growth(runs: Sequence[Mapping[str, Any]], console: Console) -> None:
    heads = ("rows", "rows/s", "rows/CPU s", "peak MB", "bytes a row")
    table = Table("command", *(Column(name, justify="right") for name in heads))
    for run in runs:
        added = "" if run["bytes_per_row"] is None else f"{run['bytes_per_row']:,.0f}"
        numbers = (run["rows"], run["rows_per_s"], run["rows_per_cpu_s"], run["peak_memory_bytes"] / 1e6)
        table.add_row(run["command"], *(f"{number:,.0f}" for number in numbers), added)
    table.caption = "bytes a row: what those beyond the smaller file added to the peak"
    print_table(console, table)


def print_latency(runs: Sequence[Mapping[str, Any]], console: Console) -> None:
    """How long answers are waited for.

    Args:
        runs: of `bench latency`, as its file has them.
        console: to print on.
    """
    heads = ("linger ms", "battles/s", "p50 ms", "p95 ms", "p99 ms", "pass ms", "commit ms")
    table = Table("load", *(Column(name, justify="right", no_wrap=name.startswith("p")) for name in heads))
    for run in runs:
        told = [_in_passes(run, name) for name in ("p50", "p95", "p99")]
        costs = (f"{1000 * run[name]:.1f}" for name in ("pass_s", "commit_s"))
        table.add_row(run["load"], str(run["linger_ms"]), f"{run['battles_per_s']:,.1f}", *told, *costs)
    table.caption = "in brackets: times the mean of one pass and one commit, which both come from the same run"
    print_table(console, table)


def _in_passes(run: Mapping[str, Any], name: str) -> str:
    return f"{1000 * run[f'{name}_s']:.0f} ({run['of_pass_and_commit'][name]:.2f})"


_STREAM: Final = "stream, judges that cost nothing"

_OVERHEADS: Final = {
    "bare_loop": "bare kafka-python loop",
    "quix_streams": "quix-streams, on librdkafka",
    "traced_1_percent": "the same, 1 % of the battles traced",
    "traced_all": "the same, all of them traced",
}
"""What the stream is compared with, each as `bench overhead` names it."""

_COMPETITORS: Final = {
    "without-int8": "itself without 8-bit products",
    "cross-encoder": "sentence-transformers' CrossEncoder.predict",
    "openvino": "a careful loop on OpenVINO",
}
"""What takes part in `bench panel` where it is installed, or the panel computes in 8 bits."""

_SIDES: Final = {
    "panel": ("panel", "plain notebook loop"),
    "offline": ("stream", "score, from a file"),
    "train": ("training by finetune", "bare PyTorch loop, same steps"),
}
"""The two sides of the other comparisons."""


def _is_told(overhead: Mapping[str, Any], key: str) -> bool:
    """Whether a comparison has a line: not where nobody asked for it."""
    return key in overhead and not (key.startswith("traced") and overhead[key] is None)


def _print_ratios(results: Mapping[str, Any], console: Console) -> None:
    table = Table("what", "battles/s", "against", "battles/s", "ratio")
    overhead = results.get("overhead", {})
    for ours, theirs, result in (
        *((_STREAM, name, overhead[key]) for key, name in _OVERHEADS.items() if _is_told(overhead, key)),
        *((*names, results[key]) for key, names in _SIDES.items() if key in results),
    ):
        if result is None:
            table.add_row(ours, "", theirs, "not installed", "")
        else:
            speed = result["speed"]
            table.add_row(ours, _spread(speed["ours_per_s"]), theirs, _spread(speed["theirs_per_s"]), _ratio(speed))
    print_table(console, table)
    if "panel" in results:
        _print_careful(results["panel"], console)
    for key, result in overhead.items():
        if result is not None:
            say(console, f"stream against {_OVERHEADS[key]}: ratio by CPU seconds {_ratio(result['cpu_speed'])}")
    if "train" in results:
        _print_training(results["train"], console)


def _print_careful(result: Mapping[str, Any], console: Console) -> None:
    say(
        console,
        f"panel against a careful loop (adapters merged, sorted by length, batches by tokens): ratio "
        f"{_ratio(result['careful_speed'])}, by CPU seconds {_ratio(result['careful_cpu_speed'])}; by CPU seconds "
        f"against the plain one {_ratio(result['cpu_speed'])}",
    )
    say(
        console,
        f"probabilities differ from the panel's by at most {result['largest_gap']:.3f} (plain loop) and "
        f"{result['careful_gap']:.3f} (careful loop), in battles that all read whole",
    )
    for name, other in result["competitors"].items():
        rates = f"{_spread(other['speed']['theirs_per_s'])} battles/s"
        gap = f"probabilities differ by at most {other['gap']:.3f}"
        if other["same_answers"]:
            ratios = f"ratio {_ratio(other['speed'])}, by CPU seconds {_ratio(other['cpu_speed'])}"
            say(console, f"panel against {_COMPETITORS[name]}, {rates}: {ratios}; {gap}")
        else:
            say(
                console,
                f"{_COMPETITORS[name]}, {rates}, does NOT answer as the panel does, so there is no ratio: {gap}",
            )


def _print_training(result: dict[str, Any], console: Console) -> None:
    """What the table has no room for."""
    tokens_a_pair = result["tokens"] / result["pairs"]
    ours, theirs = (
        _spread([tokens_a_pair * rate for rate in result["speed"][f"{side}_per_s"]]) for side in ("ours", "theirs")
    )
    say(
        console,
        f"training {result['recipe']}: {ours} tokens/s by finetune, {theirs} by the bare loop; "
        f"ratio by CPU seconds {_ratio(result['cpu_speed'])}",
    )
    losses = f"{result['trainer_loss']:.6f} and {result['bare_loss']:.6f}"
    gap = f"any step's differ by at most {result['largest_loss_gap']:.1e} (allowed: {result['loss_tolerance']:.0e})"
    if result["same_work"]:
        say(console, f"final losses {losses}, {gap}: both sides did the same work")
    else:
        say(console, f"final losses {losses}, {gap}: the sides did NOT do the same work, and the ratio means nothing")


def _ratio(speed: Mapping[str, Any]) -> str:
    """The median over neighbouring runs; lowest and highest beside it, where there was more than one pair."""
    spread = f" ({speed['ratio_lowest']:.2f} to {speed['ratio_highest']:.2f})" if len(speed["ours_per_s"]) > 1 else ""
    return f"{speed['ratio']:.2f}{spread}"


def _spread(rates: Sequence[float]) -> str:
    """Lowest to highest."""
    digits = 0 if min(rates) > 100 else 2
    return f"{min(rates):,.{digits}f} to {max(rates):,.{digits}f}"
