"""The reference of the command line, REFERENCE.md: written from the commands by `python -m` with this module's name."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typer
from pydantic import SecretStr

from prefstream.consumer.cli import COMMANDS, app, load_command
from prefstream.consumer.cli.notes import variable_of
from prefstream.consumer.cli.options import plain_type
from prefstream.consumer.config import ENV_PREFIX, ENV_SECRETS_DIR, StreamConfig

FILE: Final = Path(__file__).with_name("REFERENCE.md")

GENERATE: Final = "python -m prefstream.consumer.cli.reference"

_WIDTH: Final = 120

_SETTINGS_OF: Final = "run"
"""The command that takes every setting that several commands share."""

_KINDS: Final[dict[Any, str]] = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}

_DEFAULT_IN_HELP: Final = re.compile(r"\s*\[default: (.*)\]$")


@dataclass(frozen=True, slots=True)
class _Parameter:
    """An argument or option of a command."""

    spelling: str
    help: str
    facts: tuple[str, ...]
    group: str | None
    """Of settings that commands share; None for what the command alone knows."""
    is_argument: bool


def reference() -> str:
    """The whole document. Depends on nothing but the commands: not on the terminal, the environment, the machine."""
    root = typer.main.get_command(app)
    settings = [one for one in _parameters(_SETTINGS_OF, load_command(_SETTINGS_OF)) if one.group]
    sections = [
        "# The command line",
        f"<!-- Generated from the commands. Don't change it by hand; run: {GENERATE} -->",
        _usage("", root),
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
        *(part for group in _groups(settings) for part in (f"### {group}", _items(settings, group))),
        "### Secrets",
        _wrap("They are no options, because every user of a machine can read the arguments of a process:"),
        "\n".join(_secrets()),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _command(name: str, command: Any, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} `prefstream {name}`"
    yield _usage(name, command)
    yield _help(command)
    if hasattr(command, "commands"):
        for child, loaded in command.commands.items():
            yield from _command(f"{name} {child}", loaded, depth + 1)
        return
    parameters = list(_parameters(name, command))
    yield _items(one for one in parameters if one.is_argument)
    yield _items(one for one in parameters if not one.is_argument)
    if groups := [f"[{group}](#{_anchor(group)})" for group in _groups(parameters)]:
        yield _wrap(f"Takes the [settings](#settings) of {_enumeration(groups)}.")


def _usage(name: str, command: Any) -> str:
    if hasattr(command, "commands"):
        return f"    {f'prefstream {name}'.strip()} COMMAND ..."
    parameters = list(_parameters(name, command))
    arguments = [one.spelling for one in parameters if one.is_argument]
    required = [one.spelling.split(", ")[-1] for one in parameters if "required" in one.facts]
    return "    " + " ".join(["prefstream", name, *arguments, *required, "[OPTION]..."])


def _help(command: Any) -> str:
    return inspect.cleandoc(command.help)


def _parameters(name: str, command: Any) -> Iterator[_Parameter]:
    """Those that are written in the command's signature: not `--help`, nor what typer adds."""
    known = {param.name: param for param in command.params}
    for written in inspect.signature(command.callback, eval_str=True).parameters.values():
        if param := known.get(written.name):
            yield _parameter(name, param, written)


def _parameter(command: str, param: Any, written: inspect.Parameter) -> _Parameter:
    annotation, info = get_args(written.annotation)
    kind = plain_type(annotation)
    if get_origin(kind) is list:
        [kind] = get_args(kind)
    text, default = _help_and_default(param)
    if choices := _choices(kind):
        text += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    is_argument = param.param_type_name == "argument"
    facts = [
        "required" if param.required and not is_argument else "",
        _range(info),
        f"default: {default}" if default else "",
        f"`{param.envvar or variable_of(command, param.name)}`" if not is_argument else "",
    ]
    return _Parameter(
        spelling=_argument_spelling(param) if is_argument else _option_spelling(param, kind),
        help=text,
        facts=tuple(fact for fact in facts if fact),
        group=getattr(param, "rich_help_panel", None),
        is_argument=is_argument,
    )


def _argument_spelling(param: Any) -> str:
    name = str(param.metavar or param.name.upper())
    return name if param.required or name.startswith("[") else f"[{name}]"


def _option_spelling(param: Any, kind: Any) -> str:
    value = "" if kind is bool else " " + (param.metavar or _KINDS.get(kind, "NAME"))
    return ", ".join([*sorted(param.opts, key=len), *param.secondary_opts]) + value


def _choices(kind: Any) -> Sequence[str]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return [choice.value for choice in kind] if isinstance(kind, type) and issubclass(kind, StrEnum) else ()


def _help_and_default(param: Any) -> tuple[str, str]:
    """The text without its default, and the default as Markdown, empty where there is none to be told."""
    text = param.help or ""
    if found := _DEFAULT_IN_HELP.search(text):
        text, default = text[: found.start()], found[1]
    elif isinstance(param.show_default, str):
        return text, param.show_default
    else:
        default = "" if param.default is None or param.show_default is False else str(param.default)
    if param.param_type_name == "option" and param.is_flag:
        if not param.secondary_opts:
            return text, ""
        default = param.opts[0] if default == "True" else param.secondary_opts[0]
    return text, default if not default or " " in default else f"`{default}`"


def _range(info: Any) -> str:
    if info.min is None:
        return ""
    return f"at least {info.min}" if info.max is None else f"{info.min} to {info.max}"


def _groups(parameters: Iterable[_Parameter]) -> list[str]:
    return list(dict.fromkeys(one.group for one in parameters if one.group))


def _items(parameters: Iterable[_Parameter], group: str | None = None) -> str:
    return "\n".join(_item(one) for one in parameters if one.group == group)


def _item(parameter: _Parameter) -> str:
    facts = f" ({'; '.join(parameter.facts)})" if parameter.facts else ""
    return _wrap(f"* `{parameter.spelling}`{facts}: {parameter.help}", "  ")


def _secrets() -> Iterator[str]:
    for name, field in StreamConfig.model_fields.items():
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
