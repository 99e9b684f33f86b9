"""The `prefstream` command. One module per command or two; this one gathers them and turns errors into exit codes."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from kafka.errors import KafkaError

from prefstream.consumer.cli.bench import bench
from prefstream.consumer.cli.broker import broker
from prefstream.consumer.cli.calibrate import calibrate
from prefstream.consumer.cli.dead_letters import dead_letters
from prefstream.consumer.cli.demo import demo
from prefstream.consumer.cli.doctor import doctor
from prefstream.consumer.cli.evaluate import evaluate
from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED, complain
from prefstream.consumer.cli.finetune import finetune
from prefstream.consumer.cli.run import run
from prefstream.consumer.cli.schema import schema
from prefstream.consumer.cli.score import replay, score
from prefstream.consumer.errors import StreamError
from prefstream.schemas import PrefstreamError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # they print local variables, which may hold what users wrote
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, run, score, evaluate, replay, finetune, calibrate, doctor, schema, bench, broker):
    # What a command alone knows is set by PREFSTREAM_<COMMAND>_<OPTION>; what several share has a name of its own.
    app.command(context_settings={"auto_envvar_prefix": f"PREFSTREAM_{command.__name__.upper()}"})(command)
app.add_typer(dead_letters, name="dead-letters", context_settings={"auto_envvar_prefix": "PREFSTREAM_DEAD_LETTERS"})


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer passes the flag's value
    if wanted:
        typer.echo(f"prefstream {version('prefstream')}")
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
    try:
        app()
    except PrefstreamError as error:
        sys.exit(complain(error))
    except KafkaError as error:
        # Its own text may quote whole requests.
        sys.exit(complain(StreamError(f"Kafka refused or did not answer: {type(error).__name__}")))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
