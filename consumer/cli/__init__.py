"""The `prefstream` command. One module per command, imported when it is called; errors become exit codes here."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from prefstream.consumer.cli.standard_streams import mend_standard_streams
from prefstream.consumer.early_signals import EXIT_INTERRUPTED, hear_signals
from prefstream.consumer.process.fast_start import start_fast

COMMANDS: Final = {
    "demo": "Watch battles being scored: broker, judges, exactly-once stream, and a check of what came out.",
    "run": "Serve: read battles, publish preferences and dead letters, exactly once, until SIGTERM or SIGINT.",
    "score": "Score files of battles, without Kafka.",
    "rescore": "Score a range of a topic once more, by another panel: to a file, or to a topic exactly once.",
    "diff": "Say what would change if another panel answered: two sets of answers about the same battles.",
    "audit": "Say whether every record of a range has exactly one answer, who gave them, and what was left out.",
    "board": "Tell who leads, how sure that is, and whether the judges can be trusted: from votes and preferences.",
    "evaluate": "Say how good judges are: their probabilities against what people said.",
    "topics": "The stream's topics on a cluster.",
    "panels": "Which panel answers, chosen while the service runs.",
    "replay": "Feed a file to a topic: its battles, or with --votes what people said of them.",
    "finetune": "Fine-tune a judge with LoRA on pairs that people judged.",
    "adapters": "What training left behind: average adapters, compare runs, merge into bases, push to a hub.",
    "calibrate": "Fit temperature, tie bias and weights of a panel on battles that people judged.",
    "golden": "Battles with the answers that a panel is known to give: make a set of them, check a panel by it.",
    "recalibrate": "Let the panel's calibration follow the votes that people cast, live.",
    "doctor": "Check whether `prefstream run` would work with the same options, and print what it would use.",
    "schema": "Print the contract: JSON Schema of the messages, AsyncAPI of the topics. Generated from the models.",
    "bench": "Measure this machine: by ratios of two programs that take turns, but for profile, growth, latency, "
    "roofline, gpu.",
    "broker": "Run a small Kafka broker in memory, for trying things out and for tests. Ctrl-C ends it; nothing is "
    "kept.",
    "dead-letters": "Look at what could not be scored, and send it back once its cause is mended.",
}
"""In the order of the help: what each command's own help begins with, told without importing it (a test compares)."""

EXTRAS: Final = {
    "demo": ("demo",),
    "run": ("run",),
    "score": ("judges",),
    "rescore": ("run",),
    "diff": ("judges", "run"),
    "audit": ("run",),
    "board": ("board",),
    "evaluate": ("judges",),
    "topics": ("run",),
    "panels": ("run",),
    "replay": ("run",),
    "finetune": ("train",),
    "adapters": ("judges",),
    "calibrate": ("judges",),
    "golden": ("judges",),
    "recalibrate": ("board",),
    "doctor": ("run",),
    "bench": ("demo", "train"),
    "broker": ("run",),
    "dead-letters": ("run",),
}
"""What each command needs beyond what every installation has: names of the package's extras."""

_ENOUGH: Final = {"score": ("remote", "run"), "golden": ("remote", "run")}
"""Of commands that do with less than that, depending on the panel: extras of which each brings what is needed to begin.
What a judge needs beyond that is said when it is loaded."""

_LASTING: Final = frozenset({"demo", "run", "score", "rescore", "diff", "audit", "board", "recalibrate"})
"""Commands that load much, or let much pass through: for the garbage collector."""

_MARKUP: Final = "markdown"


def load_command(name: str) -> Any:
    """Import a command: `a-b` is the function, or the Typer with commands of its own, `a_b` in the module `a_b`.

    Returns:
        A typer command, or a group of them.
    """
    identifier = name.replace("-", "_")
    command = getattr(importlib.import_module(f"{__name__}.{identifier}"), identifier)
    loaded = typer.Typer(rich_markup_mode=_MARKUP)
    # What a command alone knows is set by PREFSTREAM_<COMMAND>_<OPTION>; what several share has a name of its own.
    settings = {"auto_envvar_prefix": f"PREFSTREAM_{identifier.upper()}"}
    if isinstance(command, typer.Typer):
        loaded.add_typer(command, name=name, context_settings=settings)
    else:
        from prefstream.consumer.cli.strict_command import StrictCommand

        loaded.command(name, cls=StrictCommand, context_settings=settings)(command)
    return typer.main.get_group(loaded).commands[name]


