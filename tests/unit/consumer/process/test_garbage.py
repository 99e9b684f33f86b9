"""Our commands set the garbage collector, each for its own process; the stream leaves it next to nothing to do."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from prefstream.consumer.process.garbage import COLLECT_EVERY, loading
from prefstream.scoring.config import load_panel_config
from tests.conftest import Kafka
from tests.support.priors import write_prior_panel
from tests.support.processes import PREFSTREAM, Prefstream, child_environment, run_arguments
from tests.support.streams import battle_event, fresh_config, malformed_events, produce, running

TELLING = f"""
import atexit, gc, json
collector = lambda: [*gc.get_threshold(), gc.isenabled(), gc.get_freeze_count() > 0]
atexit.register(lambda: print("COLLECTOR", json.dumps(collector())))
{PREFSTREAM}
"""
"""The program, which at its end prints how its collector is set."""

AS_A_LIBRARY = """
import gc, sys
before = gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()
from prefstream import Battle, load_panel
import prefstream.consumer.cli, prefstream.consumer.stream.service
with load_panel(sys.argv[1]) as panel:
    panel.score([Battle(id="42", prompt="2+2?", response_a="4", response_b="5")])
assert (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()) == before
"""


LOADING = """
import gc, sys
from prefstream.consumer.process.garbage import loading
from prefstream.scoring.config import load_panel_config
with loading(load_panel_config("demo")):
    assert "transformers.modeling_utils" in sys.modules
    assert not any(one is sys.modules["torch"] for one in gc.get_objects())
"""


def collector(output: str) -> list[object]:
    [told] = [line for line in output.splitlines() if line.startswith("COLLECTOR ")]
    return list(json.loads(told.removeprefix("COLLECTOR ")))


@pytest.fixture
def priors(tmp_path: Path) -> Path:
    return write_prior_panel(tmp_path)


def test_who_imports_us_and_scores_keeps_the_collector_as_it_was(priors: Path) -> None:
    subprocess.run([sys.executable, "-c", AS_A_LIBRARY, priors], env=child_environment(), timeout=100, check=True)


def test_nothing_is_collected_while_much_is_loaded_and_afterwards_as_ever(priors: Path) -> None:
    panel = load_panel_config(priors)
    try:
        with loading(panel):
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
    with pytest.raises(LookupError), loading(panel):
        raise LookupError
    assert gc.isenabled()


def test_what_judges_are_loaded_by_is_imported_first_and_set_aside() -> None:
    subprocess.run([sys.executable, "-c", LOADING], env=child_environment(), timeout=100, check=True)


def test_what_is_loaded_later_beside_a_stream_that_runs_is_alone_looked_through(priors: Path) -> None:
    panel = load_panel_config(priors)
    looked_through: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            looked_through.append(info["generation"])

    try:
        with loading(panel):
            pass
        gc.callbacks.append(note)
        with loading(panel):
            pass
    finally:
        gc.unfreeze()
        gc.callbacks.remove(note)
    assert looked_through == [1]


def test_scoring_a_file_collects_rarely_and_never_what_was_loaded(priors: Path, tmp_path: Path) -> None:
    battles = tmp_path / "battles.jsonl"
    battles.write_bytes(battle_event(1) + b"\n")
    words = ["score", str(battles), "-o", str(tmp_path / "out.jsonl"), "--panel", str(priors)]
    program = [sys.executable, "-c", TELLING, *words]
    done = subprocess.run(program, env=child_environment(), timeout=100, check=True, stdout=subprocess.PIPE, text=True)
    assert collector(done.stdout) == [COLLECT_EVERY, *gc.get_threshold()[1:], True, True]


def test_the_service_collects_rarely_and_never_what_was_loaded(
    embedded_kafka: Kafka, priors: Path, tmp_path: Path
) -> None:
    config = fresh_config(embedded_kafka.bootstrap_servers)
    run = Prefstream(*run_arguments(config, priors), log=tmp_path / "log", program=TELLING)
    try:
        run.wait_streaming()
        run.process.terminate()
        output, _ = run.process.communicate(timeout=100)
    finally:
        run.kill()
    assert collector(output) == [COLLECT_EVERY, *gc.get_threshold()[1:], True, True]


def test_what_passes_through_the_stream_is_let_go_of_without_a_collection(embedded_kafka: Kafka) -> None:
    """So memory is flat however rarely there is one: a batch leaves some objects in cycles, a record none."""
    config = fresh_config(embedded_kafka.bootstrap_servers, dead_letter_limit=1)
    malformed = [value for value, _ in malformed_events(64)]
    produce(config, [event for n in range(1280) for event in (battle_event(n), malformed[n % 64])])
    with running(config) as stream:
        stream.wait_published(128)  # what is made once is made
        gc.collect()
        gc.disable()
        try:
            stream.wait_published(2560)
            garbage = gc.collect()
        finally:
            gc.enable()
        assert garbage < 24 * len(stream.committed)
