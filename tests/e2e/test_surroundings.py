"""Commands in odd surroundings: names that are no UTF-8, a terminal that knows ASCII alone, streams that are closed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from prefstream.consumer.config import StreamConfig
from prefstream.schemas import decode_preference

COMMAND = (sys.executable, "-m", "prefstream")

PRIORS = """
judges:
  - {name: one, kind: prior, probabilities: {model_a: 0.4, model_b: 0.3, tie: 0.3}}
"""

BYTE = os.fsdecode(b"\xe9")
"""A name in Latin-1, as old archives hold them."""

WITHOUT_BROKER = {
    "score": ("score", "in{}.csv", "-o", "scored{}.jsonl"),
    "score-and-print": ("score", "in{}.csv", "-o", "-", "--format", "lmsys"),
    "evaluate": ("evaluate", "in{}.csv", "--json", "a{}.json", "--html", "a{}.html", "--bootstrap", "100"),
    "calibrate": ("calibrate", "in{}.csv", "-o", "c{}.json", "--out-of-fold", "c{}.csv", "--plot", "c{}.png"),
    "what a file holds": ("finetune", "in{}.csv", "-r", "recipe{}.yaml", "-o", "none", "--show"),
    "schema": ("schema", "battle"),
    "help": ("score", "--help"),
}
CAN_NOT_BE_DONE = {
    "no such file": ("score", "none{}.csv", "-o", "out.csv"),
    "no such command": ("none{}",),
    "no such configuration": ("run", "--config", "none{}.yaml"),
    "no such folder": ("evaluate", "in{}.csv", "--json", "none{}/a.json"),
}
ON_A_BROKER = {
    "replay": ("replay", "in{}.csv", "--topic"),
    "topics": ("topics", "create", "--battles-topic"),
    "doctor": ("doctor", "--battles-topic"),
    "dead-letters": ("dead-letters", "list", "--topic"),
}

CLOSED = "<&- >&- 2>&-"


def written_words(words: Sequence[str]) -> list[str]:
    return [word.format(BYTE) for word in words]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Judged battles and a panel, in a folder with such a name, too."""
    folder = tmp_path / f"folder{BYTE}"
    folder.mkdir()
    (folder / f"panel{BYTE}.yaml").write_text(PRIORS + "calibration: calibration.json\n")
    (folder / f"recipe{BYTE}.yaml").write_text("{name: one, kind: pairwise, base: nobody/has-it}")  # none to be counted
    (folder / "calibration.json").write_text('{"panel": {"temperature": 1.1, "tie_bias": 0.1}}')
    rows = "".join(f"{n},q {n},é {'a' * (n % 7)},b,{n % 3 == 0:d},{n % 3 == 1:d},{n % 3 == 2:d}\n" for n in range(60))
    header = "id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"
    (folder / f"in{BYTE}.csv").write_text(header + rows, encoding="utf-8")
    return folder


def run(
    words: Sequence[str], folder: Path, *, redirected: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, by a shell that closes some of its streams."""
    return subprocess.run(
        ["bash", "-c", f"{shlex.join([*COMMAND, *words])} {redirected}"],
        cwd=folder,
        env=os.environ | {"PREFSTREAM_PANEL": str(folder / f"panel{BYTE}.yaml")} | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=200,
    )


@pytest.mark.parametrize("words", WITHOUT_BROKER.values(), ids=WITHOUT_BROKER)
def test_names_that_are_no_utf8_and_a_terminal_without_it_are_no_obstacle(folder: Path, words: Sequence[str]) -> None:
    done = run(written_words(words), folder, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "\\udce9" not in done.stderr + done.stdout
    for path in folder.glob("*.jsonl"):
        assert decode_preference(path.read_bytes().splitlines()[0]).source.model_dump()["file"] == "in\\xe9.csv"
    for path in folder.glob("a*.json"):
        assert json.loads(path.read_bytes())["evaluated"]["file"] == "in\\xe9.csv"


@pytest.mark.parametrize("words", CAN_NOT_BE_DONE.values(), ids=CAN_NOT_BE_DONE)
def test_what_can_not_be_done_names_such_a_file_as_shells_do(folder: Path, words: Sequence[str]) -> None:
    done = run(written_words(words), folder, PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "none\\" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code"), [*((one, 0) for one in WITHOUT_BROKER.values()), *((one, 2) for one in CAN_NOT_BE_DONE.values())]
)
def test_with_closed_streams_commands_end_and_write_as_they_do_else(
    folder: Path, words: Sequence[str], code: int
) -> None:
    """And nothing that is printed ends up in a file that took the number of a closed stream."""
    inputs = {path: path.read_bytes() for path in folder.iterdir()}
    assert run(written_words(words), folder, redirected=CLOSED).returncode == code
    assert all(path.read_bytes() == content for path, content in inputs.items())
    for word in words if code == 0 else ():
        if word.endswith((".json", ".jsonl", ".html", ".png")):
            assert (folder / word.format(BYTE)).stat().st_size > 100


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_any_one_of_them_may_be_closed(folder: Path, closed: str) -> None:
    done = run(written_words(WITHOUT_BROKER["score"]), folder, redirected=closed)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    lines = (folder / f"scored{BYTE}.jsonl").read_bytes().splitlines()
    assert [decode_preference(line).id for line in lines] == [str(number) for number in range(60)]


def test_what_is_written_is_there_though_the_table_can_not_be_printed(folder: Path) -> None:
    """Minutes of scoring are not lost with it."""
    words = written_words(WITHOUT_BROKER["evaluate"])
    done = run(words, folder, redirected="> /dev/full")
    assert done.returncode != 0
    assert json.loads((folder / f"a{BYTE}.json").read_bytes())["battles"] == 60


@pytest.mark.parametrize("words", ON_A_BROKER.values(), ids=ON_A_BROKER)
@pytest.mark.parametrize("closed", ["", CLOSED])
def test_commands_on_a_broker_too(
    folder: Path, stream_config: Callable[..., StreamConfig], words: Sequence[str], closed: str
) -> None:
    config = stream_config()
    servers = ("--bootstrap-servers", config.bootstrap_servers)
    done = run([*written_words(words), config.battles_topic, *servers], folder, redirected=closed)
    assert "Traceback" not in done.stderr
    assert done.returncode in {0, 1}
    if words[0] == "replay":
        assert done.returncode == 0
