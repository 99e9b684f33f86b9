"""`prefstream board` from files: what offline users get, and what it refuses."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits
from typer.testing import CliRunner, Result

from prefstream.consumer.board.report.payloads import BoardReport, ReviewLine
from prefstream.consumer.board.report.reports import Reports
from prefstream.consumer.board.service import BoardService
from prefstream.consumer.cli import app
from prefstream.consumer.cli.exit_codes import EXIT_REJECTED, EXIT_USAGE, complain
from prefstream.consumer.cli.signals import stop_signals_handled_by
from prefstream.schemas import PrefstreamError, encode_preference, parse_battle
from prefstream.schemas.preference import FileSource, JudgeOpinion, Preference, Probabilities, Provenance
from prefstream.scoring.evaluation.results import Evaluation
from tests.support.processes import child_environment

BATTLES = 240
MODELS = ("[red]quick[/red]", "=SUM(A1)", "模型", "slow \x1b[31mmodel")
"""Names that a terminal, a spreadsheet or markup could obey."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Preferences of the first version, which name no models, and labelled battles, which do."""
    rng = random.Random(7)
    folder = tmp_path_factory.mktemp("board")
    preferences, judged = folder / "preferences.jsonl", folder / "judged.jsonl"
    with preferences.open("wb") as said, judged.open("w") as labelled:
        for number in range(BATTLES):
            one, other = rng.sample(MODELS, 2)
            row = {
                "id": f"b{number}",
                "prompt": "secretword",
                "response_a": "**secretword** " * rng.randint(1, 9),
                "response_b": "secretword " * rng.randint(1, 9),
                "model_a": one,
                "model_b": other,
                "language": "en",
                "winner": rng.choices(["A", "B", "tie"], [3, 2, 1] if one < other else [2, 3, 1])[0],
            }
            labelled.write(json.dumps(row) + "\n")
            a, b = rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.4)
            shares = Probabilities(model_a=a, model_b=b, tie=1 - a - b)
            judge = JudgeOpinion(name="style", probabilities=shares, provenance=Provenance(kind="features"))
            told = Preference(
                schema_version="1.0",
                id=parse_battle(row).id,
                probabilities=shares,
                preferred=shares.preferred,
                judges=(judge,),
                disagreement=0.0,
                source=FileSource(file="judged.jsonl", line=number + 1),
            )
            said.write(encode_preference(told) + b"\n")
    return preferences, judged


def board(*arguments: str | Path, columns: int = 80) -> Result:
    """Run the command inside this process, errors as `main` shows them."""
    result = CliRunner().invoke(app, ["board", *map(str, arguments)], env={"COLUMNS": str(columns)})
    if isinstance(result.exception, PrefstreamError):
        result.exit_code = complain(result.exception)
    return result


