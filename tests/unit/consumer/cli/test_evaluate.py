"""`prefstream evaluate`: tables, JSON and report of a panel or of predictions, and what it refuses."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from prefstream.consumer.cli import app
from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED, EXIT_REJECTED, EXIT_USAGE, complain
from prefstream.schemas import PrefstreamError
from prefstream.scoring.evaluation.results import Evaluation
from tests.support.features_judges import make_features_adapter
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.priors import prior_entry

MARK = "battletext"
BATTLES = 60


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled battles of two tiers, and one row that is none."""
    rng = random.Random(0)
    rows = [
        json.dumps(
            {
                "id": f"b{number}",
                "prompt": [f"{MARK} {number % 20}"],
                "response_a": [f"{MARK} " + "better answer " * rng.randint(1, 9)],
                "response_b": [f"{MARK} " + "quick fox " * rng.randint(1, 9)],
                "model_a": rng.choice(["llama-2-7b-chat", "claude-1"]),
                "model_b": rng.choice(["llama-2-7b-chat", "gpt-4"]),
                "winner": rng.choice(["model_a", "model_b", "tie"]),
                "tier": "core" if number % 3 else "arena",
            }
        )
        for number in range(BATTLES)
    ]
    path = tmp_path_factory.mktemp("data") / "judged.jsonl"
    path.write_text("\n".join([rows[0], '{"id": "none"}', *rows[1:]]) + "\n")
    return path


@pytest.fixture(scope="module")
def clean(judged: Path) -> Path:
    """The same without the row that is none."""
    path = judged.with_name("clean.jsonl")
    path.write_text("".join(line for line in judged.read_text().splitlines(keepends=True) if "winner" in line))
    return path


def prior_panel(folder: Path, **entry: object) -> Path:
    path = folder / "panel.yaml"
    path.write_text(yaml.safe_dump({"judges": [prior_entry("prior", (0.5, 0.25, 0.25), **entry)]}))
    return path


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    return prior_panel(tmp_path)


