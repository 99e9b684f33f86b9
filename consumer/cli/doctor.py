"""`prefstream doctor`: will `prefstream run` work here, and what would it use?"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefstream.consumer.cli.exit_codes import EXIT_FAULT
from prefstream.consumer.cli.notes import notes_of
from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.quiet import client_silenced
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import ENV_CONFIG_FILE, ENV_PREFIX, ENV_SECRETS_DIR
from prefstream.consumer.doctor import Finding, State, examine
from prefstream.consumer.observe.logs import configure_logging

_STYLES: Final[dict[State, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}


@with_settings(StreamConfig)
@client_silenced()
def doctor(
    config: StreamConfig,
    context: typer.Context,
    *,
    load: Annotated[
        bool,
        typer.Option(
            "--load", help="Load the judges and score a battle for real, and those of the panel's golden set."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", envvar="PREFSTREAM_DOCTOR_JSON", help="Print the findings as one JSON object.")
    ] = False,
) -> None:
    """Check whether `prefstream run` would work with the same options, and print what it would use.

    Looks at configuration, versions, devices and memory, panel and judges (without loading weights), broker, topics,
    group, permissions, transactions and HTTP port. Prints no secret, joins no group and writes nothing; at the
    broker it leaves an unused transactional id, which expires. Exit code 1 when something
    is wrong, with the remedy; warnings alone exit 0.

    Example: `prefstream doctor --bootstrap-servers kafka:9092 --panel panel.yaml`
    """
    configure_logging("error", "console", library_level="error")
    findings: list[Finding] = []
    with Console(stderr=True).status("looking at the configuration") as status:
        for finding in examine(config, _origins(context, config), notes_of(context), load=load):
            findings.append(finding)
            status.update(f"{len(findings)} checks made, the last: {finding.check}")
    if as_json:
        typer.echo(_as_json(config, findings))
    else:
        _print(Console(), findings)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(EXIT_FAULT)


def _origins(context: typer.Context, config: StreamConfig) -> dict[str, str]:
    """Where each setting that was given was found, in the order of their precedence."""
    file = context.params.get("config") or os.environ.get(ENV_CONFIG_FILE)
    folder = os.environ.get(ENV_SECRETS_DIR)
    origins = {}
    for name, field in StreamConfig.model_fields.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            origins[name] = "command line"
        elif ENV_PREFIX + name.upper() in os.environ:
            origins[name] = ENV_PREFIX + name.upper()
        elif folder and Path(folder, name).is_file():
            origins[name] = ENV_SECRETS_DIR
        elif file and getattr(config, name) != field.get_default():
            origins[name] = str(file)
    return origins


def _print(console: Console, findings: Sequence[Finding]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, show_header=False)
    table.add_column("state", no_wrap=True)
    table.add_column("check", max_width=24, overflow="fold")
    table.add_column("found", ratio=1, overflow="fold")
    for finding in findings:
        style = _STYLES[finding.state]
        found = Text(finding.found)
        if finding.remedy:
            found.append(f"\n→ {finding.remedy}", style)
        table.add_row(Text(finding.state, style), Text(finding.check), found)
    console.print(table)
    console.print()
    failed = [finding for finding in findings if finding.state == "fail"]
    warned = sum(finding.state == "warn" for finding in findings)
    warnings = {0: "", 1: " 1 warning."}.get(warned, f" {warned} warnings.")
    if failed:
        names = ", ".join(finding.check for finding in failed)
        console.print(Text(f"Something is wrong: {names}.{warnings}", "bold red"))
    else:
        console.print(Text(f"All is well.{warnings}", "bold green"))


def _as_json(config: StreamConfig, findings: Sequence[Finding]) -> str:
    settings = {
        name: "(secret)" if isinstance(value, SecretStr) else value
        for name, value in ((name, getattr(config, name)) for name in StreamConfig.model_fields)
    }
    report = {
        "ok": all(finding.state != "fail" for finding in findings),
        "findings": [
            {"check": f.check, "state": f.state, "found": f.found, "remedy": f.remedy or None} for f in findings
        ],
        "settings": settings,
    }
    return json.dumps(report, indent=2, default=str)
