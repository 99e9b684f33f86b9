"""The command `calibrate`: fits a panel's calibration file on battles that people judged."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from prefstream.consumer.cli.battles_file import LabelledFile
from prefstream.consumer.cli.exit_codes import EXIT_REJECTED
from prefstream.consumer.cli.labelled import (
    ChosenBattles,
    RowFilter,
    predict_all,
    read_chosen,
    warn_of_training_data,
)
from prefstream.consumer.cli.outputs import ForceOption, check_outputs, write_output
from prefstream.consumer.cli.panel_option import DEFAULT_PANEL, PanelOption, panel_config, panel_files
from prefstream.consumer.cli.ui.lines import print_table, say
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.words import counted
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.files.labelled import check_labelled_file
from prefstream.scoring.files.submission import encode_submission

if TYPE_CHECKING:
    from prefstream.scoring.calibration.cross_fit import BeforeAfter, CalibrationResult
    from prefstream.scoring.evaluation.bootstrap import Estimate
    from prefstream.scoring.panel.predict import Predictions


def calibrate(
    file: LabelledFile,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            show_default=False,
            help="Calibration file to write (JSON): what the panel file names as calibration.",
        ),
    ],
    panel: PanelOption = DEFAULT_PANEL,
    plot: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="Draw reliability diagrams, before and after, into this PNG.",
        ),
    ] = None,
    out_of_fold: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="Write the panel's answers, each by parameters that were fitted on other prompts, into this CSV "
            "(Kaggle's submission format). It can be evaluated without optimism.",
        ),
    ] = None,
    tier: Annotated[
        list[str] | None,
        typer.Option(
            show_default=False,
            help="Use battles of this tier only; may be given several times.",
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            show_default=False,
            help="Use battles of this source only; may be given several times.",
        ),
    ] = None,
    balance: Annotated[
        Literal["none", "tier", "source"],
        typer.Option(
            help="Let each tier, or each source, count equally, however many battles it has. Also in the figures.",
        ),
    ] = "none",
    labels: Annotated[
        Literal["verdict", "votes"],
        typer.Option(
            help="Fit to the verdict, or to the shares of the votes where they are known. The figures are against the "
            "verdict.",
        ),
    ] = "verdict",
    folds: Annotated[
        int,
        typer.Option(
            min=2,
            help="Into how many parts the prompts are dealt to measure on prompts that were not fitted on.",
        ),
    ] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the dealing and the intervals.")] = 0,
    force: ForceOption = False,
) -> None:
    """Fit temperature, tie bias and weights of a panel on battles that people judged.

    A judge that says 70 % should be right in 7 of 10 battles. Temperature makes it more or less sure of itself (above
    1 less), the tie bias makes ties likelier (above 0) or rarer; A and B are always treated alike. Each judge gets
    both, then the judges get weights in the panel's mean, then the mean gets both again. Whatever calibration the
    panel has is left out of account and replaced. Where a judge is recused, what it says is not fitted to.

    The table says what it is worth: log loss and expected calibration error (ECE) before and after, with intervals.
    "After" is measured on prompts that were not fitted on. Some hundreds of battles are enough, and should be like
    those that the panel will judge: the share of ties differs much from source to source.

    The length slope, which the file has, too, says how much the panel likes the longer answer. It changes no
    probability: preferences have a second answer without it (adjusted), for comparing answers, or models, as if they
    were equally long. Length is worth something to people, too, and that goes with it.

    Exit codes: 0 written, 2 can't be done as asked, 3 written but some rows could not be used, 130 interrupted
    (nothing is written).

    For example:

        prefstream calibrate judged.csv -o panel.json
        prefstream calibrate judged.jsonl -o panel.json --panel panel.yaml --plot reliability.png
        prefstream calibrate judged.jsonl -o panel.json --tier arena --tier core --balance tier
    """
    configure_logging("warning", library_level="error")
    console = Console(stderr=True)
    check_labelled_file(file)
    outputs = {"--output": output, "--plot": plot, "--out-of-fold": out_of_fold}
    check_outputs(outputs, {file, *panel_files(panel)}, force=force)
    chosen = read_chosen(RowFilter(file, tier or (), source or ()), console)
    from prefstream.scoring.calibration.cross_fit import (  # scipy: not for every command's start
        calibrate_panel,
        check_battles,
    )

    for warning in check_battles(chosen.facts, folds=folds, source=str(file)):
        say(console, warning)
    config = panel_config(panel, partial(say, console))
    warn_of_training_data(file, config, console)
    predictions = _predict(config, chosen, console)
    result = calibrate_panel(
        chosen.facts, predictions, labels=labels, balance=balance, folds=folds, seed=seed, source=str(file)
    )
    _write(result, output, plot, out_of_fold)
    _show(result, Console(), folds)
    say(Console(), worth(result.panel.log_loss_change))
    say(console, _advice(output, panel, config))
    if chosen.rejected or predictions.unanswered:
        raise typer.Exit(EXIT_REJECTED)


def _predict(config: PanelConfig, chosen: ChosenBattles, console: Console) -> Predictions:
    """What the panel says without any calibration. One that it names need not exist yet, nor its golden set."""
    from prefstream.scoring.panel.predict import load_uncalibrated_panel

    uncalibrated = config.model_copy(update={"calibration": None, "golden": None})
    with load_uncalibrated_panel(uncalibrated, say=partial(say, console)) as judges:
        predictions = predict_all(judges, chosen.read(), len(chosen), console)
    for position, reason in predictions.unanswered.items():
        say(console, f"line {chosen.facts.lines[position]}: left out: {reason}")
    for judge in predictions.judges:
        if judge.counted is not None and (recused := int((~judge.counted).sum())):
            of = counted(len(judge.counted), "battle")
            say(console, f"{judge.name} is recused from {recused:,} of {of}: what it says there is not fitted to")
    return predictions


def _write(result: CalibrationResult, output: Path, plot: Path | None, out_of_fold: Path | None) -> None:
    if plot is not None:
        from prefstream.scoring.calibration.plot import plot_calibration

        write_output(plot, plot_calibration(result))
    if out_of_fold is not None:
        write_output(out_of_fold, encode_submission(result.facts.ids, result.out_of_fold))
    write_output(output, result.file.encode())


def _show(result: CalibrationResult, console: Console, folds: int) -> None:
    figures = Table(
        title=f"{counted(len(result.facts), 'battle')}, {counted(result.prompts, 'prompt')}; "
        "95 % intervals over prompts",
        caption=f"after: on prompts that were not fitted on ({folds} folds)",
    )
    figures.add_column("", overflow="fold")
    for name in ("", "before", "after"):
        figures.add_column(name, no_wrap=True)
    parameters = Table(title="fitted on all of them")
    parameters.add_column("", overflow="fold")
    for name in ("temperature", "tie bias", "weight"):
        parameters.add_column(name, no_wrap=True, justify="right")
    fit = result.fit
    for system in (*result.judges, result.panel):
        is_panel = system is result.panel
        _add_figures(figures, system)
        calibration = fit.panel if is_panel else fit.judges[system.name]
        weight = "" if is_panel else f"{fit.weights[system.name]:.3f}"
        parameters.add_row(system.name, f"{calibration.temperature:.3f}", f"{calibration.tie_bias:+.3f}", weight)
    print_table(console, figures)
    print_table(console, parameters)
    _show_length(result, console)


def _show_length(result: CalibrationResult, console: Console) -> None:
    """What length is worth to people and to the panel, and what comes of it."""
    if result.length is None:
        say(
            console,
            "No length slope: too few battles have a winner and answers of different lengths. Preferences will have no "
            "adjusted.",
        )
        return
    slope = result.file.length_slope
    written = "the panel has none" if slope is None else f"the panel's on all of them, which is written: {slope:+.3f}"
    slopes = Table("", "log odds of an answer of twice the length", title="length slope", caption=written)
    told = {"people": result.length.people, "panel": result.length.judges, "difference": result.length.excess}
    for name, estimate in told.items():
        slopes.add_row(name, _interval(estimate, sign="+") or "unknown: the longer answer always won, or never")
    print_table(console, slopes)


def _add_figures(table: Table, system: BeforeAfter) -> None:
    before, after = system.figures_before, system.figures_after
    table.add_row(system.name, "log loss", _interval(before.log_loss), _interval(after.log_loss))
    table.add_row("", "  change", "", _interval(system.log_loss_change, sign="+"))
    table.add_row("", "accuracy", _interval(before.accuracy), _interval(after.accuracy))
    table.add_row(
        "",
        "ECE",
        _interval(before.calibration_error),
        _interval(after.calibration_error),
        end_section=True,
    )


def _interval(estimate: Estimate, *, sign: str = "") -> str:
    shown = [f"{one:{sign}.3f}" for one in (estimate.value, estimate.low, estimate.high) if one is not None]
    return f"{shown[0]} [{', '.join(shown[1:])}]" if len(shown) == 3 else "".join(shown)


def worth(change: Estimate) -> str:
    """What the calibration of the whole panel comes to, by the interval of what it changes on other prompts."""
    if change.value is None or change.low is None or change.high is None:
        return "There are too few prompts to tell whether calibration helps; leave it out, or calibrate on more."
    between = f"between {change.low:+.3f} and {change.high:+.3f}"
    if not change.excludes_zero:
        return (
            f"With calibration the panel can't be told from without: its log loss changes by {change.value:+.3f}, "
            f"{between}; leave it out, or calibrate on more battles."
        )
    if change.value > 0:
        return (
            f"Calibration makes the panel worse: its log loss changes by {change.value:+.3f}, {between}; leave it out."
        )
    return f"Calibration makes the panel better: its log loss changes by {change.value:+.3f}, {between}."


def _advice(output: Path, panel: Path, config: PanelConfig) -> str:
    """How the panel comes to use what was written."""
    if panel == DEFAULT_PANEL:
        return f"{output} is written; name it in a panel file of these judges: calibration: {output}"
    folder = panel.resolve().parent
    if config.calibration is not None and Path(folder, config.calibration).resolve() == output.resolve():
        return f"{output} is written; {panel} names it already, so the next start uses it"
    beside = output.resolve().is_relative_to(folder)
    line = f"calibration: {output.resolve().relative_to(folder) if beside else output.resolve()}"
    if config.calibration is not None:
        return f"{output} is written, but {panel} names another calibration; to use this one, change it to: {line}"
    return f"{output} is written; to use it, put this line into {panel}: {line}"
