"""A command that refuses what would be lost in silence, and whose help cuts nothing off."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.text import Text
from typer.core import TyperCommand

from prefstream.consumer.early_signals import raise_interrupts
from prefstream.consumer.errors import UsageError

_INDENT: Final = 6
_WIDEST: Final = 100
"""Longer lines are hard to read."""


class StrictCommand(TyperCommand):
    """Refuses an option that takes one value and is given twice: the last would win, and nobody would know."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does, once it is clear that nothing is given twice; what a value has wrong is an error of ours.

        Raises:
            UsageError: a value is given twice, or is of the wrong type; in one line, as settings of a file are refused.
        """
        try:
            self._refuse_repeated(ctx, args)
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            param: Any = error.param
            if param is None or type(error) is not typer.BadParameter:  # one that is missing is told with the usage
                raise
            what = error.message.removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
            name = param.opts[0] if param.param_type_name == "option" else str(param.metavar or param.name.upper())
            variable = f" (or {param.envvar})" if isinstance(param.envvar, str) else ""
            raise UsageError(f"{name}{variable}: {what}") from None

    def _refuse_repeated(self, ctx: Any, args: list[str]) -> None:
        if ctx.resilient_parsing:
            return
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        param: Any
        for param, times in Counter(order).items():
            if times > 1 and _takes_one(param):
                raise typer.BadParameter("is given twice; give it once", ctx=ctx, param=param)

    def invoke(self, ctx: Any) -> Any:
        """As typer does; from here on the command may be interrupted in order."""
        raise_interrupts()
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Every option with what it does below it: beside it, a terminal of 80 columns has no room for its variable."""
        console = Console(width=min(Console().width, _WIDEST))
        with console.capture() as capture:
            _print_help(ctx.command_path.partition(" ")[2] or str(self.name), self, console)
        formatter.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def _takes_one(param: Any) -> bool:
    """Whether a second value takes the first one's place; a flag that is given twice says the same twice."""
    if param.param_type_name != "option" or param.multiple or getattr(param, "count", False):
        return False
    return not param.is_flag or bool(param.secondary_opts)


def _print_help(name: str, command: Any, console: Console) -> None:
    from prefstream.consumer.cli.parameters import Parameter, groups_of, parameters_of, usage_of

    def show(heading: str, parameters: Iterable[Parameter]) -> None:
        chosen = list(parameters)
        if chosen:
            console.print(Text(f"\n{heading}:", "bold"))
        for one in chosen:
            console.print(Text(f"  {one.spelling}", "cyan"))
            facts = f" ({'; '.join(one.facts)})" if one.facts else ""
            console.print(Padding(Text(f"{one.help}{facts}".replace("`", "")), (0, 0, 0, _INDENT)))

    parameters = list(parameters_of(name, command))
    console.print(Text.assemble(("Usage: ", "bold"), usage_of(name, command)))
    console.print()
    console.print(Markdown(inspect.cleandoc(command.help or "")))
    show("Arguments", (one for one in parameters if one.is_argument))
    show("Options", (one for one in parameters if not one.is_argument and not one.group))
    for group in groups_of(parameters):
        show(group, (one for one in parameters if one.group == group))
    console.print(Text("\nSettings may stand in the file of --config, too." if groups_of(parameters) else ""))
