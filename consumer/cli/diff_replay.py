"""The option `--replay` of `diff`: whether answers of then are given again now."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from prefstream.consumer.cli.diff_reading import ClusterReading, SideReading, loaded
from prefstream.consumer.cli.exit_codes import EXIT_FAULT, EXIT_REJECTED
from prefstream.consumer.cli.ui.lines import print_table, say
from prefstream.consumer.cli.ui.progress import CountProgress, RecordProgress
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.diff.replay import AskedAgain, ask_again, source_topics
from prefstream.consumer.errors import DataLossError, TopicMissingError, UsageError
from prefstream.consumer.rescore.span import TopicSpan
from prefstream.scoring.comparison.answers import AnswerGathering, AnswerTable
from prefstream.scoring.comparison.diff import diff_answers
from prefstream.scoring.comparison.pairs import join
from prefstream.scoring.comparison.reproduced import reproduced, what_differs
from prefstream.scoring.comparison.results import ReplayFound
from prefstream.scoring.comparison.rows import BattleRows
from prefstream.scoring.file_names import printable
from prefstream.scoring.golden.surroundings import of_judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How what was read is measured: as of `diff_answers`."""

    most: int
    resamples: int
    seed: int


def answer_again(
    config: StreamConfig,
    span: TopicSpan,
    panel: Path,
    console: Console,
    stack: ExitStack,
    measuring: Measuring,
    *,
    chunk_rows: int,
) -> ReplayFound:
    """Read the answers of a range, and ask a panel about their battles.

    Args:
        config: how to connect, and what stands before a battle's JSON.
        span: of a topic of preferences.
        panel: its file, or `demo`.
        console: for progress, and for what can't be used.
        stack: closes what was opened.
        measuring: how both are held against each other.
        chunk_rows: battles that are scored together.

    Raises:
        UsageError: none of the answers says where its battle stands on a topic.
        DataLossError: none of the battles can be asked about any more.
        PrefstreamError: a topic can't be read, or the panel not be asked.
    """
    cluster = ClusterReading(config, stack)
    then, rejected = SideReading(console, cluster, None, chunk_rows).answers(span)
    places = source_topics(then)
    wanted = sum(len(offsets) for partitions in places.values() for offsets in partitions.values())
    if not wanted:
        raise UsageError(f"{span.text} has no preference that says where its battle stands on a topic")
    gathering, rows = AnswerGathering(printable(panel)), BattleRows()
    asked, notes = AskedAgain(), []
    with loaded(panel, console) as judges:
        versions = {name: told for judge in judges.judges for name, told in of_judge(judge).items()}
        for topic, offsets in places.items():
            try:
                with cluster.of(topic) as consumer, RecordProgress(console, verb=f"scoring {topic}") as progress:
                    one = ask_again(
                        *(consumer, topic, offsets, judges, gathering, rows, progress),
                        framing=config.battles_framing,
                        chunk_rows=chunk_rows,
                    )
            except TopicMissingError:
                one = AskedAgain(gone=sum(map(len, offsets.values())))
                notes.append(f"there is no topic {topic} any more")
            asked.gone += one.gone
            asked.refused += one.refused
    now = gathering.table()
    if not len(now):
        raise DataLossError(
            f"{span.text}: of the battles of {wanted:,} answers {asked.gone:,} are gone from their topic and "
            f"{asked.refused:,} can't be scored: nothing is left to ask about"
        )
    if "torch" in versions:
        notes.append(f"preferences do not say which torch answered; now it is {versions['torch']}")
    return _found(then, now, rows, asked, tuple(notes), measuring, rejected, console)


def _found(
    then: AnswerTable,
    now: AnswerTable,
    rows: BattleRows,
    asked: AskedAgain,
    notes: tuple[str, ...],
    measuring: Measuring,
    rejected: int,
    console: Console,
) -> ReplayFound:
    pairs = join(then, now, "source")
    if not len(pairs):
        raise DataLossError(
            f"{then.name}: where the battles of its answers stood, {pairs.other_ids:,} others stand now, by their ids: "
            "the topic was made anew, and nothing is left to ask about"
        )
    with CountProgress(console, verb="measuring", unit="parts") as progress:
        diff = diff_answers(
            then,
            now,
            rows=rows,
            by="source",
            rejected=(rejected, asked.refused),
            most=measuring.most,
            resamples=measuring.resamples,
            seed=measuring.seed,
            on_progress=progress.advanced,
        )
    judges = reproduced(then, now, pairs)
    told = [*diff.notes, *what_differs(then, now, pairs), *notes]
    if asked.gone:
        told.append(f"{asked.gone:,} battles are gone from their topic (retention): their answers can't be asked again")
    if asked.refused:
        told.append(f"{asked.refused:,} records hold no battle that can be scored now")
    placed = len(then) - sum(1 for row in range(len(then)) if _is_elsewhere(then, row))
    if placed < len(then):
        told.append(f"{len(then) - placed:,} answers do not say where their battle stands on a topic")
    return ReplayFound(
        reproduced=all(one.reproduced for one in judges),
        preferences=len(then),
        compared=len(pairs),
        gone=asked.gone,
        refused=asked.refused,
        elsewhere=len(then) - placed,
        judges=judges,
        notes=tuple(told),
        diff=diff.model_copy(update={"notes": tuple(told)}),
    )


def _is_elsewhere(then: AnswerTable, row: int) -> bool:
    number = int(then.sources[row, 0])
    return number < 0 or then.source_names[number][0] != "topic"


def tell_replay(found: ReplayFound, console: Console) -> None:
    """Say whether answers are given again, and what may be why not.

    Args:
        found: what was found.
        console: where to.
    """
    from prefstream.consumer.cli.ui.reports import diff as ui

    print_table(console, ui.replay_table(found))
    if not found.reproduced and found.diff.most_changed:
        print_table(console, ui.changed_table(found.diff))
    for line in ui.replay_lines(found):
        say(console, line)


def exit_code_of_replay(found: ReplayFound) -> int:
    """0: all was asked again and answered as then; 3: what could be asked again was; 1: it was not."""
    if not found.reproduced:
        return EXIT_FAULT
    left_out = found.diff.left.rejected or found.compared < found.preferences - found.diff.join.repeated_left
    return EXIT_REJECTED if left_out else 0
