"""The command `evaluate`: holds a panel, or a file of predictions, against what people said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from prefstream.consumer.cli.answers import PANEL, Obtained, answers_of, answers_of_file, answers_of_panel, check_judges
from prefstream.consumer.cli.battles_file import LabelledFile, input_file
from prefstream.consumer.cli.exit_codes import EXIT_REJECTED
from prefstream.consumer.cli.labelled import RowFilter, read_chosen, warn_of_training_data
from prefstream.consumer.cli.outputs import ForceOption, check_outputs, write_output
from prefstream.consumer.cli.panel_option import DEFAULT_PANEL, PanelOption, panel_files
from prefstream.consumer.cli.ui.lines import print_table, say
from prefstream.consumer.errors import UsageError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.config import load_panel_config
from prefstream.scoring.evaluation.bootstrap import DEFAULT_RESAMPLES, DEFAULT_SEED
from prefstream.scoring.evaluation.results import BiasRow, Evaluated, Evaluation, InjectionEffect
from prefstream.scoring.file_names import printable
from prefstream.scoring.files.labelled import check_labelled_file
from prefstream.scoring.version import own_version

if TYPE_CHECKING:
    from prefstream.scoring.evaluation.battle_facts import BattleFacts


def evaluate(
    context: typer.Context,
    file: LabelledFile,
    *,
    panel: PanelOption = DEFAULT_PANEL,
    predictions: Annotated[
        Path | None,
        typer.Option(
            parser=input_file,
            metavar="FILE",
            show_default="a panel scores the file",
            help="Evaluate these predictions instead of running a panel: CSV in Kaggle's submission format, or "
            "preferences (.jsonl), which also hold what each judge said. Matched with FILE by id.",
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", show_default="none", help="Write all numbers here, as JSON."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            show_default="none",
            help="Write the report here: one page with plots that needs nothing beside it, and holds no battle's text.",
        ),
    ] = None,
    tier: Annotated[
        list[str] | None,
        typer.Option(show_default="all", help="Only battles of this tier; may be repeated."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(show_default="all", help="Only battles of this source; likewise."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default="all",
            help="Only the first so many battles, for a quick look.",
        ),
    ] = None,
    swap: Annotated[
        bool,
        typer.Option(
            "--swap",
            help="Read every battle in both orders and average, as a panel with swap: true does: measures what "
            "the order of the answers changes. Doubles the time of pairwise judges.",
        ),
    ] = False,
    injections: Annotated[
        bool,
        typer.Option(
            "--injections",
            help="Also judge every battle with texts under one answer that speak to the judge (an instruction, a "
            "forged verdict, forged turn markers), and measure what that answer gains. Takes nine times as long.",
        ),
    ] = False,
    bias: Annotated[
        bool,
        typer.Option(
            "--bias",
            help="Also print one table of what judges are biased by, beside people: position, length, answers of their "
            "own family, formatting, and injections where they are asked for. JSON and report hold it, too.",
        ),
    ] = False,
    family: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JUDGE=GLOB",
            show_default="by the name of the judge's base",
            help="For --bias: the names of models, as model_a and model_b have them, that are of this judge's family "
            "(gemma=gemini-*); may be repeated.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            parser=input_file,
            metavar="PANEL|FILE",
            show_default="none",
            help="Hold the panel against another one battle by battle: its panel file (.yaml, or demo), which scores "
            "the same battles, or a file of its predictions, as --predictions takes them.",
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(min=100, help="Resamples of the prompts for the 95 % intervals."),
    ] = DEFAULT_RESAMPLES,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = DEFAULT_SEED,
    force: ForceOption = False,
) -> None:
    """Say how good judges are: their probabilities against what people said.

    Log loss is what counts where probabilities are used: lower is better, 1.099 is knowing nothing (a third for each).
    Accuracy is how often the most probable outcome happened. The expected calibration error (ECE) says how far
    probabilities are from how often things happen. "Winner found" is the accuracy between A and B alone, over battles
    that are no ties.

    Two baselines that read no text are fitted on the same file, by cross-validation: how often each outcome happens
    (class prior), and the lengths of both answers (length only). A judge that does not beat them has learnt nothing
    that matters. Intervals are 95 %, by bootstrap over prompts, and the comparison with each baseline is made battle by
    battle.

    The report (--html) adds calibration, each outcome, slices by source, tier, language, rounds and length, what
    exchanging the answers changes, and how often the longer one is preferred. --bias puts what judges are biased by
    into one table, beside people; --against another panel puts its figures beside these: before and after. Evaluate on
    battles whose prompts no judge was trained or calibrated on: otherwise the numbers flatter.

    Exit codes: 0 all rows evaluated, 2 can't be done as asked, 3 evaluated but some rows could not be used, 130
    interrupted (nothing is written).

    For example:

        prefstream evaluate judged.csv
        prefstream evaluate judged.jsonl --panel panel.yaml --html report.html --json report.json
        prefstream evaluate judged.csv --predictions submission.csv --bootstrap 5000
        prefstream evaluate judged.jsonl --panel new.yaml --against demo --bias
    """
    configure_logging("warning", library_level="error")
    console = Console(stderr=True)
    if predictions is not None:
        _refuse_panel_options(context)
    families = _families(family or [], bias=bias)
    for option, given in (("--predictions", predictions), ("--against", against)):
        if given is not None:
            _refuse_labels(option, given, file)
    check_labelled_file(file)
    if predictions is None:  # before anybody scores for an hour
        config = load_panel_config(panel)
        check_judges(families, [judge.name for judge in config.judges])
        warn_of_training_data(file, config, console)
    inputs = {file, *([predictions] if predictions else panel_files(panel)), *(panel_files(against) if against else ())}
    check_outputs({"--json": json, "--html": html}, inputs, force=force)
    chosen = read_chosen(RowFilter(file, tier or (), source or (), limit), console, answers=bias)
    reference = answers_of(against, chosen, console, swap=swap) if against else None
    if predictions is None:
        answers = answers_of_panel(panel, chosen, console, swap=swap, injections=injections)
    else:
        answers = answers_of_file(predictions, chosen, console)
        check_judges(families, [judge.name for judge in answers.predictions.judges])
    evaluated = Evaluated(
        file=printable(file.name),
        file_sha256=hash_file(file),
        predictions=printable(predictions.name) if predictions else None,
        reference=printable(against.name) if against else None,
        version=own_version(),
        swap=answers.swap,
        rows_rejected=chosen.rejected,
    )
    evaluation = _evaluate(
        chosen.facts, answers, evaluated, reference, families=families if bias else None, resamples=bootstrap, seed=seed
    )
    _write(evaluation, json, html, console)
    _show(evaluation, Console())
    for judge, lines in answers.deciding.items():
        say(console, f"{judge} goes by (+ speaks for the answer that has more of it, or for a tie)")
        for line in lines:
            say(console, f"  {line}")
    if chosen.rejected or answers.rejected_rows or evaluation.evaluated.rows_without_answer:
        raise typer.Exit(EXIT_REJECTED)


def _refuse_panel_options(context: typer.Context) -> None:
    """What only a running panel can use; a variable for every command's panel is no such wish."""
    for option in ("panel", "swap", "injections"):
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{option} is about judges that run, and --predictions reads what they said: choose one")


