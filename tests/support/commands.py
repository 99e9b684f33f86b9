"""The commands of the command line, as typer holds them."""

from __future__ import annotations

from typing import Any

from prefstream.consumer.cli import COMMANDS, load_command
from prefstream.consumer.cli.notes import leaves


def every_command() -> list[tuple[str, Any]]:
    """Every command that does something, imported, with its full name."""
    return [leaf for name in COMMANDS for leaf in leaves(name, load_command(name))]


def own_options(command: Any) -> list[Any]:
    """Its options but `--help`."""
    return [option for option in command.params if option.param_type_name == "option" and option.name != "help"]