def evaluate(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    """Run the command inside this process, errors as `main` shows them."""
    words = ["evaluate", *map(str, arguments), "--bootstrap", "100"]
    with one_torch_thread():
        result = CliRunner().invoke(app, words, env={"COLUMNS": "120", **(env or {})})
    if isinstance(result.exception, PrefstreamError):
        result.exit_code = complain(result.exception)
    return result


def test_table_json_and_report_of_a_panel(tmp_path: Path, judged: Path, panel: Path) -> None:
    found, page = tmp_path / "found.json", tmp_path / "report.html"
    result = evaluate(judged, "--panel", panel, "--json", found, "--html", page)
    assert result.exit_code == EXIT_REJECTED, result.output
    assert f"{judged}:2:" in result.stderr
    for name in (
        "panel",
        "prior",
        "class prior",
        "length only",
        "Calibration error 0.",
        "Calibration error on core 0.",
    ):
        assert name in result.stdout
    assert "seed 0" in result.stdout
    evaluation = Evaluation.model_validate_json(found.read_text())
    assert (evaluation.battles, evaluation.prompts) == (BATTLES, 20)
    assert evaluation.evaluated.rows_rejected == 1
    assert MARK not in page.read_text() + found.read_text() + result.output


def test_a_real_panel_is_measured_in_both_orders(tmp_path: Path, clean: Path) -> None:
    judges = [
        make_tiny_judge(tmp_path / "pairs", "gemma2", "pairwise", 0),
        make_tiny_judge(tmp_path / "points", "llama", "pointwise", 1),
    ]
    panel = tmp_path / "panel.yaml"
    panel.write_text(yaml.safe_dump({"judges": judges}))
    found = tmp_path / "found.json"
    result = evaluate(clean, "--panel", panel, "--swap", "--json", found)
    assert result.exit_code == 0, result.output
    evaluation = Evaluation.model_validate_json(found.read_text())
    by_name = {one.name: one for one in evaluation.position}
    assert by_name["panel"].by_construction
    assert by_name["points"].by_construction
    gap = by_name["pairs"].mean_gap
    assert gap is not None
    assert gap.value is not None
    assert gap.value > 0
    assert "pairs: with A and B exchanged" in result.stdout
    assert evaluation.systems[1].provenance is not None
    assert evaluation.systems[1].provenance.adapter_hash is not None


def test_injections_are_measured_on_request(tmp_path: Path, clean: Path) -> None:
    panel = tmp_path / "panel.yaml"
    panel.write_text(yaml.safe_dump({"judges": [make_tiny_judge(tmp_path / "points", "chatml", "pointwise")]}))
    found, page = tmp_path / "found.json", tmp_path / "report.html"
    result = evaluate(clean, "--panel", panel, "--limit", "3", "--injections", "--json", found, "--html", page)
    assert result.exit_code == 0, result.output
    effects = Evaluation.model_validate_json(found.read_text()).injections
    assert {(one.judge, one.battles) for one in effects} == {("panel", 3), ("points", 3)}
    assert any(one.gain.value for one in effects)
    assert "What an answer gains by a text that speaks to its judge" in result.stdout
    assert "forged turn" in result.stdout
    assert "<td>forged turn</td>" in page.read_text()
    result = evaluate(clean, "--panel", panel, "--limit", "3", "--injections", "--bias")
    assert "forged turn gains" in result.stdout
    assert "What an answer gains by a text that speaks to its judge" not in result.stdout


def test_the_table_of_bias_is_printed_and_stands_in_json_and_report(tmp_path: Path, judged: Path, panel: Path) -> None:
    found, page = tmp_path / "found.json", tmp_path / "report.html"
    words = (judged, "--panel", panel, "--bias", "--family", "prior=LLAMA-*", "--json", found, "--html", page)
    result = evaluate(*words)
    assert result.exit_code == EXIT_REJECTED, result.output
    rows = Evaluation.model_validate_json(found.read_text()).bias
    told = {(row.measure, row.judge, row.group) for row in rows}
    assert {("longer wins", "panel", group) for group in ("all", "arena", "core")} <= told
    assert ("prior's family wins", "prior", "all") in told
    text = page.read_text()
    for part in ("Position", "Verbosity", "Self-enhancement", "Formatting", "winner found, ratio below 1.2"):
        assert part in result.stdout
        assert part in text
    assert "llama-*" in result.stdout.lower()
    assert "Injections" not in result.stdout
    assert MARK not in page.read_text() + found.read_text() + result.output


def test_predictions_have_a_table_of_bias_without_what_only_judges_could_tell(tmp_path: Path, clean: Path) -> None:
    csv = tmp_path / "submission.csv"
    rows = [f"b{number},0.5,0.3,0.2" for number in range(BATTLES)]
    csv.write_text("\n".join(["id,winner_model_a,winner_model_b,winner_tie", *rows]))
    result = evaluate(clean, "--predictions", csv, "--bias")
    assert result.exit_code == 0, result.output
    assert "not measured" in " ".join(result.stdout.split())
    assert "longer wins" in result.stdout
    assert "Self-enhancement" not in result.stdout


def test_one_panel_is_held_against_another_battle_by_battle(tmp_path: Path, clean: Path, panel: Path) -> None:
    csv, found = tmp_path / "before.csv", tmp_path / "found.json"
    rows = [f"b{number},0.1,0.1,0.8" for number in range(1, BATTLES)]
    csv.write_text("\n".join(["id,winner_model_a,winner_model_b,winner_tie", *rows]))
    result = evaluate(clean, "--panel", panel, "--against", csv, "--bias", "--json", found)
    assert result.exit_code == EXIT_REJECTED, result.output
    assert f"{clean}:1: no prediction in {csv} has its id" in result.stderr
    evaluation = Evaluation.model_validate_json(found.read_text())
    assert evaluation.battles == BATTLES - 1
    assert evaluation.evaluated.reference == "before.csv"
    assert "Panel minus before.csv, battle by battle: log loss -" in result.stdout
    # To itself, as a panel that runs: no difference at all.
    result = evaluate(clean, "--predictions", csv, "--against", panel, "--json", found, "--force")
    assert "Panel minus panel.yaml, battle by battle: log loss +" in result.stdout
    result = evaluate(clean, "--panel", panel, "--against", panel)
    assert result.exit_code == 0, result.output
    assert "log loss +0.000 [+0.000, +0.000]" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--bias", "--family", "prior"), "give JUDGE=GLOB"),
        (("--bias", "--family", "nobody=x-*"), "there is no judge nobody; those that answer: panel, prior"),
        (("--family", "prior=x-*"), "which only --bias asks"),
    ],
)
def test_a_family_that_is_nobodys_is_refused_before_anybody_scores(
    clean: Path, panel: Path, words: tuple[str, ...], told: str
) -> None:
    result = evaluate(clean, "--panel", panel, *words)
    assert result.exit_code == EXIT_USAGE
    assert told in str(result.exception)


def test_the_labelled_file_is_no_reference(tmp_path: Path, clean: Path, panel: Path) -> None:
    result = evaluate(clean, "--panel", panel, "--against", clean)
    assert result.exit_code == EXIT_USAGE
    assert "--against" in str(result.exception)
    assert evaluate(clean, "--panel", panel, "--against", tmp_path / "none.yaml").exit_code == EXIT_USAGE


