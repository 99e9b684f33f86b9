"""Judges that hang, raise, answer NaN or die for good, in processes that serve; and a stop in the middle of each."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from prefstream.consumer.client.watchdog import EXIT_STALLED
from prefstream.consumer.config import StreamConfig
from tests.chaos.inside.judges import JUDGING
from tests.chaos.inside.trap import ENV_TRAP, Trap
from tests.conftest import APACHE, EMBEDDED, Kafka
from tests.support.figures import record
from tests.support.models import make_tiny_panel
from tests.support.priors import write_prior_panel
from tests.support.processes import ANNOUNCES_SCORING, Prefstream, run_arguments
from tests.support.streams import (
    MARKERS,
    Position,
    assert_exactly_once,
    battle_events,
    committed_offsets,
    produce,
    read_outcome,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]
Serve = Callable[..., AbstractContextManager[Prefstream]]

PROGRAM: Final = f"""
{ANNOUNCES_SCORING}
import os, pathlib
from tests.chaos.inside.judges import spoil_judges
from tests.chaos.inside.trap import Trap
spoil_judges(Trap(pathlib.Path(os.environ["{ENV_TRAP}"])))
from prefstream.consumer.cli import main
main()
"""

DRAIN_S: Final = 3.0
CLOSE_S: Final = 100.0
"""Longest end of a process beyond its time to drain: five seconds, and more on a machine with other things to do. The
judge hangs for an hour."""

on_each_broker = pytest.mark.parametrize(
    "kafka", [EMBEDDED, pytest.param(APACHE, marks=pytest.mark.long)], indirect=True
)
"""What a judge does is no broker's affair: Apache Kafka takes part when there is time."""


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    """What the judges are to do next."""
    return Trap(tmp_path / "trap")


@pytest.fixture
def config(stream_config: MakeConfig) -> StreamConfig:
    return stream_config(partitions=1)


@pytest.fixture
def serve(config: StreamConfig, tmp_path: Path) -> Serve:
    """Starts a process whose judges can be made to misbehave; no line of its log holds a user's words."""

    @contextmanager
    def start(panel: Path, score_timeout_s: float = 60.0) -> Iterator[Prefstream]:
        arguments = run_arguments(
            config,
            panel,
            instance_id="one",
            max_batch_battles=5,
            score_timeout_s=score_timeout_s,
            drain_seconds=DRAIN_S,
            session_timeout_ms=6_000,
        )
        environment = {ENV_TRAP: str(tmp_path / "trap")}
        process = Prefstream(*arguments, log=tmp_path / "stderr.log", program=PROGRAM, environment=environment)
        try:
            yield process
        finally:
            process.kill()
        assert not [marker for marker in MARKERS if marker in process.log]

    return start


def recover(serve: Serve, panel: Path, config: StreamConfig, sent: list[Position]) -> float:
    """Start the process anew, as its supervisor does; seconds until every battle is answered, once."""
    seen = len(read_outcome(config).positions)
    started = time.monotonic()
    with serve(panel) as run:
        wait_until(lambda: run.published >= len(sent) - seen or run.ended, what="the rest")
        took_s = time.monotonic() - started
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert_exactly_once(config, sent)
    return took_s


@on_each_broker
@pytest.mark.parametrize(
    ("mischief", "code", "says"),
    [
        ("hang", EXIT_STALLED, "a batch has been scored for more than 2 s"),
        ("raise", 1, "judge prior: RuntimeError while scoring"),
        ("answer NaN", 1, "judge prior: a probability is no finite number"),
    ],
)
def test_a_judge_that_misbehaves_ends_the_process_and_its_successor_answers(
    serve: Serve,
    config: StreamConfig,
    trap: Trap,
    tmp_path: Path,
    kafka: Kafka,
    mischief: str,
    code: int,
    says: str,
) -> None:
    """One line says which judge and what; what it could not judge is judged once, by the next process."""
    sent = produce(config, battle_events(5))
    panel = write_prior_panel(tmp_path)
    with serve(panel, score_timeout_s=2.0) as run:
        wait_until(lambda: run.published >= 5 or run.ended, what="the first batch")
        trap.set(JUDGING, mischief)
        sent += produce(config, battle_events(5, first=5))
        assert run.wait() == code, run.log
        assert says in (run.log if code == EXIT_STALLED else run.failure)
    assert committed_offsets(config, 1) == {0: 5}
    recovery_s = recover(serve, panel, config, sent)
    record(f"a judge: {mischief}, {kafka.name}", recovery_s, f"nothing new; the process ends with {code}")


