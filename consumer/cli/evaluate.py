"""The command `evaluate`: holds a panel, or a file of predictions, against what people said."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefstream.consumer.cli.battles_file import LabelledFile, input_file
from prefstream.consumer.cli.exit_codes import EXIT_REJECTED
from prefstream.consumer.cli.labelled import predict_all, read_chosen
from prefstream.consumer.cli.outputs import ForceOption, check_outputs, write_output
from prefstream.consumer.cli.panels import DEFAULT_PANEL, PanelOption, panel_config, panel_files, say
from prefstream.consumer.cli.ui.progress import MAX_SHOWN
from prefstream.consumer.cli.ui.words import counted
from prefstream.consumer.errors import UsageError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.evaluation.bootstrap import DEFAULT_RESAMPLES, DEFAULT_SEED, Estimate
from prefstream.scoring.file_names import printable
from prefstream.scoring.files.labelled import LabelledBattle, check_labelled_file

if TYPE_CHECKING:
    from prefstream.scoring.evaluation.results import Evaluation
    from prefstream.scoring.panel.predict import Predictions


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
    exchanging the answers changes, and how often the longer one is preferred. Evaluate on battles whose prompts no
    judge was trained or calibrated on: otherwise the numbers flatter.

    Exit codes: 0 all rows evaluated, 2 can't be done as asked, 3 evaluated but some rows could not be used, 130
    interrupted (nothing is written).

    For example:

        prefstream evaluate judged.csv
        prefstream evaluate judged.jsonl --panel panel.yaml --html report.html --json report.json
        prefstream evaluate judged.csv --predictions submission.csv --bootstrap 5000
    """
    configure_logging("warning", library_level="error")
    console = Console(stderr=True)
    if predictions is not None:
        _refuse_panel_options(context)
        _refuse_labels(predictions, file)
    check_labelled_file(file)
    inputs = {file, *([predictions] if predictions else panel_files(panel))}
    check_outputs({"--json": json, "--html": html}, inputs, force=force)
    labelled, rejected = read_chosen(file, console, tiers=tier, sources=source, limit=limit)
    if predictions is None:
        answers = _predict(panel, labelled, file, console, swap=swap, injections=injections)
    else:
        answers = _read_predictions(predictions, labelled, file, console)
    evaluation = _evaluate(
        labelled, answers, file, rejected=rejected, predictions=predictions, resamples=bootstrap, seed=seed
    )
    _write(evaluation, json, html, console)
    _show(evaluation, Console())
    if rejected or answers.rejected_rows or answers.predictions.unanswered:
        raise typer.Exit(EXIT_REJECTED)


@dataclass(frozen=True, slots=True)
class _Answers:
    """Predictions, and what is to be told of how they were had."""

    predictions: Predictions
    swap: bool
    rejected_rows: int = 0
    injected: Predictions | None = None


def _refuse_panel_options(context: typer.Context) -> None:
    """What only a running panel can use; a variable for every command's panel is no such wish."""
    for option in ("panel", "swap", "injections"):
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{option} is about judges that run, and --predictions reads what they said: choose one")


def _refuse_labels(predictions: Path, file: Path) -> None:
    """A labelled file of Kaggle's has a submission's columns: held against itself, it would be perfect."""
    if predictions.exists() and file.exists() and predictions.samefile(file):
        raise UsageError(f"--predictions {predictions} is the labelled file itself; give what was predicted for it")


def _predict(
    panel: Path,
    labelled: Sequence[LabelledBattle],
    file: Path,
    console: Console,
    *,
    swap: bool,
    injections: bool,
) -> _Answers:
    from prefstream.scoring.evaluation.injection import injected
    from prefstream.scoring.panel.load import load_panel

    tell = partial(say, console)
    config = panel_config(panel, tell)
    config = config.model_copy(update={"swap": config.swap or swap})
    with load_panel(config, say=tell) as judges:
        predictions = predict_all(judges, labelled, console)
        after = predict_all(judges, injected(labelled), console) if injections else None
    _name_rows(file, {labelled[at].line: reason for at, reason in predictions.unanswered.items()}, console)
    return _Answers(predictions, config.swap, injected=after)


def _read_predictions(path: Path, labelled: Sequence[LabelledBattle], file: Path, console: Console) -> _Answers:
    from prefstream.scoring.evaluation.prediction_files import read_predictions

    read = read_predictions(path, [one.battle for one in labelled])
    _name_rows(path, read.rejected, console)
    unanswered = read.predictions.unanswered
    _name_rows(file, {labelled[at].line: f"no prediction in {path} has its id" for at in unanswered}, console)
    if unanswered:
        say(console, f"{len(unanswered):,} of {len(labelled):,} labelled battles have no prediction: they don't count")
    if read.unknown_ids:
        say(console, f"{path}: {read.unknown_ids:,} predictions are about none of the labelled battles: ignored")
    if read.repeated_ids:
        say(console, f"{path}: {read.repeated_ids:,} ids stand more than once: the last prediction counts")
    if not read.of_one_panel:
        say(
            console,
            f"{path}: its rows are answers of several panels; what is told of the panel is of all of them mixed",
        )
    if read.partial_judges:
        say(console, f"{path}: not every battle was answered by {', '.join(read.partial_judges)}: not shown alone")
    if all(set(row) <= {0.0, 1.0} for row in read.predictions.panel.probabilities.tolist()):
        say(
            console,
            f"warning: {path}: every probability is 0 or 1: these are verdicts, perhaps the labels themselves; log "
            "loss and calibration say little of them",
        )
    judges = read.predictions.judges
    both_orders = any(not judge.symmetric and judge.swapped is not None for judge in judges)
    return _Answers(read.predictions, both_orders, len(read.rejected))


