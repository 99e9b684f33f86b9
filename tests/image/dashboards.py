"""`python -m tests.image.dashboards`: every query of the dashboards, asked of a Prometheus that scrapes the service."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

GRAFANA: Final = Path(__file__).parents[2] / "deploy" / "grafana"

# What Grafana puts in where everything is chosen, and five minutes are shown.
_VARIABLES: Final = {"$__rate_interval": "1m", "$__range": "5m", "$instance": ".*", "$window": "day|week"}


def dashboards(
    *,
    prometheus: Annotated[str, typer.Option(help="Its address.")] = "http://127.0.0.1:9090",
) -> None:
    """Ask every query, and name those that get no data.

    A query whose counter moves in a fault alone has none where nothing failed; whether that is so, a person decides.
    Exit codes: 0 Prometheus understood all of them, 1 not.
    """
    series = {name: _ask(prometheus, expression) for name, expression in _queries()}
    empty = [name for name, count in series.items() if not count]
    typer.echo("\n".join(f"no data: {dashboard}: {title}: {expression}" for dashboard, title, expression in empty))
    typer.echo(f"{len(series) - len(empty)} of {len(series)} queries have data")


def _queries() -> Iterator[tuple[tuple[str, str, str], str]]:
    for path in sorted(GRAFANA.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                asked = target["expr"]
                for variable, text in _VARIABLES.items():
                    asked = asked.replace(variable, text)
                yield (path.stem, panel["title"], target["expr"]), asked


def _ask(prometheus: str, expression: str) -> int:
    """How many series answer, now; those without a number count as none."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{query}", timeout=10) as answer:  # noqa: S310 - the address is that of whoever runs it
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return sum(series["value"][1] != "NaN" for series in found)


if __name__ == "__main__":
    typer.run(dashboards)
