"""What is told beside the work of a command: settings that were given and have no effect."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import typer

from prefstream.consumer.connection import ENV_PREFIX, ENV_SECRETS_DIR, KafkaConnection
from prefstream.consumer.errors import UsageError
from prefstream.consumer.unused_settings import check_secrets, check_variables, without_effect

TELL_THEMSELVES: Final = frozenset({"board", "recalibrate", "run", "doctor"})
"""Commands that tell notes in their own form: as lines of the log, as a finding."""

_KEY: Final = "prefstream.notes"


def note_variables(context: Any, name: str, command: Any, commands: Iterable[str]) -> None:
    """Look at the variables of the environment before a command runs.

    Args:
        context: typer's, of the command line as a whole.
        name: of the command that was called.
        command: that command, or a group of them.
        commands: names of all commands.

    Raises:
        UsageError: a variable is nearly a known one.
    """
    options = {variable for path, leaf in leaves(name, command) for variable in _variables(path, leaf)}
    others = [f"{variable_of(other)}_" for other in commands if other != name]
    _note(context, name, check_variables(os.environ, options, others))


def note_settings(context: Any, name: str, settings: KafkaConnection) -> None:
    """Look at the settings that a command was given.

    Args:
        context: typer's, of the command.
        name: of the command.
        settings: as they were loaded.

    Raises:
        UsageError: a file of the secrets folder is nearly of a setting.
    """
    notes = without_effect(settings)
    if folder := os.environ.get(ENV_SECRETS_DIR):
        notes += check_secrets(Path(folder), settings)
    _note(context, name, notes)


def notes_of(context: Any) -> list[str]:
    """What a command that tells notes itself has to tell."""
    return list(context.meta.get(_KEY, ()))


def refuse_unused(context: Any, options: Iterable[str], because: str) -> None:
    """Refuse what stands on the command line and has no effect there; a variable may be for another day.

    Args:
        context: typer's, of the command.
        options: names of the parameters that have none.
        because: why, to be put behind `no effect`.

    Raises:
        UsageError: one was given.
    """
    spelt = {
        param.name: param.opts[0] if param.param_type_name == "option" else param.name.upper()
        for param in context.command.params
    }
    given = [
        spelt[name]
        for name in options
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    ]
    if given:
        raise UsageError(f"{', '.join(given)}: no effect {because}; leave it out")


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The commands that do something, with their full names: the command itself, or those of a group."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for child, loaded in command.commands.items():
        yield from leaves(f"{name} {child}", loaded)


def variable_of(*words: str) -> str:
    """By the rule that the command line gives its commands: PREFSTREAM_<COMMAND>_<OPTION>."""
    return ENV_PREFIX + re.sub(r"\W", "_", " ".join(words)).upper()


def _variables(name: str, command: Any) -> Iterator[str]:
    for param in command.params:
        if param.param_type_name == "option":
            yield str(param.envvar or variable_of(name, param.name))


def _note(context: Any, name: str, notes: list[str]) -> None:
    if name in TELL_THEMSELVES:
        context.meta.setdefault(_KEY, []).extend(notes)
        return
    for note in notes:
        typer.echo(f"prefstream: {note}", err=True)
