"""The command `finetune`: labelled pairs in, a judge's adapter out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console

from prefstream.consumer.cli.battles_file import LabelledFile, input_file
from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED
from prefstream.consumer.cli.signals import stop_signals_handled_by
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.cli.ui.progress import CountProgress
from prefstream.consumer.cli.ui.reports.data_report import render
from prefstream.consumer.cli.ui.training_progress import TrainingProgress
from prefstream.consumer.errors import UsageError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.schemas import PrefstreamError
from prefstream.scoring.errors import LoadError, PushError
from prefstream.scoring.finetune.features.recipe import AnyRecipe, FeaturesRecipe, load_any_recipe
from prefstream.scoring.finetune.recipe import Recipe, shipped_recipes
from prefstream.scoring.runtime import is_first_process
from prefstream.scoring.settings_files import parse_yaml

if TYPE_CHECKING:
    from prefstream.scoring.adapters.push import Repository
    from prefstream.scoring.files.data_report import DataReport
    from prefstream.scoring.finetune.data.parts import Fold


def finetune(
    file: LabelledFile,
    *,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            "-r",
            show_default=False,
            help=f"How: a YAML file, or the name of one that ships: {', '.join(shipped_recipes())}.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            show_default=False,
            help="Folder for the adapter; checkpoints lie in its subfolder run.",
        ),
    ],
    dev: Annotated[
        Path | None,
        typer.Option(
            "--eval",
            parser=input_file,
            metavar="FILE",
            envvar="PREFSTREAM_FINETUNE_EVAL",
            show_default="none",
            help="Judged battles with other prompts, to keep the best weights by and to stop by.",
        ),
    ] = None,
    hold_out: Annotated[
        str | None,
        typer.Option(
            "--hold-out",
            metavar="K/N",
            show_default="none",
            help="In place of --eval: deal the prompts of FILE into N parts, keep part K out of the training and "
            "measure on it. For choosing between recipes, and for teachers that have not seen what they teach.",
        ),
    ] = None,
    teachers: Annotated[
        list[Path] | None,
        typer.Option(
            "--teacher",
            parser=input_file,
            metavar="FILE",
            envvar="PREFSTREAM_FINETUNE_TEACHER",
            show_default="none",
            help="Predictions about FILE, as prefstream score writes them, to be mixed into the labels (data.teacher "
            "says how much of them); of several files about one pair the mean. May be repeated.",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start-from",
            metavar="FOLDER",
            envvar="PREFSTREAM_FINETUNE_START_FROM",
            show_default="nothing",
            help="Begin with this adapter's weights, of the same base and shape; its head is kept where the new judge "
            "is of the same kind.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            envvar="PREFSTREAM_FINETUNE_SET",
            show_default="none",
            help="Change a setting of the recipe, such as optimizer.learning_rate=1e-4; may be repeated.",
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option("--max-steps", min=1, show_default="all", help="Only the first so many steps: for a try."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on at the newest checkpoint. Begins where there is none, so a supervisor can always give it.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Start anew where OUTPUT holds a run already.")] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            "--push-to-hub",
            metavar="REPOSITORY",
            show_default="nowhere",
            help="Put the adapter, when it is trained, into this repository of a model hub, such as my-org/my-judge, "
            "with HF_TOKEN. It is made before the training, private, unless it is there.",
        ),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Everybody may see what --push-to-hub makes.")] = False,
    show: Annotated[
        bool,
        typer.Option(
            "--show",
            help="Print the recipe with every setting, what it takes of a card's memory, and what the data holds; "
            "don't train.",
        ),
    ] = False,
) -> None:
    """Fine-tune a judge with LoRA on pairs that people judged.

    The adapter folder holds the weights (safetensors), the layout they were trained with, a receipt (train.json), a
    model card, the curves of the run, and the probabilities for the --eval pairs. Put it into a panel file as a
    judge's `adapter`. Ctrl-C finishes the step at hand and saves; --resume goes on from there, and so it does after a
    crash.

    A recipe of kind features fits a linear model over what can be counted of both answers, in a minute on a CPU; it has
    no base, no curves and nothing to go on with.

    On several GPUs: accelerate launch --num_processes N $(which prefstream) finetune ...

    Exit codes: 0 done, 1 the training failed, 2 can't be done as asked, 130 interrupted and saved.

    For example:

        prefstream finetune train.csv --eval dev.csv --recipe gemma-2-9b -o adapters/gemma
        prefstream finetune train.csv -r smollm2-135m -o adapters/try --max-steps 3
        prefstream finetune train.jsonl -r gemma-3-270m -o adapters/gemma --set data.balance_length=step
        prefstream finetune train.csv -r lexical -o adapters/lexical
        prefstream finetune train.csv -r my-recipe.yaml -o adapters/mine --show
        prefstream finetune train.csv -r smollm2-135m -o adapters/one --hold-out 1/5 --set seed=1
        prefstream finetune train.csv -r smollm2-135m -o adapters/student --teacher preferences.jsonl
        prefstream finetune train.csv -r lexical -o adapters/lexical --push-to-hub my-org/lexical
    """
    configure_logging("warning", library_level="error")
    console = Console(stderr=True, quiet=not is_first_process())
    overrides = dict(map(_setting, settings or []))
    if max_steps is not None:
        overrides["max_steps"] = max_steps
    chosen = load_any_recipe(recipe, overrides)
    inputs = _Inputs(file, dev, _fold(hold_out) if hold_out else None, tuple(teachers or ()), start)
    if isinstance(chosen, FeaturesRecipe) and start is not None:
        raise UsageError("--start-from is for LoRA; a judge of features is fitted at once, from nothing: leave it out")
    if public and push_to_hub is None:
        raise UsageError("--public is for --push-to-hub, which is not given: leave it out, or name a repository")
    if show:
        _show(chosen, inputs, Console())
        return
    say(console, f"reading {file}" + (f" and {dev}" if dev else ""))  # torch takes seconds to import
    from prefstream.scoring.finetune.checks import check_run, written_alone

    with ExitStack() as held:
        if is_first_process():  # the others would take what it writes for an earlier run
            check_run(file, dev, output, resume=resume, force=force)
            held.enter_context(written_alone(output))
        destination = _destination(push_to_hub, public=public)
        if isinstance(chosen, FeaturesRecipe):
            _fit(chosen, inputs, output, console)
        elif not _train(chosen, inputs, output, console, resume=resume):
            say(console, "interrupted and saved; go on with the same command and --resume")
            raise typer.Exit(EXIT_INTERRUPTED)
        say(console, f"the adapter is in {output}; in a panel file: adapter: {output}")
        if destination is not None:
            _push(destination, output, console)


def _destination(repository: str | None, *, public: bool) -> Repository | None:
    """Where the adapter will go; what speaks against it is told before hours of training."""
    if repository is None or not is_first_process():
        return None
    from prefstream.scoring.adapters.push import Repository

    return Repository.prepare(repository, public=public)


def _push(destination: Repository, output: Path, console: Console) -> None:
    try:
        commit = destination.push(output)
    except PrefstreamError as error:
        again = f"prefstream adapters push {output} {destination.name}" + ("" if destination.private else " --public")
        raise PushError(f"{error}; the adapter is whole in {output}: {again}") from error
    say(console, destination.told(commit))


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a run is given beside its recipe."""

    file: Path
    dev: Path | None
    hold_out: Fold | None
    teachers: tuple[Path, ...]
    start: Path | None


