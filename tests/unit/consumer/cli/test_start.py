"""A command imports what it runs: `--help` next to nothing, `run` nothing that belongs to another command."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from prefstream.consumer.cli import COMMANDS
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.process.fast_start import SCORING
from tests.conftest import Kafka
from tests.support.priors import write_prior_panel
from tests.support.processes import PREFSTREAM, Prefstream, child_environment, run_arguments
from tests.support.streams import battle_event, produce, wait_until

CLI = Path(__file__).parents[4] / "consumer" / "cli"

TELLING = f"import atexit, sys; atexit.register(lambda: print('MODULES', *sys.modules)); {PREFSTREAM}"
"""The program, which at its end prints all modules that it has imported."""

ENTRY = "from prefstream.__main__ import main; main()"
"""The program from its very beginning."""

NOT_FOR_RUN = (
    "prefstream.consumer.bench",
    "prefstream.consumer.broker",
    "prefstream.consumer.dead_letters",
    "prefstream.consumer.demo",
    "prefstream.consumer.doctor",
    "prefstream.consumer.files",
    "prefstream.scoring.adapters",
    "prefstream.scoring.bench",
    "prefstream.scoring.calibration",
    "prefstream.scoring.demo",
    "prefstream.scoring.evaluation",
    "prefstream.scoring.files",
    "prefstream.scoring.finetune",
    "prefstream.scoring.loading",
    "prefstream.scoring.reward",
    "torch",
    "transformers",
    "sklearn",
    "scipy",
    "matplotlib",
)
"""What a service whose judges are priors has no use for."""


def imported(output: str) -> set[str]:
    [line] = [line for line in output.splitlines() if line.startswith("MODULES ")]
    return set(line.split()[1:])


def within(modules: set[str], package: str) -> set[str]:
    return {name for name in modules if f"{name}.".startswith(f"{package}.")}


def test_help_imports_no_command_and_no_model_of_a_setting() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TELLING, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env=child_environment(),
        check=True,
    )
    modules = imported(done.stdout)
    assert within(modules, "prefstream") == {
        "prefstream",
        "prefstream.consumer",
        "prefstream.consumer.cli",
        "prefstream.consumer.cli.standard_streams",
        "prefstream.consumer.early_signals",
        "prefstream.consumer.process",
        "prefstream.consumer.process.fast_start",
    }
    assert not modules & {"kafka", "numpy", "pydantic", "structlog", "torch", "yaml"}


def test_commands_that_score_start_again_before_the_command_line_is_imported() -> None:
    assert set(COMMANDS) > SCORING
    program = f"import os, sys; os.execve = lambda *_: (print('MODULES', *sys.modules), os._exit(0)); {ENTRY}"
    environment = child_environment() | {"PREFSTREAM_NO_REEXEC": "0", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", program, "score", "battles.csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=True)
    assert not imported(done.stdout) & {"typer", "pydantic", "prefstream.consumer.cli"}


def test_run_imports_nothing_that_belongs_to_another_command(embedded_kafka: Kafka, tmp_path: Path) -> None:
    """Up to a published answer and an end in good order, with judges that need no model."""
    group = uuid.uuid4().hex
    config = StreamConfig(
        bootstrap_servers=embedded_kafka.bootstrap_servers,
        group_id=group,
        battles_topic=f"{group}.battles",
        preferences_topic=f"{group}.preferences",
        dead_letters_topic=f"{group}.dead-letters",
    )
    create_topics(config, 1)
    produce(config, [battle_event(1)])
    run = Prefstream(
        *run_arguments(config, write_prior_panel(tmp_path), http_port=0), log=tmp_path / "log", program=TELLING
    )
    try:
        wait_until(lambda: run.published == 1 or run.ended)
        run.signal(signal.SIGTERM)
        output, _ = run.process.communicate(timeout=60)
    finally:
        run.kill()
    modules = imported(output)
    assert "prefstream.scoring.judges.prior" in modules
    assert {package: found for package in NOT_FOR_RUN if (found := within(modules, package))} == {}
    assert modules & {command_module(name) for name in COMMANDS} == {"prefstream.consumer.cli.run"}


@pytest.mark.parametrize("path", sorted(CLI.rglob("*.py")), ids=lambda path: str(path.relative_to(CLI)))
def test_no_module_imports_a_command(path: Path) -> None:
    """What two commands share is a module of its own; a command is imported because it was called."""
    froms = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = {name for node in froms for name in (node.module, *(f"{node.module}.{one.name}" for one in node.names))}
    assert not names & {command_module(name) for name in COMMANDS}


def command_module(name: str) -> str:
    return f"prefstream.consumer.cli.{name.replace('-', '_')}"
