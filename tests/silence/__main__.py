"""`python -m tests.silence`: how long a reader sees nothing new while processes of a group come and go."""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from tests.silence.events import EVENTS, PARTITIONS, Silence, measure
from tests.silence.fleet import Fleet, Version
from tests.silence.load import Load
from tests.support.kafka.cluster import KafkaCluster, kafka_home
from tests.support.priors import write_prior_panel
from tests.support.streams import fresh_config

RATE: Final = 300.0
"""Battles a second."""

SECONDS_PER_BATCH: Final = 0.01
"""What the judges take: next to nothing, so that what is seen is the group's."""

SETS: Final[Mapping[str, Sequence[str]]] = {
    "Deployment": (),
    "StatefulSet": ("--instance-id", "prefstream-{}"),
    "StatefulSet, --leave-on-stop": ("--instance-id", "prefstream-{}", "--leave-on-stop"),
}
"""Options of `prefstream run` by what runs it; all else is default."""


@dataclass
class Row:
    """One measurement."""

    version: str
    runs_as: str
    event: str
    silence: Silence


def silence(
    *,
    before: Annotated[
        Path | None, typer.Option(help="Checkout of another version, with a .venv in it, to be measured as well.")
    ] = None,
    now: Annotated[bool, typer.Option(help="Measure this version.")] = True,
    only: Annotated[str, typer.Option(help="Only events whose name holds this.")] = "",
    runs_as: Annotated[str, typer.Option(help="Only sets whose name begins with this.")] = "",
    times: Annotated[int, typer.Option(min=1, help="How often each; the worst counts.")] = 1,
    out: Annotated[Path, typer.Option("-o", resolve_path=True, help="Folder for figures and logs.")] = Path("silence"),
) -> None:
    """Three processes with judges that cost nothing, 12 partitions, 300 battles a second, on Apache Kafka.

    The figures go to silence.json, and as a table to standard output.
    """
    home = kafka_home()
    if home is None:
        raise typer.BadParameter("KAFKA_HOME should name an unpacked Kafka, and Java be there")
    out.mkdir(parents=True, exist_ok=True)
    versions = [Version("before", before, str(before / ".venv/bin/python"))] if before else []
    versions += [Version("now")] if now else []
    cases = [
        (version, name, event)
        for event in EVENTS
        if only in event
        for name in SETS
        if name.startswith(runs_as) and not ("leave" in name and "SIGKILL" in event)
        for version in versions
        if version.name == "now" or "leave" not in name
    ]
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="silence-")))
        servers = stack.enter_context(KafkaCluster(home, folder / "kafka")).bootstrap_servers
        panel = write_prior_panel(out, SECONDS_PER_BATCH)
        for version, name, event in cases:
            for _ in range(times):
                rows.append(Row(version.name, name, event, _measure(servers, version, name, event, panel, out)))
                typer.echo(_line(rows[-1]))
                figures = json.dumps([asdict(row) for row in rows], indent=1)
                (out / "silence.json").write_text(figures + "\n", encoding="utf-8")


def _measure(servers: str, version: Version, name: str, event: str, panel: Path, out: Path) -> Silence:
    config = fresh_config(servers, partitions=PARTITIONS, group_id=f"silence-{uuid.uuid4().hex[:6]}")
    fleet = Fleet(version, config, panel, SETS[name], out)
    try:
        with Load(config, partitions=PARTITIONS, rate=RATE) as load:
            return measure(EVENTS[event], fleet, load)
    finally:
        fleet.kill_all()


def _line(row: Row) -> str:
    told = row.silence
    starts = ", ".join(f"{seconds:.1f}" for seconds in told.starts) or "-"
    living, gone = ("-" if figure is None else f"{figure:.1f}" for figure in (told.living, told.gone))
    return f"| {row.event} | {row.runs_as} | {row.version} | {living} | {gone} | {starts} |"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(silence)
    app()
