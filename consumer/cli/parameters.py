"""What is told of a command's arguments and options: by `--help`, and in the reference."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from prefstream.consumer.cli.notes import variable_of
from prefstream.consumer.cli.options import plain_type

_KINDS: Final[dict[Any, str]] = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}

_DEFAULT_IN_HELP: Final = re.compile(r"\s*\[default: (.*)\]$")


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument or option of a command, as Markdown."""

    spelling: str
    help: str
    facts: tuple[str, ...]
    group: str | None
    """Of settings that commands share; None for what the command alone knows."""
    is_argument: bool


def usage_of(name: str, command: Any) -> str:
    """How a command is called, in one line."""
    if hasattr(command, "commands"):
        return f"{f'prefstream {name}'.strip()} COMMAND ..."
    parameters = list(parameters_of(name, command))
    arguments = [one.spelling for one in parameters if one.is_argument]
    required = [one.spelling.split(", ")[-1] for one in parameters if "required" in one.facts]
    return " ".join(["prefstream", name, *arguments, *required, "[OPTION]..."])


def parameters_of(name: str, command: Any) -> Iterator[Parameter]:
    """Those that are written in the command's signature: not `--help`, nor what typer adds."""
    known = {param.name: param for param in command.params}
    for written in inspect.signature(command.callback, eval_str=True).parameters.values():
        if param := known.get(written.name):
            yield _parameter(name, param, written)


def _parameter(command: str, param: Any, written: inspect.Parameter) -> Parameter:
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
    return Parameter(
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


def groups_of(parameters: Iterable[Parameter]) -> list[str]:
    """The groups of settings among them, in their order."""
    return list(dict.fromkeys(one.group for one in parameters if one.group))
