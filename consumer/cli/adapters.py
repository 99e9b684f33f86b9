"""`prefstream adapters`: what training left behind."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prefstream.consumer.cli.battles_file import LabelledFile
from prefstream.consumer.cli.strict_command import StrictCommand
from prefstream.consumer.observe.logs import configure_logging

if TYPE_CHECKING:
    from prefstream.scoring.adapters.compare import RunComparison, RunRecord, TierComparison
    from prefstream.scoring.evaluation.bootstrap import Estimate


class MergedDtype(StrEnum):
    """What a merged model is stored in."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


adapters = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="What training left behind: average adapters, compare runs, merge into bases, push to a hub.",
)


@adapters.callback()
def _group() -> None:
    """What training left behind: average adapters, compare runs, merge into bases, push to a hub."""


@adapters.command(cls=StrictCommand)
def average(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", show_default=False, help="Adapters of one base that read alike."),
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", show_default=False, help="Folder for the average, an adapter as any.")
    ],
    rank: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default="the largest of theirs",
            help="Of the average. The sum of theirs loses nothing, in a file as large as theirs together.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an adapter that OUTPUT holds.")] = False,
) -> None:
    """Average adapters in their weights: seeds or folds of one recipe become one judge, as fast as each.

    What they add to each layer is averaged, and factored again to the rank; the heads are averaged. Averaging
    probabilities instead needs nothing of this: name both as judges of a panel, at twice the work.

    Exit codes: 0 done, 2 they do not go together.

    For example:

        prefstream adapters average adapters/seed-0 adapters/seed-1 -o adapters/both
        prefstream adapters average fold-1 fold-2 fold-3 -o adapters/all --rank 48
    """
    configure_logging("warning", library_level="error")
    from prefstream.scoring.adapters.average import average_adapters

    made = average_adapters(folders, output, rank=rank, force=force)
    typer.echo(
        f"rank {made.rank} keeps {made.kept:.1%} of what {len(folders)} adapters add to the base on average "
        f"({made.least_kept:.1%} in the layer that loses most)"
    )
    typer.echo(f"the adapter is in {output}; in a panel file: adapter: {output}")


@adapters.command(cls=StrictCommand)
def merge(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False, help="The adapter.")],
    *,
    base: Annotated[
        str, typer.Option(show_default=False, help="Folder or hub id of the base, or one of the demo's, as demo:gemma.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", show_default=False, help="Folder for the model.")],
    revision: Annotated[str | None, typer.Option(show_default=False, help="Commit of a hub base.")] = None,
    dtype: Annotated[MergedDtype, typer.Option(help="Of the model's weights.")] = MergedDtype.BFLOAT16,
    force: Annotated[bool, typer.Option("--force", help="Replace a merged model that OUTPUT holds.")] = False,
) -> None:
    """Merge an adapter into its base: one model, a plain sequence classifier, for engines that serve such.

    vLLM serves the folder, and a judge of kind remote asks it: in the panel file its base is this folder, too, and its
    adapter the adapter, of which only the record is read. Its head must read the last token (pooling: last).

    Exit codes: 0 done, 2 they do not go together.

    For example:

        prefstream adapters merge adapters/gemma --base /models/gemma-2-9b-it -o models/gemma-judge
        vllm serve models/gemma-judge --runner pooling --served-model-name gemma-judge
    """
    configure_logging("warning", library_level="error")
    from prefstream.scoring.adapters.merge import merge_adapter

    parameters = merge_adapter(
        folder,
        output,
        base=base if Path(base).is_absolute() or not Path(base).exists() else str(Path(base).resolve()),
        revision=revision,
        dtype=dtype.value,
        force=force,
        say=lambda line: typer.echo(line, err=True),
    )
    typer.echo(f"{parameters:,} parameters in {dtype.value} are in {output}")