def _fold(text: str) -> Fold:
    from prefstream.scoring.finetune.data.parts import Fold

    try:
        return Fold.parse(text)
    except ValueError as error:
        raise UsageError(f"--hold-out {error}") from None


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError("--set needs KEY=VALUE, such as --set optimizer.learning_rate=1e-4")
    return key.strip(), parse_yaml(value, f"--set {key}")


def _show(recipe: AnyRecipe, inputs: _Inputs, console: Console) -> None:
    from prefstream.scoring.finetune.checks import read_reports, shared_prompts
    from prefstream.scoring.finetune.data.parts import parts
    from prefstream.scoring.finetune.data.teacher import read_teacher

    say(console, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    if isinstance(recipe, Recipe):
        say(console, _memory_needed(recipe))
    train, dev = parts(inputs.file, inputs.dev, inputs.hold_out)
    train_report, dev_report = read_reports(train, dev, recipe, partial(_show_report, console))
    if dev is not None and dev_report is not None and (shared := shared_prompts(train, train_report, dev, dev_report)):
        say(console, shared)
    teacher = read_teacher(inputs.teachers, train)
    for found in teacher.files if teacher else ():
        say(console, f"teacher {found['file']}: {found['pairs']:,} of {train_report.usable:,} pairs")


def _memory_needed(recipe: Recipe) -> str:
    from prefstream.scoring.finetune.memory.training import GIB, recipe_memory, with_other_checkpointing

    try:
        counted, other_way = recipe_memory(recipe), recipe_memory(with_other_checkpointing(recipe))
    except LoadError as error:
        return f"memory: not counted: {error}"
    if counted is None or other_way is None:
        return f"memory: not counted: {recipe.base} is not on this machine yet"
    memory, placement = counted
    parts = {
        "base": memory.base,
        "LoRA and head": memory.moving,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        f"a backward pass of {memory.sequences} x {memory.width:,} tokens": memory.activations,
    }
    listed = ", ".join(f"{part} {size / GIB:.1f}" for part, size in parts.items())
    dtype = str(placement.dtype).removeprefix("torch.")
    other = "without" if recipe.step.gradient_checkpointing else "with"
    return (
        f"memory: about {memory.total / GIB:.1f} GiB on a card in {dtype}, by count ({listed}); "
        f"{other} gradient_checkpointing {other_way[0].total / GIB:.1f}"
    )


def _show_report(console: Console, name: str, report: DataReport) -> None:
    say(console, f"{name}:")
    console.print(render(report))


def _train(recipe: Recipe, inputs: _Inputs, output: Path, console: Console, *, resume: bool) -> bool:
    from prefstream.scoring.finetune.run import finetune as train

    seen = partial(_show_report, console)
    with (
        _asked_to_stop(console) as asked,
        TrainingProgress(console) as progress,
    ):
        outcome = train(
            recipe,
            inputs.file,
            output,
            dev=inputs.dev,
            hold_out=inputs.hold_out,
            teachers=inputs.teachers,
            start=inputs.start,
            resume=resume,
            observer=progress,
            interrupted=asked,
            seen=seen,
        )
    for name, value in outcome.metrics.items():
        say(console, f"{name}: {value:.4f}")
    return outcome.finished


def _fit(recipe: FeaturesRecipe, inputs: _Inputs, output: Path, console: Console) -> None:
    from prefstream.scoring.finetune.features.run import finetune_features

    with CountProgress(console, verb="counting") as bar:
        metrics = finetune_features(
            recipe,
            inputs.file,
            output,
            dev=inputs.dev,
            hold_out=inputs.hold_out,
            teachers=inputs.teachers,
            say=bar.say,
            on_progress=bar.advanced,
            seen=partial(_show_report, console),
        )
    for name, value in metrics.items():
        say(console, f"{name}: {value:.4f}")


@contextmanager
def _asked_to_stop(console: Console) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C or SIGTERM asks to stop after the step at hand; the second one ends at once."""
    asked: list[int] = []

    def ask(signum: int, _frame: FrameType | None) -> None:
        asked.append(signum)
        if len(asked) > 1:
            raise KeyboardInterrupt
        say(console, "finishing the step at hand, then saving; again stops at once, and loses what came since then")

    with stop_signals_handled_by(ask):
        yield lambda: bool(asked)