def test_predictions_of_score_give_what_the_panel_gives(tmp_path: Path, clean: Path, panel: Path) -> None:
    scored, direct, read = (tmp_path / name for name in ("scored.jsonl", "direct.json", "read.json"))
    assert CliRunner().invoke(app, ["score", str(clean), "-o", str(scored), "--panel", str(panel)]).exit_code == 0
    assert evaluate(clean, "--panel", panel, "--json", direct).exit_code == 0
    assert evaluate(clean, "--predictions", scored, "--json", read).exit_code == 0
    of_panel, of_file = (Evaluation.model_validate_json(path.read_text()) for path in (direct, read))
    assert of_file.systems == of_panel.systems
    assert of_file.evaluated.predictions == "scored.jsonl"


def test_empty_cells_and_repeated_ids_are_told_once_with_their_rows(tmp_path: Path, panel: Path) -> None:
    judged = tmp_path / "judged.csv"
    rows = [f"{number % 4},p {number},x,{'y' * (number % 2)},A\n" for number in range(6)]
    judged.write_text("id,prompt,response_a,response_b,winner\n" + "".join(rows))
    result = evaluate(judged, "--panel", panel)
    assert result.exit_code == 0, result.output
    assert f"{judged}:2: warning: response_b: read as an empty text" in result.stderr
    assert f"{judged}: the warning of line 2 holds for 3 rows, lines 2, 4, 6" in result.stderr
    assert f"{judged}:6: warning: an earlier row has the same id" in result.stderr
    assert f"{judged}: the warning of line 6 holds for 2 rows, lines 6, 7" in result.stderr


@pytest.mark.parametrize("link", [False, True])
def test_the_labelled_file_itself_is_no_file_of_predictions(tmp_path: Path, link: bool) -> None:
    labels = tmp_path / "train.csv"
    rows = "".join(f"{number},p {number},x,y,{number % 2},{1 - number % 2},0\n" for number in range(30))
    labels.write_text(f"id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n{rows}")
    given = tmp_path / "given.csv" if link else labels
    if link:
        given.symlink_to(labels)
    result = evaluate(labels, "--predictions", given)
    assert result.exit_code == EXIT_USAGE
    assert "is the labelled file itself" in str(result.exception)
    copy = tmp_path / "copy.csv"
    copy.write_bytes(labels.read_bytes())
    result = evaluate(labels, "--predictions", copy)
    assert result.exit_code == 0, result.output
    assert f"{copy}: every probability is 0 or 1" in result.stderr.replace("\n", " ")


def test_winners_without_probabilities_are_no_predictions(tmp_path: Path, clean: Path, panel: Path) -> None:
    """As `score` itself writes them for the WSDM Cup."""
    winners = tmp_path / "winners.csv"
    words = ["score", clean, "-o", winners, "--panel", panel, "--format", "wsdm"]
    assert CliRunner().invoke(app, list(map(str, words))).exit_code == 0
    result = evaluate(clean, "--predictions", winners)
    assert result.exit_code == EXIT_USAGE
    assert "without probabilities" in str(result.exception)


def test_battles_without_a_prediction_are_named(tmp_path: Path, clean: Path) -> None:
    csv = tmp_path / "submission.csv"
    rows = [f"b{number},0.5,0.3,0.2" for number in range(1, BATTLES)]
    csv.write_text("\n".join(["id,winner_model_a,winner_model_b,winner_tie", *rows, "stranger,1,0,0", "b1,2,2,2"]))
    result = evaluate(clean, "--predictions", csv)
    assert result.exit_code == EXIT_REJECTED
    assert f"{clean}:1: no prediction in {csv} has its id" in result.stderr
    assert f"1 of {BATTLES} labelled battles have no prediction" in result.stderr
    assert "1 predictions are about none of the labelled battles" in result.stderr
    assert f"{csv}:{BATTLES + 2}: bad_prediction" in result.stderr


def test_tier_and_limit_choose_battles(tmp_path: Path, clean: Path, panel: Path) -> None:
    found = tmp_path / "found.json"
    assert evaluate(clean, "--panel", panel, "--tier", "core", "--limit", "7", "--json", found).exit_code == 0
    assert Evaluation.model_validate_json(found.read_text()).battles == 7
    wrong = evaluate(clean, "--panel", panel, "--tier", "cora")
    assert wrong.exit_code == EXIT_USAGE
    assert "core (40)" in str(wrong.exception)