def blas_threads() -> set[int]:
    """Of each library that multiplies matrices."""
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_matrices_are_multiplied_by_one_thread(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Others would spin, on cores that the judges and the broker need."""
    seen: list[set[int]] = []

    def look(*_: object) -> str:
        seen.append(blas_threads())
        return ""

    monkeypatch.setattr(Reports, "csv", look)
    monkeypatch.setattr(BoardService, "run", look)
    monkeypatch.setattr("prefstream.consumer.cli.serving.install_exception_hooks", lambda: None)
    with threadpool_limits(2, user_api="blas"):
        board("--preferences", files[0], "--votes", files[1], "--format", "csv")
        with stop_signals_handled_by(lambda *_: None):  # the service sets its own
            board()
        assert blas_threads() == {2}
    assert seen == [{1}, {1}]


def test_it_prints_a_table_with_names_as_they_are(files: tuple[Path, Path]) -> None:
    preferences, judged = files
    result = board("--preferences", preferences, "--votes", judged)
    assert result.exit_code == 0, result.output
    assert f"{BATTLES} preferences · {BATTLES} votes" in result.stdout
    for name in ("[red]quick[/red]", "=SUM(A1)", "模型", r"slow \x1b[31mmodel"):
        assert name in result.stdout
    assert "\x1b" not in result.stdout
    assert "●" in result.stdout
    assert "log loss" in result.stdout
    assert re.search(r"length slope +-?[0-9.]+ \[.*by people", result.stdout)
    assert re.search(rf"all of the last week +{BATTLES} battles", result.stdout)
    assert re.search("judges differ widely +0 %", result.stdout)
    assert "secretword" not in result.output
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("columns", [60, 80, 100, 160, 250])
def test_the_table_fits_into_the_terminal(files: tuple[Path, Path], columns: int) -> None:
    preferences, judged = files
    result = board("--preferences", preferences, "--votes", judged, columns=columns)
    assert max(map(len, result.stdout.splitlines())) <= columns


def test_json_is_the_apis_payload_and_names_come_from_the_votes(files: tuple[Path, Path]) -> None:
    preferences, judged = files
    result = board("--preferences", preferences, "--votes", judged, "--format", "json", "--style-control")
    report = BoardReport.model_validate_json(result.stdout)
    assert {line.model for line in report.strengths.models} == set(MODELS)
    assert [one.language for one in report.languages.languages] == ["en"]
    assert [one.name for one in report.strengths.style][:1] == ["length"]
    assert report.status.counters["preferences"] == BATTLES
    assert f"{BATTLES} preferences got names" in result.stderr


def test_it_finds_what_evaluate_finds(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Of the same predictions and verdicts: only the intervals are others, for evaluate knows the prompts."""
    preferences, judged = files
    found = tmp_path / "found.json"
    words = ["evaluate", judged, "--predictions", preferences, "--json", found, "--bootstrap", "100"]
    assert CliRunner().invoke(app, list(map(str, words))).exit_code == 0
    panel = Evaluation.model_validate_json(found.read_bytes()).panel
    result = board("--preferences", preferences, "--votes", judged, "--format", "json")
    for window in BoardReport.model_validate_json(result.stdout).trust.windows:
        assert window.quality is not None
        for measure in ("log_loss", "accuracy", "calibration_error"):
            assert getattr(window.quality, measure).value == pytest.approx(getattr(panel, measure).value, abs=1e-12)


def test_csv_is_one_table_that_no_spreadsheet_runs(files: tuple[Path, Path]) -> None:
    preferences, judged = files
    result = board("--preferences", preferences, "--votes", judged, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout, newline="")))
    assert {row["model"] for row in rows} == {*MODELS} - {"=SUM(A1)"} | {"'=SUM(A1)"}


def test_ties_are_an_outcome_of_their_own_beside_the_table(files: tuple[Path, Path]) -> None:
    """By Davidson's model, whose ratings are of the battles that somebody won."""
    preferences, judged = files
    words = ("--preferences", preferences, "--votes", judged)
    ties = BoardReport.model_validate_json(board(*words, "--format", "json").stdout).ties
    assert ties.votes == BATTLES
    assert {line.model for line in ties.models} == set(MODELS)
    assert sum(line.rating for line in ties.models) == pytest.approx(1000 * len(MODELS), abs=0.1)
    called = sum(json.loads(row)["winner"] == "tie" for row in judged.read_text().splitlines()) / BATTLES
    assert ties.ties_among_equals == pytest.approx(called, abs=0.03)  # strengths lie near each other here
    rows = csv.reader(io.StringIO(board(*words, "--format", "csv", "--table", "ties").stdout, newline=""))
    assert len(list(rows)) == 1 + len(MODELS)
    assert "by Davidson's model people call" in board(*words).stdout


