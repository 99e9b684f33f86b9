"""`prefstream panels`: which panel answers for a group, chosen while its processes run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import orjson
import typer
from rich.console import Console
from rich.table import Table

from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.quiet import client_silenced
from prefstream.consumer.cli.strict_command import StrictCommand
from prefstream.consumer.cli.ui.lines import print_table, say
from prefstream.consumer.client.acl import choosing_operations
from prefstream.consumer.client.topics import require_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.errors import UsageError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.panels import choosing
from prefstream.consumer.panels.choices import Heard, publish_choice, read_choice
from prefstream.consumer.panels.folder import PanelFolder, check_name
from prefstream.consumer.words import escaped
from prefstream.schemas import PanelChoice, PanelVersion
from prefstream.schemas.panel_choice import MAX_WHY
from prefstream.scoring.config import load_panel_config
from prefstream.scoring.judges.calibration import CalibrationFile
from prefstream.scoring.panel.load import verify_calibration

panels = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Which panel answers, chosen while the service runs.",
)

_TAKEN: Final = frozenset({*KafkaConnection.model_fields, "group_id", "panels", "panels_topic"})
_LEFT_OUT: Final = frozenset(StreamConfig.model_fields) - _TAKEN


def _checked_why(why: str | None) -> str | None:
    if why is not None and len(why) > MAX_WHY:
        raise typer.BadParameter(f"has {len(why):,} characters, and at most {MAX_WHY} are kept")
    return why


_Why: TypeAlias = Annotated[
    str | None,
    typer.Option("--why", callback=_checked_why, help="For people: stands in the choice and in the logs."),
]


@panels.callback()
def _group() -> None:
    """Which panel answers, chosen while the service runs."""


@panels.command(cls=StrictCommand)
@with_settings(StreamConfig, leave_out=_LEFT_OUT)
@client_silenced()
def use(
    config: StreamConfig,
    name: Annotated[
        str | None,
        typer.Argument(
            show_default="the one that each process was started with",
            help="Panel: NAME.yaml in the folder that each process has as --panels.",
        ),
    ] = None,
    *,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="File of prefstream calibrate, in place of the one that the panel names."),
    ] = None,
    canary_share: Annotated[
        float | None,
        typer.Option(
            "--canary-share",
            min=0.0,
            max=1.0,
            help="Let it answer this share of the battles on trial, chosen by their ids; the others go on as they are.",
        ),
    ] = None,
    why: _Why = None,
) -> None:
    """Let another panel answer, without a restart: from an exact batch on, each battle once.

    Each process of the group loads it beside the one that serves, and takes it over once it is loaded, and gives its
    golden set where it has one. Where that fails the old one goes on, and log, metrics and an alert say so. With
    --panels, the folder, the panel's file is looked at here first.

    Examples: `prefstream panels use gemma-3 --panels panels/ --why "adapter of May"` ·
    `prefstream panels use gemma-3 --canary-share .05`
    """
    configure_logging("warning", "console", library_level="error")
    if name is not None:
        check_name(name)
    version = PanelVersion(panel=name, calibration=_content(calibration))
    checked = _check(config, version)
    last = _last(config)
    now = datetime.now(UTC)
    if canary_share is None:
        choice = choosing.serve(last, version, now, why=why)
    elif 0.0 < canary_share < 1.0:
        choice = choosing.try_out(last, version, canary_share, now, why=why)
    else:
        raise UsageError("--canary-share: must be above 0 and below 1; without it the panel answers all")
    _publish(config, choice, "" if checked else " (its file was not looked at: give --panels for that)")


@panels.command("roll-back", cls=StrictCommand)
@with_settings(StreamConfig, leave_out=_LEFT_OUT)
@client_silenced()
def roll_back(config: StreamConfig, *, why: _Why = None) -> None:
    """End the canary, where there is one; else let the panel answer that served before.

    Example: `prefstream panels roll-back --why "ties look wrong"`
    """
    configure_logging("warning", "console", library_level="error")
    _publish(config, choosing.roll_back(_last(config), datetime.now(UTC), why=why))


@panels.command(cls=StrictCommand)
@with_settings(StreamConfig, leave_out=_LEFT_OUT)
@client_silenced()
def pin(
    config: StreamConfig,
    *,
    off: Annotated[bool, typer.Option("--off", help="Let calibration change what answers, again.")] = False,
) -> None:
    """Let nothing but a person change what answers: live calibration publishes nothing for this group.

    Example: `prefstream panels pin`
    """
    configure_logging("warning", "console", library_level="error")
    _publish(config, choosing.pin(_last(config), datetime.now(UTC), pinned=not off))


@panels.command("list", cls=StrictCommand)
@with_settings(StreamConfig, leave_out=_LEFT_OUT)
@client_silenced()
def list_panels(
    config: StreamConfig, *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Say what is chosen for the group, what served before, and with --panels which panels there are.

    Which processes have taken it over, their metric prefstream_panel_info tells.

    Example: `prefstream panels list --panels panels/`
    """
    configure_logging("warning", "console", library_level="error")
    heard = _heard(config, publishes=False)
    folder = None if config.panels is None else PanelFolder(config.panels)
    names = None if folder is None else folder.names()
    if as_json:
        chosen = None if heard is None else heard.choice.model_dump(mode="json", exclude_none=True)
        typer.echo(orjson.dumps({"group": config.group_id, "choice": chosen, "panels": names}).decode())
        return
    console = Console()
    if heard is None:
        say(console, f"group {config.group_id}: nothing was chosen; each process serves what it was started with")
    else:
        print_table(console, _table(heard.choice))
    if folder is not None and names is not None:
        say(console, f"in {config.panels}: {', '.join(names) or 'no panel'}")
        for name in folder.misnamed():
            say(console, f"in {config.panels}, too, but no panel's name, so that none can choose it: {escaped(name)}")