@pytest.mark.long  # three starts of a process, one after the other
def test_a_judge_that_is_dead_for_good_ends_every_process_until_it_is_mended(
    serve: Serve, config: StreamConfig, trap: Trap, tmp_path: Path, kafka: Kafka
) -> None:
    """Restarts lose nothing, answer nothing, and say each time why."""
    panel = write_prior_panel(tmp_path)
    sent = produce(config, battle_events(10))
    trap.set(JUDGING, "raise always")
    for _ in range(2):
        with serve(panel) as run:
            assert run.wait() == 1
            assert "judge prior" in run.failure
    assert committed_offsets(config, 1)[0] in {None, 0}  # its start, at most
    trap.clear()
    recovery_s = recover(serve, panel, config, sent)
    record(f"a judge that is dead for good, {kafka.name}", recovery_s, "nothing new; every process ends with 1")


@on_each_broker
@pytest.mark.parametrize(
    ("mischief", "code"),
    [
        ("hang", 0),
        pytest.param("raise", 1, marks=pytest.mark.long),
        pytest.param("answer NaN", 1, marks=pytest.mark.long),
    ],
)
def test_a_stop_while_a_judge_misbehaves_ends_in_time(
    serve: Serve,
    config: StreamConfig,
    trap: Trap,
    tmp_path: Path,
    kafka: Kafka,
    mischief: str,
    code: int,
) -> None:
    """The batch before is published while draining; the judge then hangs or fails, and the drain's limit holds."""
    sent = produce(config, battle_events(10))
    panel = write_prior_panel(tmp_path, seconds_per_batch=1.0)
    with serve(panel) as run:
        run.wait_scoring()
        time.sleep(0.4)  # the first batch is being scored, the second one waits
        trap.set(JUDGING, mischief)
        signalled = time.monotonic()
        run.signal(signal.SIGTERM)
        assert run.wait(DRAIN_S + CLOSE_S) == code, run.log
        took_s = time.monotonic() - signalled
    trap.clear()
    recover(serve, panel, config, sent)
    record(f"SIGTERM while a judge does this: {mischief}, {kafka.name}", took_s, f"exit code {code}")


@on_each_broker
def test_told_to_a_panel_goes_on_without_the_judge_that_failed(
    serve: Serve, config: StreamConfig, trap: Trap, tmp_path: Path, kafka: Kafka
) -> None:
    """Readers see who is missing in every answer."""
    panel = write_prior_panel(tmp_path, names=("one", "two"), on_judge_failure="degrade")
    with serve(panel) as run:
        run.wait_streaming()
        trap.set(JUDGING, "raise")
        started = time.monotonic()
        sent = produce(config, battle_events(10))
        wait_until(lambda: run.published >= 10 or run.ended, what="the answers")
        record(f"a judge left out, {kafka.name}", time.monotonic() - started, "answers of one judge")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    outcome = assert_exactly_once(config, sent)
    assert {len(preference.judges) for preference in outcome.preferences} == {1}


@pytest.mark.long  # torch takes seconds to start
@pytest.mark.timeout(240)
def test_a_real_judge_whose_logits_are_not_finite_once_is_asked_again(
    serve: Serve, config: StreamConfig, trap: Trap, tmp_path: Path, kafka: Kafka
) -> None:
    """A flaky card gives one once: nobody sees it."""
    with serve(make_tiny_panel(tmp_path)) as run:
        run.wait_streaming()
        trap.set(JUDGING, "answer NaN")
        started = time.monotonic()
        sent = produce(config, battle_events(5))
        wait_until(lambda: run.published >= 5 or run.ended, what="the answers")
        record(f"a real judge answers NaN once, {kafka.name}", time.monotonic() - started, "a later answer")
        assert not trap.is_set
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert_exactly_once(config, sent)