def test_csv_of_trust_has_every_figure(files: tuple[Path, Path]) -> None:
    preferences, judged = files
    words = ("--preferences", preferences, "--votes", judged)
    report = BoardReport.model_validate_json(board(*words, "--format", "json").stdout)
    rows = csv.DictReader(
        io.StringIO(board(*words, "--format", "csv", "--table", "trust").stdout, newline=""), strict=True
    )
    found = {(row["window"], row["figure"]): row for row in rows}
    [week] = [one for one in report.trust.answers if one.window == "week"]
    assert float(found["week", "entropy"]["value"]) == week.entropy
    assert found["week", "entropy"]["battles"] == str(BATTLES)
    assert ("week", "flipped") not in found  # no judge read both orders
    assert found["week", "log_loss"]["votes"] == str(BATTLES)
    window = report.trust.windows[-1]
    assert window.length is not None
    assert float(found["week", "length_slope_excess"]["value"]) == window.length.excess.value


def test_csv_has_the_judges_over_time_and_by_length(files: tuple[Path, Path]) -> None:
    preferences, judged = files
    words = ("--preferences", preferences, "--votes", judged)
    report = BoardReport.model_validate_json(board(*words, "--format", "json").stdout)
    told = {
        table: list(csv.DictReader(io.StringIO(board(*words, "--format", "csv", "--table", table).stdout, newline="")))
        for table in ("trust-time", "length")
    }
    [day] = report.trust_over_time.slices
    [row] = told["trust-time"]
    assert (row["votes"], float(row["log_loss_high"])) == (str(BATTLES), day.log_loss.high)
    bins = [one for window in report.trust.windows if window.length for one in window.length.bins]
    assert [(float(row["low"]), float(row["people"])) for row in told["length"]] == [
        (one.low, one.people.value) for one in bins
    ]


def test_csv_has_reliability_by_bin_and_figures_by_language(files: tuple[Path, Path]) -> None:
    preferences, judged = files
    words = ("--preferences", preferences, "--votes", judged)
    report = BoardReport.model_validate_json(board(*words, "--format", "json").stdout)
    told = {
        table: list(csv.DictReader(io.StringIO(board(*words, "--format", "csv", "--table", table).stdout, newline="")))
        for table in ("reliability", "trust-slices")
    }
    assert [(row["window"], float(row["confidence"]), float(row["accuracy"])) for row in told["reliability"]] == [
        (window.window, one.confidence, one.accuracy.value)
        for window in report.trust.windows
        for one in window.reliability
    ]
    assert [(row["by"], row["value"], float(row["log_loss_minus_prior_high"])) for row in told["trust-slices"]] == [
        ("language", one.value, one.quality.against_prior.log_loss.high)
        for window in report.trust.windows
        for one in window.languages
    ]
    assert told["trust-slices"]


def test_jsonl_is_what_a_person_should_look_at(files: tuple[Path, Path]) -> None:
    preferences, judged = files
    words = ("--preferences", preferences, "--votes", judged, "--battle-url", "https://example.org/{id}")
    lines = board(*words, "--format", "jsonl").stdout.splitlines()
    report = BoardReport.model_validate_json(board(*words, "--format", "json").stdout)
    told = [ReviewLine.model_validate_json(line) for line in lines]
    assert [(one.id, one.why, one.score) for one in told] == [
        (one.id, one.why, one.score) for one in report.review.battles
    ]
    assert {json.loads(line)["link"] for line in lines} <= {f"https://example.org/b{n}" for n in range(BATTLES)}
    assert lines


def test_the_judges_alone_need_no_votes(files: tuple[Path, Path], tmp_path: Path) -> None:
    """And a file that is compressed is unpacked."""
    preferences, judged = files
    packed = tmp_path / "preferences.jsonl.gz"
    packed.write_bytes(gzip.compress(preferences.read_bytes()))
    alone = board("--preferences", packed, "--format", "json")
    assert alone.exit_code == 0
    assert BoardReport.model_validate_json(alone.stdout).strengths.models == ()
    told = board("--preferences", packed)
    assert "none says who wrote its answers" in " ".join(told.stdout.split())
    both = board("--preferences", packed, "--votes", judged, "--method", "judges")
    assert "what the judges say" in both.stdout


