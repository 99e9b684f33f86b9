"""Scoring a file: every row once, the same bytes whatever interrupts it."""

from __future__ import annotations

import base64
import contextlib
import csv
import gzip
import itertools
import json
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from prefstream.consumer.errors import StreamError, UsageError
from prefstream.consumer.files import score_output as output_module
from prefstream.consumer.files.score import check_score, panel_identity, score_file
from prefstream.consumer.files.score_output import STANDARD_OUTPUT, FileOutput, ScorePaths
from prefstream.consumer.files.score_progress import Checkpoint
from prefstream.consumer.files.score_rows import OutputFormat
from prefstream.consumer.files.score_run import RunSettings
from prefstream.schemas import Probabilities, decode_preference
from prefstream.scoring.atomic_file import draft_path
from prefstream.scoring.config import PanelConfig, PriorJudgeConfig
from prefstream.scoring.errors import FileError, JudgeFaultError
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import Panel
from tests.support import hash_judge
from tests.support.hash_judge import TOO_LARGE, Recorder, hash_panel, score_with_hashes

HEADER = "id,prompt,response_a,response_b\n"


def write_csv(folder: Path, rows: int, bad: tuple[int, ...] = ()) -> Path:
    """A file of that many rows, the bad ones with a cell too few."""
    path = folder / "battles.csv"
    lines = [
        f"{number},too few\n" if number in bad else f'{number},"[""p {number}""]",a {number % 7},"b\n{number % 5}"\n'
        for number in range(rows)
    ]
    path.write_text(HEADER + "".join(lines))
    return path