@adapters.command(cls=StrictCommand)
def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False, help="The adapter.")],
    repository: Annotated[
        str, typer.Argument(metavar="REPOSITORY", show_default=False, help="Of a model hub, such as my-org/my-judge.")
    ],
    *,
    public: Annotated[bool, typer.Option("--public", help="Everybody may see the repository.")] = False,
    message: Annotated[
        str | None, typer.Option(show_default="the kind of judge and this version", help="Of the commit.")
    ] = None,
) -> None:
    """Push an adapter to a model hub: weights, layout and calibration, card, receipt and curves, in one commit.

    The repository is made, private, unless it is there. The token is that of HF_TOKEN, or of `hf auth login`; the hub,
    where it is another than the client's own, that of HF_ENDPOINT. What a run said of its dev pairs stays here.

    Exit codes: 0 done, 1 the hub can't be reached, 2 it refuses, or there is no whole adapter.

    For example:

        prefstream adapters push adapters/gemma my-org/gemma-judge
        prefstream adapters push adapters/gemma my-org/gemma-judge --message "calibrated on March's votes"
    """
    configure_logging("warning", library_level="error")
    from prefstream.scoring.adapters.push import Repository, read_record

    read_record(folder)
    destination = Repository.prepare(repository, public=public)
    typer.echo(destination.told(destination.push(folder, message)))


@adapters.command(cls=StrictCommand)
def compare(
    file: LabelledFile,
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            show_default=False,
            help="Outputs of finetune; the others are held against the first. Folders with commas between them are "
            "the folds of one run.",
        ),
    ],
) -> None:
    """Compare runs on the battles that all of them were measured on, as Markdown for a log of tries.

    FILE is what they were measured on: that of --eval, or with --hold-out the training file. Figures are those of
    answers calibrated on other prompts; what follows a figure in brackets is its 95 % interval by bootstrap over
    prompts, and a difference whose interval holds 0 may be luck.

    Exit codes: 0 done, 2 there is nothing to compare.

    For example:

        prefstream adapters compare train.jsonl adapters/base adapters/balanced adapters/longer
        prefstream adapters compare train.jsonl base/1,base/2,base/3 longer/1,longer/2,longer/3
    """
    configure_logging("warning", library_level="error")
    from prefstream.scoring.adapters.compare import compare_runs
    from prefstream.scoring.evaluation.battle_facts import gather_facts
    from prefstream.scoring.files.labelled import LabelledBattle, check_labelled_file, read_labelled

    check_labelled_file(file)
    facts = gather_facts(record.content for record in read_labelled(file) if isinstance(record.content, LabelledBattle))
    folders = [[Path(folder) for folder in run.split(",")] for run in runs]
    typer.echo("\n".join(_lines(compare_runs(facts, folders))))


def _lines(found: RunComparison) -> list[str]:
    heads = ("run", "other than the first in", "seed", "steps", "tokens", "minutes", "CPU minutes")
    lines = _table(heads, [_record_cells(record) for record in found.records])
    for tier in found.tiers:
        people = tier.people_longer
        longer = "" if people.value is None else f"; the longer answer won {_figure(people)} of those that were decided"
        lines += ["", f"{tier.tier}: {tier.battles:,} battles, {tier.prompts:,} prompts{longer}", ""]
        lines += _table(_FIGURES, _tier_cells(tier))
    return lines


_FIGURES = (
    "run",
    "log loss",
    "calibrated",
    "against the first",
    "accuracy",
    "against the first",
    "P(longer)",
    "found where the shorter won",
)


def _record_cells(record: RunRecord) -> list[str]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:,.0f}"

    different = ", ".join(f"{key} {value}" for key, value in record.differences.items() if key not in {"name", "seed"})
    counts = [number(one) for one in (record.steps, record.tokens, record.minutes, record.cpu_minutes)]
    return [record.name, different, number(record.seed), *counts]


def _tier_cells(tier: TierComparison) -> list[list[str]]:
    return [
        [
            run.name,
            _figure(run.log_loss),
            _figure(run.calibrated),
            _change(run.change),
            _figure(run.accuracy),
            _change(run.accuracy_change),
            _figure(run.longer),
            _figure(run.shorter_found),
        ]
        for run in tier.runs
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_row(heads), _row(["---"] * len(heads)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _figure(estimate: Estimate | None) -> str:
    return "" if estimate is None or estimate.value is None else f"{estimate.value:.3f}{_interval(estimate, '.3f')}"


def _change(estimate: Estimate | None) -> str:
    return "" if estimate is None or estimate.value is None else f"{estimate.value:+.3f}{_interval(estimate, '+.3f')}"


def _interval(estimate: Estimate, form: str) -> str:
    return "" if estimate.low is None else f" [{estimate.low:{form}}, {estimate.high:{form}}]"