def _refuse_labels(option: str, predictions: Path, file: Path) -> None:
    """A labelled file of Kaggle's has a submission's columns: held against itself, it would be perfect."""
    if predictions.exists() and file.exists() and predictions.samefile(file):
        raise UsageError(f"{option} {predictions} is the labelled file itself; give what was predicted for it")


def _families(given: Sequence[str], *, bias: bool) -> dict[str, list[str]]:
    """Patterns by judge, from `JUDGE=GLOB` each."""
    families: dict[str, list[str]] = {}
    for one in given:
        judge, separator, pattern = one.partition("=")
        if not (separator and judge and pattern):
            raise UsageError(f"--family {one}: give JUDGE=GLOB, such as gemma=gemini-*")
        families.setdefault(judge, []).append(pattern)
    if families and not bias:
        raise UsageError("--family says whose models are a judge's own, which only --bias asks: add it")
    return families


def _evaluate(
    facts: BattleFacts,
    answers: Obtained,
    evaluated: Evaluated,
    reference: Obtained | None,
    *,
    families: Mapping[str, Sequence[str]] | None,
    resamples: int,
    seed: int,
) -> Evaluation:
    """Measure all that was asked for; `families` only where the table of bias was."""
    from prefstream.scoring.evaluation.bias_table.build import bias_table
    from prefstream.scoring.evaluation.evaluate import (
        evaluate as hold_against_labels,  # scikit-learn takes a second to import
    )
    from prefstream.scoring.evaluation.injection import injection_effects

    said, other, compared = answers.predictions, None, None
    if reference is not None:
        other = reference.predictions.without(said.unanswered)
        said = said.without(reference.predictions.unanswered)
        taken = {PANEL, *(judge.name for judge in said.judges)}
        name = evaluated.reference or ""
        compared = replace(other.panel, name=f"{name} (reference)" if name in taken else name)
    evaluation = hold_against_labels(facts, said, evaluated, reference=compared, resamples=resamples, seed=seed)
    effects: tuple[InjectionEffect, ...] = ()
    if answers.injected is not None:
        effects = injection_effects(facts, said, answers.injected, resamples=resamples, seed=seed)
    rows: tuple[BiasRow, ...] = ()
    if families is not None:
        rows = bias_table(
            facts, said, families=families, injections=effects, reference=other, resamples=resamples, seed=seed
        )
    return evaluation.model_copy(update={"injections": effects, "bias": rows})


def _show(evaluation: Evaluation, console: Console) -> None:
    from prefstream.consumer.cli.ui.reports import evaluation as ui  # with it comes what draws the report

    print_table(console, ui.systems_table(evaluation))
    for sentence in ui.sentences(evaluation):
        say(console, sentence)
    if evaluation.bias:
        print_table(console, ui.bias_table(evaluation))
    elif evaluation.injections:
        print_table(console, ui.injections_table(evaluation))


def _write(evaluation: Evaluation, json: Path | None, html: Path | None, console: Console) -> None:
    from prefstream.scoring.evaluation.report.report import render_report

    contents: dict[Path, str] = {}
    if json:
        contents[json] = evaluation.model_dump_json(indent=2) + "\n"
    if html:
        contents[html] = render_report(evaluation)
    for path, content in contents.items():
        write_output(path, content.encode())
        say(console, f"written: {path}")