def read_submission(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def everything(out: Path) -> dict[str, bytes]:
    """All that a run left: output, rejected rows, checkpoint."""
    return {path.name: path.read_bytes() for path in out.parent.glob(out.name + "*")}


def test_submission_has_kaggles_columns_and_rows_in_order(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    summary = score_with_hashes(write_csv(tmp_path, 20), out)
    rows = read_submission(out)
    assert [row["id"] for row in rows] == [str(number) for number in range(20)]
    assert list(rows[0]) == ["id", "winner_model_a", "winner_model_b", "winner_tie"]
    assert all(abs(sum(float(cell) for name, cell in row.items() if name != "id") - 1) < 1e-6 for row in rows)
    assert (summary.scored, summary.rejected, summary.complete) == (20, 0, True)
    assert list(everything(out)) == ["out.csv"]


def test_preferences_name_file_and_line_and_have_no_timings(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    score_with_hashes(write_csv(tmp_path, 3), out)
    preferences = [decode_preference(line) for line in out.read_bytes().splitlines()]
    assert [preference.source.model_dump() for preference in preferences] == [
        {"file": "battles.csv", "line": line}
        for line in (2, 4, 6)  # each row spans two lines
    ]
    assert all(preference.timings is None for preference in preferences)


def test_both_outputs_say_the_same(tmp_path: Path) -> None:
    source = write_csv(tmp_path, 30)
    score_with_hashes(source, tmp_path / "out.csv")
    score_with_hashes(source, tmp_path / "out.jsonl")
    for row, line in zip(
        read_submission(tmp_path / "out.csv"), (tmp_path / "out.jsonl").read_bytes().splitlines(), strict=True
    ):
        preference = decode_preference(line)
        assert row["id"] == preference.id
        assert Probabilities(**{name: float(row[f"winner_{name}"]) for name in Probabilities.model_fields}) == (
            preference.probabilities
        )


def test_submission_to_the_wsdm_cup_names_the_likelier_winner(tmp_path: Path) -> None:
    source = write_csv(tmp_path, 30)
    score_with_hashes(source, tmp_path / "out.csv", output_format="wsdm")
    score_with_hashes(source, tmp_path / "lmsys.csv")
    rows = read_submission(tmp_path / "out.csv")
    assert list(rows[0]) == ["id", "winner"]
    assert [row["winner"] for row in rows] == [
        "model_a" if float(row["winner_model_a"]) >= float(row["winner_model_b"]) else "model_b"
        for row in read_submission(tmp_path / "lmsys.csv")
    ]
    assert {row["winner"] for row in rows} == {"model_a", "model_b"}


@pytest.mark.parametrize(("name", "output_format"), [("out.jsonl", "wsdm"), ("out.csv", "jsonl"), ("out.txt", None)])
def test_format_that_does_not_go_with_the_ending_is_refused(
    tmp_path: Path, name: str, output_format: OutputFormat | None
) -> None:
    with pytest.raises(UsageError, match=name):
        score_with_hashes(write_csv(tmp_path, 1), tmp_path / name, output_format=output_format)


def test_another_format_can_not_be_resumed(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path, 30), tmp_path / "out.csv"
    score_with_hashes(source, out, recorder=Recorder(stop_after=1))
    with pytest.raises(UsageError, match=r"--format \(it was lmsys\)"):
        score_with_hashes(source, out, resume=True, output_format="wsdm")


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gz", "zst"])
def test_compressed_file_interrupted_and_resumed_gives_the_same_bytes(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    source = write_csv(tmp_path, 100, bad=(17,))
    packed = tmp_path / "battles.csv.packed"
    packed.write_bytes(pack(source.read_bytes()))
    (tmp_path / "whole").mkdir()
    score_with_hashes(source, tmp_path / "whole" / "out.csv")
    while not score_with_hashes(packed, tmp_path / "out.csv", recorder=Recorder(stop_after=3), resume=True).complete:
        assert json.loads((tmp_path / "out.csv.progress").read_bytes())["done_bytes"] <= packed.stat().st_size
    assert everything(tmp_path / "out.csv") == everything(tmp_path / "whole" / "out.csv")


def test_standard_output_gets_preferences_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_csv(tmp_path, 30, bad=(3,))
    recorder = Recorder()
    summary = score_with_hashes(source, STANDARD_OUTPUT, recorder=recorder)
    assert (summary.scored, summary.rejected, summary.complete) == (29, 1, True)
    score_with_hashes(source, tmp_path / "out.jsonl")
    assert capfdbinary.readouterr().out == (tmp_path / "out.jsonl").read_bytes()
    score_with_hashes(source, STANDARD_OUTPUT, output_format="wsdm")
    assert capfdbinary.readouterr().out.startswith(b"id,winner\n0,model_")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["battles.csv", "out.jsonl", "out.jsonl.rejected"]
    with pytest.raises(UsageError, match="--resume needs a file"):
        score_with_hashes(source, STANDARD_OUTPUT, resume=True)


def test_cells_that_begin_like_lists_of_turns_are_warned_of(tmp_path: Path) -> None:
    source = tmp_path / "battles.csv"
    source.write_text(HEADER + "1,p,x,y\n2,\"['p']\",x,y\n")
    recorder = Recorder()
    assert score_with_hashes(source, tmp_path / "out.csv", recorder=recorder).scored == 2
    assert recorder.warnings == [3]


def test_an_id_that_an_earlier_row_has_is_warned_of(tmp_path: Path) -> None:
    """In whatever chunk the earlier one was; the row is scored all the same."""
    source = tmp_path / "battles.csv"
    source.write_text(HEADER + "".join(f"{name},p,x,y\n" for name in "abcbda"))
    recorder = Recorder()
    assert score_with_hashes(source, tmp_path / "out.csv", recorder=recorder, chunk_rows=2).scored == 6
    assert recorder.warnings == [5, 7]


def test_rejected_rows_are_told_and_kept_as_given(tmp_path: Path) -> None:
    source = tmp_path / "battles.csv"
    source.write_bytes(
        HEADER.encode() + b"1,p,a,b\n2,p\n3,\xff,a,b\n" + f"4,{TOO_LARGE},a,b\n".encode() + b'5,"p\n,a,b\n6,p,a,b\n'
    )
    recorder = Recorder()
    summary = score_with_hashes(source, tmp_path / "out.csv", recorder=recorder)
    assert (summary.scored, summary.rejected) == (2, 5)
    entries = [json.loads(line) for line in (tmp_path / "out.csv.rejected").read_text().splitlines()]
    assert recorder.rejections == [(entry["line"], entry["reason"]) for entry in entries]
    assert recorder.rejections == [
        (3, "not_csv"),
        (4, "not_utf8"),
        (5, "too_large_for_judge"),
        (6, "not_csv"),
        (7, "not_csv"),
    ]
    assert entries[0]["raw"] == "2,p"
    assert base64.b64decode(entries[1]["raw_base64"]) == b"3,\xff,a,b"
    assert entries[2]["raw"] == f"4,{TOO_LARGE},a,b"
    assert not any("p\n" in entry["detail"] or TOO_LARGE in entry["detail"] for entry in entries)


def test_input_without_rows_gives_an_output_without_rows(tmp_path: Path) -> None:
    for name, expected in (("out.csv", b"id,winner_model_a,winner_model_b,winner_tie\n"), ("out.jsonl", b"")):
        assert score_with_hashes(write_csv(tmp_path, 0), tmp_path / name).complete
        assert everything(tmp_path / name) == {name: expected}


def test_chunk_ends_early_at_its_bound_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the largest size would not fit in memory otherwise."""
    monkeypatch.setattr("prefstream.consumer.files.score_run.MAX_CHUNK_BYTES", 100)
    recorder = Recorder()
    score_with_hashes(write_csv(tmp_path, 20), tmp_path / "out.csv", recorder=recorder, chunk_rows=1000)
    assert len(recorder.advances) > 3
    assert recorder.advances[-1] == ((tmp_path / "battles.csv").stat().st_size, 20)


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_five_thousand_rows_interrupted_and_resumed_are_bit_identical(tmp_path: Path, name: str) -> None:
    """Stopped after each of several chunks; the judge's answers show the composition of every batch."""
    source = write_csv(tmp_path, 5_000, bad=(17, 3000))
    (tmp_path / "whole").mkdir()
    whole, out = tmp_path / "whole" / name, tmp_path / name
    score_with_hashes(source, whole, chunk_rows=256)
    runs = 0
    while True:
        recorder = Recorder(stop_after=3)
        summary = score_with_hashes(source, out, recorder=recorder, resume=True, chunk_rows=256)
        runs += 1
        if summary.complete:
            break
        assert (tmp_path / f"{name}.progress").exists()
    assert runs == 7  # 20 chunks, 3 a run
    assert everything(out) == everything(whole)
    rows = read_submission(out) if name == "out.csv" else map(json.loads, out.read_bytes().splitlines())
    assert len({row["id"] for row in rows}) == 4_998


class _Crash(BaseException):
    """As if the power failed at this point."""


@contextlib.contextmanager
def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Fail before, in the middle of, or after the `step`th write to the disk; yields the count of such points."""
    passed = [0]
    write, save, unlink = output_module._write, Checkpoint.save, Path.unlink

    def point() -> None:
        passed[0] += 1
        if passed[0] == step:
            raise _Crash

    def crashing_write(file: Any, rows: bytes) -> int:
        point()
        write(file, rows[: len(rows) // 2])
        point()
        end = write(file, rows[len(rows) // 2 :])
        point()
        return end

    def crashing_save(self: Checkpoint, path: Path) -> None:
        point()
        draft_path(path).write_bytes(b"half of")
        point()
        save(self, path)
        point()

    def crashing_unlink(self: Path, **options: Any) -> None:
        point()
        unlink(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(output_module, "_write", crashing_write)
        patch.setattr(Checkpoint, "save", crashing_save)
        patch.setattr(Path, "unlink", crashing_unlink)
        yield passed


def test_crash_at_any_write_leaves_what_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every point where the process can die is tried; each time the resumed result has the same bytes."""
    source = write_csv(tmp_path, 30, bad=(3, 20))
    whole = tmp_path / "whole"
    whole.mkdir()
    score_with_hashes(source, whole / "out.csv")
    with crash_at(0, monkeypatch) as passed:
        score_with_hashes(source, tmp_path / "counted.csv")
    for step in range(1, passed[0] + 1):
        out = tmp_path / f"{step}" / "out.csv"
        out.parent.mkdir()
        with crash_at(step, monkeypatch), pytest.raises(_Crash):
            score_with_hashes(source, out)
        assert score_with_hashes(source, out, resume=True).complete
        assert everything(out) == everything(whole / "out.csv")
    assert passed[0] > 30


def test_crash_of_a_forced_run_is_resumed_as_the_forced_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the output that it overwrote shows through."""
    source = write_csv(tmp_path, 30, bad=(3,))
    out = tmp_path / "out.csv"
    score_with_hashes(source, out)
    expected = everything(out)
    for step in itertools.count(4):  # the first three points lie before the new run's checkpoint
        out.write_bytes(b"older and longer\n" * 500)
        (tmp_path / "out.csv.rejected").write_bytes(b"older\n" * 500)
        try:
            with crash_at(step, monkeypatch):
                score_with_hashes(source, out, force=True)
        except _Crash:
            score_with_hashes(source, out, resume=True)
            assert everything(out) == expected
        else:
            break


def test_sigkill_at_random_moments_loses_and_doubles_no_row(tmp_path: Path, seeded: random.Random) -> None:
    """A process of its own, killed until it gets through."""
    source = write_csv(tmp_path, 400, bad=(0, 100, 399))
    whole = tmp_path / "whole"
    whole.mkdir()
    score_with_hashes(source, whole / "out.jsonl")
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", hash_judge.__name__, str(source), str(out), "0.02"]
    kills = 0
    while not ScorePaths(out, source=source).finished:  # one may be killed between its last step and its end
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            # The last one gets through, however busy the machine is.
            patience = seeded.uniform(0, 0.4) if kills < 6 else None
            try:
                assert process.wait(timeout=patience) == 0
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
    assert kills > 0
    assert everything(out) == everything(whole / "out.jsonl")


@pytest.fixture
def interrupted(tmp_path: Path) -> tuple[Path, Path]:
    """Input and output of a run that was stopped after its first chunk."""
    source, out = write_csv(tmp_path, 40, bad=(1,)), tmp_path / "out.csv"
    score_with_hashes(source, out, recorder=Recorder(stop_after=1))
    return source, out


def test_resume_refuses_another_input_panel_or_chunk(interrupted: tuple[Path, Path]) -> None:
    """What is there stays as it was."""
    source, out = interrupted
    before = everything(out)
    with pytest.raises(UsageError, match=r"the panel, --chunk \(it was 8\)\. .*--force"):
        score_with_hashes(source, out, resume=True, identity="other", chunk_rows=9)
    content = source.read_text()
    for changed in (content.replace("p 2", "q 2"), content + "40,p,a,b\n"):
        source.write_text(changed)
        with pytest.raises(UsageError, match="the input file"):
            score_with_hashes(source, out, resume=True)
    assert everything(out) == before


def test_what_is_not_resumable_is_refused_before_judges_are_loaded(interrupted: tuple[Path, Path]) -> None:
    """By its own files alone; only the panel takes loading to be known."""
    source, out = interrupted
    paths = ScorePaths(out, source=source)
    check_score(paths, RunSettings(resume=True, chunk_rows=8))
    with pytest.raises(UsageError, match=r"interrupted run: --chunk \(it was 8\)\. "):
        check_score(paths, RunSettings(resume=True, chunk_rows=9))
    source.write_text(source.read_text() + "40,p,a,b\n")
    with pytest.raises(UsageError, match=r"interrupted run: the input file\. "):
        check_score(paths, RunSettings(resume=True, chunk_rows=8))
    paths.checkpoint.write_bytes(b"{}")
    with pytest.raises(UsageError, match="no progress file"):
        check_score(paths, RunSettings(resume=True, chunk_rows=8))


def test_resume_refuses_outputs_that_were_changed(interrupted: tuple[Path, Path]) -> None:
    source, out = interrupted
    for path in (out, out.with_name("out.csv.rejected")):
        kept = path.read_bytes()
        path.write_bytes(kept[:-1])
        with pytest.raises(UsageError, match="is shorter than"):
            score_with_hashes(source, out, resume=True)
        path.write_bytes(kept)
    assert score_with_hashes(source, out, resume=True).complete


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version":2}', b"\xff"])
def test_resume_refuses_a_damaged_checkpoint(interrupted: tuple[Path, Path], content: bytes) -> None:
    source, out = interrupted
    out.with_name("out.csv.progress").write_bytes(content)
    with pytest.raises(UsageError, match="no progress file"):
        score_with_hashes(source, out, resume=True)


def test_existing_outputs_are_not_overwritten_unasked(interrupted: tuple[Path, Path]) -> None:
    source, out = interrupted
    with pytest.raises(UsageError, match=r"interrupted run.*--resume"):
        score_with_hashes(source, out)
    score_with_hashes(source, out, resume=True)
    for path in (out, out.with_name("out.csv.rejected")):
        with pytest.raises(UsageError, match=f"{path.name} exists already.*--force"):
            score_with_hashes(source, out)
        path.unlink()
    assert score_with_hashes(source, out).complete


def test_force_gives_up_the_interrupted_run(interrupted: tuple[Path, Path]) -> None:
    source, out = interrupted
    summary = score_with_hashes(source, out, force=True)
    assert (summary.scored, summary.resumed_rows) == (39, 0)


def test_resume_of_a_finished_run_is_refused_and_of_none_begins(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path, 10), tmp_path / "out.csv"
    assert score_with_hashes(source, out, resume=True).scored == 10
    with pytest.raises(UsageError, match="is finished"):
        score_with_hashes(source, out, resume=True)


def test_second_run_on_the_same_output_is_refused(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path, 10), tmp_path / "out.csv"
    with FileOutput(ScorePaths(out, source=source)), pytest.raises(UsageError, match="another process"):
        score_with_hashes(source, out, resume=True)


@pytest.mark.parametrize(
    ("source", "out", "told"),
    [
        ("battles.csv", "out.parquet", r"use \.csv"),
        ("battles.csv", "none/out.csv", "there is no folder"),
        ("battles.csv", "battles.csv", "input and output at once"),
        ("battles.csv", "folder.csv", "exists already"),
    ],
)
def test_impossible_outputs_are_refused(tmp_path: Path, source: str, out: str, told: str) -> None:
    write_csv(tmp_path, 1)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match=told):
        score_with_hashes(tmp_path / source, tmp_path / out)


def test_input_that_is_not_there_is_refused_before_an_output_is_begun(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        score_with_hashes(tmp_path / "none.csv", tmp_path / "out.csv")
    assert not list(tmp_path.iterdir())


def test_full_disk_ends_the_run_and_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = write_csv(tmp_path, 40), tmp_path / "out.csv"
    write, writes = output_module._write, itertools.count()

    def full(file: Any, rows: bytes) -> int:
        if next(writes) == 2:
            raise OSError(28, "No space left on device")
        return write(file, rows)

    with monkeypatch.context() as patch:
        patch.setattr(output_module, "_write", full)
        with pytest.raises(StreamError, match=r"can't write .*out\.csv: No space left"):
            score_with_hashes(source, out)
    assert score_with_hashes(source, out, resume=True).resumed_rows == 16


def test_judge_that_breaks_down_leaves_a_run_to_resume(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path, 40), tmp_path / "out.csv"
    calls = itertools.count()

    class Faulty(hash_judge.HashJudge):
        def score(self, batch: Any) -> Any:
            if next(calls) == 3:
                raise JudgeFaultError("hash", "non-finite logits", transient=False)
            return super().score(batch)

    recorder = Recorder()
    with Panel([Faulty()]) as panel, pytest.raises(JudgeFaultError):
        score_file(
            ScorePaths(out, source=source),
            panel,
            identity="hash",
            observer=recorder,
            stop=recorder.stop,
            chunk_rows=8,
        )
    assert score_with_hashes(source, out, resume=True).resumed_rows == 24


def prior_config(**settings: Any) -> PanelConfig:
    judge = PriorJudgeConfig(
        name="prior", kind="prior", probabilities=Probabilities(model_a=0.3, model_b=0.3, tie=0.4), **settings
    )
    return PanelConfig(judges=(judge,))


def test_identity_of_a_panel_follows_all_that_decides_its_answers(tmp_path: Path) -> None:
    """Of priors too, whose provenance says nothing, and of a calibration that was fitted anew under the same name."""
    calibration = tmp_path / "panel.json"
    calibrated = prior_config().model_copy(update={"calibration": str(calibration)})
    identities = []
    with hash_panel() as panel:
        for config in (prior_config(), prior_config(weight=2.0), prior_config().model_copy(update={"swap": True})):
            identities += [panel_identity(config, panel)]
        for content in ("{}", '{"panel":{}}'):
            calibration.write_text(content)
            identities += [panel_identity(calibrated, panel)]
        assert panel_identity(prior_config(), panel) == identities[0]
    with load_panel(prior_config()) as panel:
        identities += [panel_identity(prior_config(), panel)]
    assert len(set(identities)) == len(identities) - 1  # both panels of the plain prior


def test_a_disk_that_is_full_is_one_error_and_no_second_one_at_the_end(tmp_path: Path) -> None:
    """What could not be written is still in the file's buffer when it is closed."""
    found = resource.getrlimit(resource.RLIMIT_FSIZE)
    with contextlib.ExitStack() as limits:
        limits.callback(resource.setrlimit, resource.RLIMIT_FSIZE, found)
        output = limits.enter_context(FileOutput(ScorePaths(tmp_path / "out.csv", source=tmp_path / "in.csv")))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, found[1]))
        with pytest.raises(StreamError, match=r"can't write .*out\.csv: File too large") as full:
            output.append(b"x" * 2_000, b"")
        output.__exit__(StreamError, full.value, None)


def test_a_file_that_can_not_be_closed_leaves_no_other_open(tmp_path: Path) -> None:
    found = resource.getrlimit(resource.RLIMIT_FSIZE)
    with contextlib.ExitStack() as limits:
        limits.callback(resource.setrlimit, resource.RLIMIT_FSIZE, found)
        output = FileOutput(ScorePaths(tmp_path / "out.csv", source=tmp_path / "in.csv"))
        output.append(b"", b"{}\n")
        opened = [path for path in open_files() if path.parent == tmp_path]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, found[1]))
        with pytest.raises(StreamError, match="File too large"):
            output.append(b"x" * 2_000, b"")
        with pytest.raises(StreamError, match="File too large"):
            output.__exit__(None, None, None)
    assert len(opened) == 2
    assert not [path for path in open_files() if path.parent == tmp_path]


def open_files() -> list[Path]:
    """What this process has open, by name."""
    return [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
