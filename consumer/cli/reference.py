"""The reference of the command line, REFERENCE.md: written from the commands by `python -m` with this module's name."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import typer
from pydantic import SecretStr

from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.cli import COMMANDS, app, load_command
from prefstream.consumer.cli.options import plain_type
from prefstream.consumer.cli.parameters import Parameter, groups_of, parameters_of, usage_of
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import ENV_PREFIX, ENV_SECRETS_DIR

FILE: Final = Path(__file__).with_name("REFERENCE.md")

GENERATE: Final = "python -m prefstream.consumer.cli.reference"

_WIDTH: Final = 120

_SETTINGS_OF: Final = "run"
"""The command that takes every setting that several commands share."""


def reference() -> str:
    """The whole document. Depends on nothing but the commands: not on the terminal, the environment, the machine."""
    root = typer.main.get_command(app)
    settings = [one for one in parameters_of(_SETTINGS_OF, load_command(_SETTINGS_OF)) if one.group]
    sections = [
        "# The command line",
        f"<!-- Generated from the commands. Don't change it by hand; run: {GENERATE} -->",
        f"    {usage_of('', root)}",
        _help(root),
        "\n".join(
            _wrap(f"* [`{name}`](#{_anchor(f'prefstream {name}')}): {COMMANDS[name]}", "  ") for name in COMMANDS
        ),
        _wrap(
            "`--help` explains each, `--version` tells the version, `--install-completion` teaches them to your shell. "
            "In brackets after an option: its default, and the variable that sets it where the command line does not "
            "(a flag's to `1` or `0`)."
        ),
        *(part for name in COMMANDS for part in _command(name, load_command(name), depth=2)),
        "## Settings",
        _wrap(
            f"Commands share these. Each may stand in the YAML file of `--config`, too, by its name with underscores. "
            f"Strongest first: option, variable, a file of the setting's name in the folder that `{ENV_SECRETS_DIR}` "
            f"names, the YAML file, default."
        ),
        *(part for group in groups_of(settings) for part in (f"### {group}", _items(settings, group))),
        "### Secrets",
        _wrap("They are no options, because every user of a machine can read the arguments of a process:"),
        "\n".join(_secrets()),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _command(name: str, command: Any, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} `prefstream {name}`"
    yield f"    {usage_of(name, command)}"
    yield _help(command)
    if hasattr(command, "commands"):
        for child, loaded in command.commands.items():
            yield from _command(f"{name} {child}", loaded, depth + 1)
        return
    parameters = list(parameters_of(name, command))
    yield _items(one for one in parameters if one.is_argument)
    yield _items(one for one in parameters if not one.is_argument)
    if groups := [f"[{group}](#{_anchor(group)})" for group in groups_of(parameters)]:
        yield _wrap(f"Takes the [settings](#settings) of {_enumeration(groups)}.")


def _help(command: Any) -> str:
    return inspect.cleandoc(command.help)


def _items(parameters: Iterable[Parameter], group: str | None = None) -> str:
    return "\n".join(_item(one) for one in parameters if one.group == group)


def _item(parameter: Parameter) -> str:
    facts = f" ({'; '.join(parameter.facts)})" if parameter.facts else ""
    return _wrap(f"* `{parameter.spelling}`{facts}: {parameter.help}", "  ")


def _secrets() -> Iterator[str]:
    for name, field in (StreamConfig.model_fields | BoardConfig.model_fields).items():
        if plain_type(field.annotation) is SecretStr:
            variable = f"{ENV_PREFIX}{name.upper()}"
            yield _wrap(
                f"* `{variable}`, or a file `{name}` in the folder that `{ENV_SECRETS_DIR}` names: {field.description}",
                "  ",
            )


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")


def _enumeration(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, expand_tabs=False
    )


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