def test_predictions_of_two_panels_are_warned_of_and_judges_that_are_shown_are_not_denied(
    tmp_path: Path, clean: Path, panel: Path
) -> None:
    scored = tmp_path / "scored.jsonl"
    assert CliRunner().invoke(app, ["score", str(clean), "-o", str(scored), "--panel", str(panel)]).exit_code == 0
    first, *others = map(json.loads, scored.read_text().splitlines())
    first["judges"][-1]["name"] = "third"
    scored.write_text("".join(json.dumps(row) + "\n" for row in (first, *others)))
    told = " ".join(evaluate(clean, "--predictions", scored).stderr.split())
    assert "its rows are answers of several panels" in told
    assert "third" in told
    assert "only the panel is shown" not in told


def test_predictions_and_a_panel_exclude_each_other(tmp_path: Path, clean: Path, panel: Path) -> None:
    csv = tmp_path / "submission.csv"
    csv.write_text("id,winner_model_a,winner_model_b,winner_tie\nb0,1,0,0\nb1,0,1,0\n")
    assert evaluate(clean, "--predictions", csv, "--panel", panel).exit_code == EXIT_USAGE
    assert evaluate(clean, "--predictions", csv, "--swap").exit_code == EXIT_USAGE
    assert evaluate(clean, "--predictions", csv, "--injections").exit_code == EXIT_USAGE
    # A variable that every command reads is no wish to run judges here.
    assert evaluate(clean, "--predictions", csv, env={"PREFSTREAM_PANEL": str(panel)}).exit_code == EXIT_REJECTED


def test_outputs_are_not_overwritten_unasked(tmp_path: Path, clean: Path, panel: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("mine")
    refused = evaluate(clean, "--panel", panel, "--html", page)
    assert refused.exit_code == EXIT_USAGE
    assert page.read_text() == "mine"
    assert evaluate(clean, "--panel", panel, "--html", page, "--force").exit_code == 0
    assert "<!doctype html>" in page.read_text()
    assert evaluate(clean, "--panel", panel, "--json", clean, "--force").exit_code == EXIT_USAGE
    assert evaluate(clean, "--panel", panel, "--json", tmp_path / "no" / "found.json").exit_code == EXIT_USAGE


def test_an_output_that_can_not_be_written_is_refused_before_anybody_scores(
    tmp_path: Path, clean: Path, panel: Path
) -> None:
    html = tmp_path / ("x" * 249 + ".html")
    result = evaluate(clean, "--panel", panel, "--html", html)
    assert str(result.exception) == f"can't write {html}: File name too long"
    assert result.exit_code == EXIT_USAGE
    assert not result.stdout


def test_a_narrow_terminal_takes_neither_names_nor_digits_away(clean: Path, panel: Path) -> None:
    narrow, wide = (evaluate(clean, "--panel", panel, env={"COLUMNS": columns}).stdout for columns in ("30", "120"))
    table, of_it = (told[: told.index("95 %")].split() for told in (narrow, wide))
    assert table == of_it
    assert {"panel", "length"} <= set(table)


def test_a_file_without_labels_is_refused(tmp_path: Path, panel: Path) -> None:
    path = tmp_path / "unlabelled.jsonl"
    path.write_text('{"id": "x", "prompt": ["p"], "response_a": ["a"], "response_b": ["b"]}\n')
    result = evaluate(path, "--panel", panel)
    assert result.exit_code == EXIT_USAGE
    assert f"{path}:1: bad_label" in result.stderr


def test_ctrl_c_ends_it_at_once_and_writes_nothing(tmp_path: Path, clean: Path) -> None:
    panel = prior_panel(tmp_path, simulate={"seconds_per_batch": 600})
    found = tmp_path / "found.json"
    words = ["evaluate", str(clean), "--panel", str(panel), "--json", str(found)]
    code = (
        "from prefstream.scoring.judges.prior import PriorJudge\n"
        "score = PriorJudge.score\n"
        "PriorJudge.score = lambda *given: print('scoring', flush=True) or score(*given)\n"
        "from prefstream.consumer.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "scoring\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=200)  # the judge would take ten minutes
    assert process.returncode == EXIT_INTERRUPTED
    assert "nothing is written" in errors
    assert "Traceback" not in errors
    assert not found.exists()


def test_a_judge_of_features_tells_what_it_goes_by(clean: Path, tmp_path: Path) -> None:
    panel = tmp_path / "panel.yaml"
    adapter = make_features_adapter(tmp_path / "lexical")
    panel.write_text(yaml.safe_dump({"judges": [{"name": "lexical", "kind": "features", "adapter": str(adapter)}]}))
    said = evaluate(clean, "--panel", panel).output
    assert "lexical goes by (+ speaks for the answer that has more of it, or for a tie)" in said
    for sort in ("who wins, by measure: ", "who wins, by words: ", "a tie, by measure: "):
        assert sort in said