def _name_rows(file: Path, rows: Mapping[int, object], console: Console) -> None:
    """Name rows that could not be used; of many, the first."""
    for line, reason in itertools.islice(rows.items(), MAX_SHOWN):
        say(console, f"{file}:{line}: {reason}")
    if len(rows) > MAX_SHOWN:
        say(console, f"... and {len(rows) - MAX_SHOWN:,} more such rows")


def _evaluate(
    labelled: Sequence[LabelledBattle],
    answers: _Answers,
    file: Path,
    *,
    rejected: int,
    predictions: Path | None,
    resamples: int,
    seed: int,
) -> Evaluation:
    from prefstream.scoring.evaluation.evaluate import (
        evaluate as hold_against_labels,  # scikit-learn takes a second to import
    )
    from prefstream.scoring.evaluation.injection import injection_effects
    from prefstream.scoring.evaluation.results import Evaluated

    evaluated = Evaluated(
        file=printable(file.name),
        file_sha256=hash_file(file),
        predictions=printable(predictions.name) if predictions else None,
        version=version("prefstream"),
        swap=answers.swap,
        rows_rejected=rejected,
    )
    evaluation = hold_against_labels(labelled, answers.predictions, evaluated, resamples=resamples, seed=seed)
    if answers.injected is None:
        return evaluation
    effects = injection_effects(labelled, answers.predictions, answers.injected, resamples=resamples, seed=seed)
    return evaluation.model_copy(update={"injections": effects})


def _show(evaluation: Evaluation, console: Console) -> None:
    from prefstream.scoring.evaluation.report import verdicts

    table = Table(
        title=f"{counted(evaluation.battles, 'battle')} on {counted(evaluation.prompts, 'prompt')}",
        caption=f"95 % intervals by {evaluation.resamples:,} resamples of the prompts, seed {evaluation.seed}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("", overflow="fold", min_width=11)
    for name in ("log loss", "accuracy", "Brier", "ECE", "winner found"):
        table.add_column(name, justify="right", no_wrap=True)
    for system in evaluation.systems:
        figures = (system.log_loss, system.accuracy, system.brier, system.calibration_error, system.decided_accuracy)
        table.add_row(Text(system.name), *map(_cell, figures), end_section=system.kind == "panel")
    console.print(table)
    for verdict in verdicts(evaluation):
        say(console, verdict.text)
    for bias in evaluation.position[1:]:
        if bias.flip_rate is not None and not bias.by_construction:
            say(console, f"{bias.name}: with A and B exchanged, {_cell(bias.flip_rate, newline=False)} of answers flip")
    length = evaluation.length[0]
    if length.battles:
        say(
            console,
            f"The longer answer wins {_cell(length.human, newline=False)} of decided battles; "
            f"the panel says {_cell(length.predicted_mass, newline=False)}.",
        )
    if evaluation.injections:
        console.print(_injections_table(evaluation))


def _injections_table(evaluation: Evaluation) -> Table:
    table = Table(
        title="What an answer gains by a text that speaks to its judge",
        caption="gain: mean change of the probability that this answer wins; flips: how often the verdict changes",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in ("", "text"):
        table.add_column(name, overflow="fold", min_width=7)
    for name in ("gain", "over harmless", "flips", "to its side"):
        table.add_column(name, justify="right", no_wrap=True)
    effects = [effect for effect in evaluation.injections if effect.side == "both"]
    for effect, following in itertools.zip_longest(effects, effects[1:]):
        figures = (effect.gain, effect.gain_over_harmless, effect.flipped, effect.flipped_to_side)
        last = following is None or following.judge != effect.judge
        table.add_row(Text(effect.judge), effect.injection, *map(_cell, figures), end_section=last)
    return table


def _cell(estimate: Estimate, *, newline: bool = True) -> str:
    """The number, and under or behind it its interval."""
    if estimate.value is None:
        return "n/a"
    known = estimate.low is not None and estimate.high is not None
    interval = f"{estimate.low:.3f}–{estimate.high:.3f}" if known else "no interval"
    return f"{estimate.value:.3f}\n{interval}" if newline else f"{estimate.value:.3f} ({interval})"


def _write(evaluation: Evaluation, json: Path | None, html: Path | None, console: Console) -> None:
    from prefstream.scoring.evaluation.report import render_report

    contents: dict[Path, str] = {}
    if json:
        contents[json] = evaluation.model_dump_json(indent=2) + "\n"
    if html:
        contents[html] = render_report(evaluation)
    for path, content in contents.items():
        write_output(path, content.encode())
        say(console, f"written: {path}")