def test_rows_that_are_none_are_named_and_do_not_stop_the_rest(files: tuple[Path, Path], tmp_path: Path) -> None:
    preferences, judged = files
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "x"}\n' + preferences.read_text())
    result = board("--preferences", broken, "--votes", judged)
    assert result.exit_code == EXIT_REJECTED
    assert f"{broken}:1: bad_preference" in result.stderr
    assert f"{BATTLES} preferences" in result.stdout


def test_files_that_do_not_belong_together_are_told(files: tuple[Path, Path], tmp_path: Path) -> None:
    preferences, judged = files
    others = tmp_path / "others.jsonl"
    others.write_text('{"id": "b1", "winner": "A"}\n{"id": "of another day", "winner": "A"}\n')
    result = board("--preferences", preferences, "--votes", others)
    assert f"1 vote of 2 without a battle in {preferences}: ids are compared" in result.stderr
    assert "without a battle" not in board("--preferences", preferences, "--votes", judged).stderr
    swapped = board("--preferences", judged, "--votes", preferences)
    assert swapped.exit_code == EXIT_REJECTED
    assert f"no row of {judged} is a preference; --preferences takes" in swapped.stderr
    assert f"no row of {preferences} is a vote; --votes takes" in swapped.stderr


def test_an_unknown_language_is_answered_with_those_that_there_are(files: tuple[Path, Path]) -> None:
    preferences, judged = files
    result = board("--preferences", preferences, "--votes", judged, "--language", "English")
    assert "none for this language and window.\nLanguages with a table: en." in result.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--votes", "{judged}"], "--votes: no effect without --preferences"),
        (["--format", "json"], "--format: no effect without --once"),
        (["--once", "--table", "pairs"], "--table: no effect without --format csv"),
        (["--once", "--format", "jsonl", "--language", "en"], "--language: no effect with --format jsonl"),
        (["--once", "--step", "hour"], "--step: no effect with --format table"),
        (["--once", "--http-port", "1"], "--http-port: no effect with --once"),
        (["--once", "--group-id", "g"], "--group-id: no effect with --once"),
        (["--once", "--format", "csv", "--table", "dead-letters"], "'dead-letters' is not one of 'models', 'pairs'"),
        (["--preferences", "{preferences}", "--file", "x.sqlite"], "--file: no effect with --preferences"),
        (["--preferences", "{judged}.nothing"], "No such file"),
        (["--battle-url", "https://example.org/"], "has no {id}"),
        (["--vote-window", "soon"], "'soon' is no span of time; write such as 30s, 10m, 2h or 7d"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(
    files: tuple[Path, Path], arguments: list[str], why: str
) -> None:
    preferences, judged = files
    named = [
        word.replace("{judged}", str(judged)).replace("{preferences}", str(preferences)) if "/" not in word else word
        for word in arguments
    ]
    result = board(*named)
    assert result.exit_code == EXIT_USAGE
    assert why in str(result.exception)


def test_an_unreachable_broker_is_one_line(tmp_path: Path) -> None:
    result = board("--once", "--bootstrap-servers", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "127.0.0.1:1" in str(result.exception)
    assert "Traceback" not in result.output


def test_it_imports_no_torch(files: tuple[Path, Path]) -> None:
    """The extra of the board has none."""
    preferences, judged = files
    code = (
        "import sys\n"
        "from prefstream.consumer.cli import main\n"
        f"sys.argv = ['prefstream', 'board', '--preferences', {str(preferences)!r}, '--votes', {str(judged)!r}]\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        "import prefstream.consumer.board.service\n"
        "print('loaded', *[name for name in ('torch', 'transformers', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=child_environment(), capture_output=True, text=True, timeout=200
    )
    assert done.stdout.splitlines()[-1] == "loaded", done.stdout[-300:] + done.stderr[-2000:]
