"""`python -m tests.page`: the live page over a board with much in it, with its figures."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.page.asked import addresses_of, ask_all
from tests.page.left_open import EVERY_S, growths, leave_open
from tests.page.views import FEW_PROCESSES, first_view, open_pages, open_streams
from tests.page.world import Load, World, served_world
from tests.support.browser import launched

FIRST_VIEWS = 7
"""Visits beside the first of all: the middle of them says how it usually is."""


def page(
    *,
    preferences: Annotated[int, typer.Option(min=1, help="In the board's file.")] = 100_000,
    votes: Annotated[int, typer.Option(min=0, help="In the board's file.")] = 5_000,
    per_s: Annotated[float, typer.Option(min=0, help="Preferences that come each second meanwhile.")] = 30.0,
    pages: Annotated[int, typer.Option(min=0, help="Open at a time.")] = 50,
    streams: Annotated[int, typer.Option(min=0, help="Streams of events, without pages, open at a time.")] = 50,
    seconds: Annotated[float, typer.Option(min=1, help="How long is asked, and how long pages are open.")] = 60.0,
    hours: Annotated[float, typer.Option(min=0, help="Instead of all that: how long pages are left open.")] = 0.0,
    every_s: Annotated[float, typer.Option(min=1, help="With --hours: between two looks.")] = EVERY_S,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    out: Annotated[Path, typer.Option("-o", resolve_path=True, help="File for the figures, JSON.")] = Path("page.json"),
) -> None:
    """Measure the page over a board with 60 models, while preferences and votes go on coming.

    Exit codes: 0 measured, 1 with --hours: something grows.
    """
    load = Load(preferences, votes, per_s=per_s)
    figures: dict[str, Any] = {"load": asdict(load)}
    with tempfile.TemporaryDirectory() as folder, served_world(Path(folder), load, seed, typer.echo) as world:
        if hours:
            figures |= _hours(world, Path(folder), hours, every_s)
        else:
            figures |= _load(world, pages, streams, seconds)
        figures["server_mb_at_the_end"] = world.rss_mb
    out.write_text(json.dumps(figures, indent=1))
    typer.echo(f"written to {out}")
    if any(one["grows"] for one in figures.get("growths", ())):
        raise typer.Exit(1)


def _load(world: World, pages: int, streams: int, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {"server_mb_before_anybody_asked": world.rss_mb}
    with launched() as browser:
        views = [first_view(browser, world.url) for _ in range(1 + FIRST_VIEWS)]
    found["first_views"] = [asdict(one) for one in views]
    for one in views:
        filled = "not filled" if one.filled_ms is None else f"filled after {one.filled_ms:.0f} ms"
        sizes = ", ".join(f"{what} {size:.1f} kB" for what, size in one.kilobytes.items())
        typer.echo(f"{filled}, painted after {one.painted_ms or 0:.0f} ms, {one.requests} requests: {sizes}")
    if streams:
        found["open_streams"] = asdict(open_streams(world, streams, seconds=seconds))
        typer.echo(json.dumps(found["open_streams"]))
    if pages:
        with launched(FEW_PROCESSES) as browser:
            found["open_pages"] = asdict(open_pages(browser, world, pages, seconds=seconds))
        typer.echo(json.dumps(found["open_pages"]))
    waited = ask_all(world, addresses_of(world), seconds=seconds)
    found["addresses"] = [asdict(one) for one in waited]
    for each in waited:
        typer.echo(
            f"{each.address:<40} {each.answers:5} answers, first {each.first_ms:6.0f} ms "
            f"({each.first_cpu_ms:.0f} of a processor), median {each.p50_ms:5.1f}, "
            f"95 % within {each.p95_ms:6.1f} ms, {each.kilobytes:.1f} kB"
        )
    return found


def _hours(world: World, folder: Path, hours: float, every_s: float) -> dict[str, Any]:
    samples = leave_open(world, folder, hours=hours, every_s=every_s, tell=typer.echo)
    found = growths(samples)
    for one in found:
        typer.echo(
            f"{one.what:<24} {one.first:10.2f} to {one.last:10.2f}, {one.slope_per_hour:+9.3f} an hour "
            f"[{one.low:+.3f}, {one.high:+.3f}], spread {one.spread:.3f}{'  GROWS' if one.grows else ''}"
        )
    return {"samples": [one.as_dict() for one in samples], "growths": [asdict(one) for one in found]}


if __name__ == "__main__":
    typer.run(page)