class LazyCommands(TyperGroup):
    """Lists the commands by what is written of them here, and imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=summary) for name, summary in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that was called, imported; an unknown one is refused with the nearest names."""
        name, command, rest = super().resolve_command(ctx, args)
        if not name:
            return name, command, rest
        if name in _LASTING and not ctx.resilient_parsing:
            from prefstream.consumer.process.garbage import collect_rarely

            collect_rarely()
        if _is_uninstalled(name):
            if ctx.resilient_parsing:  # a shell asks how the line could go on
                return name, command, rest
            _tell_uninstalled(name, rest)
        loaded = load_command(name)
        if not ctx.resilient_parsing and not {"-h", "--help"} & set(rest):
            from prefstream.consumer.cli.notes import note_variables

            note_variables(ctx, name, loaded, COMMANDS)
        return name, loaded, rest


def _is_uninstalled(name: str) -> bool:
    if name not in EXTRAS:
        return False
    from prefstream.scoring.extras import is_missing

    return is_missing(*EXTRAS[name]) and all(map(is_missing, _ENOUGH.get(name, ())))


def _tell_uninstalled(name: str, rest: list[str]) -> None:
    """Print the help that was asked for, or say what a command needs.

    Raises:
        typer.Exit: the help is printed.
        MissingExtraError: the command was called.
    """
    from prefstream.scoring.extras import require

    if {"-h", "--help"} & set(rest):
        from prefstream.consumer.cli.uninstalled import print_help

        print_help([name, *rest])
        typer.echo(f"Not installed yet: pip install 'prefstream[{','.join(EXTRAS[name])}]'")
        raise typer.Exit
    require(f"prefstream {name}", *EXTRAS[name])


app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    rich_markup_mode=_MARKUP,
    pretty_exceptions_enable=False,  # they print local variables, which may hold what users wrote
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer passes the flag's value
    if wanted:
        from prefstream.scoring.version import own_version

        typer.echo(f"prefstream {own_version()}")
        raise typer.Exit


@app.callback()
def prefstream(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Predicts which of two chat answers a person will prefer, live from Kafka.

    Two judges of different families read each battle; the panel's probabilities for A, B and tie leave on another
    topic, exactly once. Start with `prefstream demo`.

    Exit codes: 0 done; 1 a lasting fault (start again); 2 wrong usage or configuration; 3 some rows were rejected;
    70 a hanging call was ended; 130 interrupted.
    """


def main() -> None:
    """Run the command line; every error that we raise becomes one line and an exit code."""
    hear_signals()
    start_fast()
    mend_standard_streams()
    try:
        app()
    except SystemExit as leaving:
        if leaving.code == EXIT_INTERRUPTED and _was_interrupted(leaving):
            from prefstream.consumer.cli.exit_codes import leave_now

            typer.echo("prefstream: interrupted", err=True)
            # What was open is closed. Python itself may take the exit for one by SIGINT: it remembers an interrupt in
            # the middle of an `exec`, such as a dataclass makes, although that was caught since.
            leave_now(EXIT_INTERRUPTED)
        raise
    except (Exception, KeyboardInterrupt) as error:
        # The trees of errors bring the contract's models along: imported where there is an error.
        from prefstream.consumer.cli.exit_codes import exit_code_of

        code = exit_code_of(error)
        if code is None:
            raise
        sys.exit(code)


def _was_interrupted(leaving: SystemExit) -> bool:
    """Whether typer ends the process for a KeyboardInterrupt, of which it says nothing."""
    cause: BaseException | None = leaving
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None