def _table(choice: PanelChoice) -> Table:
    table = Table(title=f"group {choice.group}", title_justify="left", show_header=False)
    rows: list[tuple[str, Any]] = [("serves", choice.serving)]
    if choice.canary is not None:
        rows.append(("on trial", f"{choice.canary} ({choice.canary.share:.3g} of the battles)"))
    rows.append(("since", f"{choice.chosen_at:%Y-%m-%d %H:%M:%S %Z}, by {choice.chosen_by}"))
    if choice.why:
        rows.append(("why", choice.why))
    if choice.pinned:
        rows.append(("pinned", "nothing but a person changes it"))
    rows += [("before" if place == 0 else "", version) for place, version in enumerate(choice.earlier)]
    for left, right in rows:
        table.add_row(left, str(right))
    return table


def _content(calibration: Path | None) -> dict[str, Any] | None:
    """A calibration file's content, as it stands in a choice."""
    if calibration is None:
        return None
    content: dict[str, Any] = orjson.loads(CalibrationFile.read(calibration).encode())
    return content


def _check(config: StreamConfig, version: PanelVersion) -> bool:
    """Whether the panel's file is here; raises what is wrong with it, or with its calibration."""
    if config.panels is None or version.panel is None:
        return False
    panel = load_panel_config(PanelFolder(config.panels).file(version.panel))
    if version.calibration is not None:
        calibration = CalibrationFile.model_validate(version.calibration)
        verify_calibration(calibration, panel, "--calibration")
    return True


def _heard(config: StreamConfig, *, publishes: bool) -> Heard | None:
    """What was chosen last; a right that is missing is told before anything is written."""
    for operations in choosing_operations(config, publishes=publishes):
        require_topics(config, operations)
    return read_choice(config, config.group_id)


def _last(config: StreamConfig) -> PanelChoice:
    heard = _heard(config, publishes=True)
    return choosing.first_choice(config.group_id, datetime.now(UTC)) if heard is None else heard.choice


def _publish(config: StreamConfig, choice: PanelChoice, note: str = "") -> None:
    publish_choice(config, choice)
    say(Console(), f"group {choice.group}: {choice}{', pinned' if choice.pinned else ''}{note}")
