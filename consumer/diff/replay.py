"""Answers of then, asked for once more: the battle of each preference is read from where it stands, and scored.

Only the ranges of offsets that hold such battles are read. What is not there any more, or can't be scored, is counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from prefstream.consumer.client.offsets import OFFSETS_TIMEOUT_MS, read_ranges, refuse_shorter
from prefstream.consumer.client.protocols import Consumer, ConsumerRecord, TopicPartition
from prefstream.consumer.client.values import place_of
from prefstream.consumer.rescore.chunks import MAX_CHUNK_BYTES
from prefstream.consumer.rescore.observer import RangeObserver
from prefstream.consumer.stream.pipeline import battle_of
from prefstream.schemas import Battle, Framing, InvalidEventError, KafkaSource
from prefstream.scoring.comparison.answers import AnswerGathering, AnswerTable
from prefstream.scoring.comparison.rows import BattleRows
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.predict import refuse_left_out

MERGED_GAP: Final = 200
"""Offsets between two battles, at most, that are read past: to seek costs about as much as to fetch so many."""


@dataclass(slots=True)
class AskedAgain:
    """What became of battles that were to be asked about again.

    Attributes:
        gone: that are not on their topic any more.
        refused: that are no battle now, or one that is too large.
    """

    gone: int = 0
    refused: int = 0


def source_topics(then: AnswerTable) -> dict[str, dict[int, list[int]]]:
    """Where the battles of answers stand: by topic and partition their offsets, ascending, each once.

    Args:
        then: answers; those about a row of a file, or that say no source, are left out.
    """
    found: dict[str, dict[int, list[int]]] = {}
    for number, (kind, name) in enumerate(then.source_names):
        if kind != "topic":
            continue
        places = then.sources[then.sources[:, 0] == number]
        found[name] = {
            partition: np.unique(places[places[:, 1] == partition, 2]).tolist()
            for partition in np.unique(places[:, 1]).tolist()
        }
    return found


def ask_again(
    consumer: Consumer,
    topic: str,
    offsets: dict[int, list[int]],
    panel: Panel,
    gathering: AnswerGathering,
    rows: BattleRows,
    observer: RangeObserver,
    *,
    framing: Framing,
    chunk_rows: int,
) -> AskedAgain:
    """Read battles of a topic, and let a panel answer them.

    Args:
        consumer: without a group.
        topic: that exists.
        offsets: of the battles, by partition, ascending.
        panel: stays open.
        gathering: takes the answers.
        rows: takes what the battles tell.
        observer: is told what happens.
        framing: what stands before a battle's JSON.
        chunk_rows: battles that are scored together.

    Raises:
        KafkaError: reading failed.
        DataLossError: the topic was made anew meanwhile.
        JudgeFaultError: the panel can't answer.
    """
    asked = AskedAgain()
    total = sum(map(len, offsets.values()))
    seen = done = 0
    observer.began(f"battles of {topic}", total)

    def score(chunk: Sequence[tuple[ConsumerRecord, Battle]]) -> None:
        answers = panel.score_encoded(panel.encode([battle for _, battle in chunk])) if chunk else []
        refuse_left_out(panel)
        for (record, battle), answer in zip(chunk, answers, strict=True):
            if isinstance(answer, BattleTooLargeError):
                asked.refused += 1
                observer.rejected(place_of(record), str(answer))
                continue
            source = KafkaSource(topic=record.topic, partition=record.partition, offset=record.offset)
            preference = answer.to_preference(battle, source)
            gathering.add(battle.id, preference.probabilities, preference)
            rows.add(battle, None)

    chunk: list[tuple[ConsumerRecord, Battle]] = []
    size = 0
    for record in _records(consumer, topic, offsets):
        seen += 1
        try:
            battle = battle_of(record, framing)
        except InvalidEventError as error:
            asked.refused += 1
            observer.rejected(place_of(record), str(error))
            continue
        chunk.append((record, battle))
        size += len(record.value or b"")
        if len(chunk) == chunk_rows or size >= MAX_CHUNK_BYTES:
            score(chunk)
            done += len(chunk)
            chunk, size = [], 0
            observer.advanced(done)
    score(chunk)
    observer.advanced(total)
    asked.gone = total - seen
    return asked


def _records(consumer: Consumer, topic: str, offsets: dict[int, list[int]]) -> Iterator[ConsumerRecord]:
    """The records at these offsets, as far as they are there."""
    there = consumer.partitions_for_topic(topic) or ()
    places = [TopicPartition(topic, partition) for partition in offsets if partition in there]
    begins = consumer.beginning_offsets(places, timeout_ms=OFFSETS_TIMEOUT_MS)
    ends = consumer.end_offsets(places, timeout_ms=OFFSETS_TIMEOUT_MS)
    for place in places:
        kept = [offset for offset in offsets[place.partition] if begins[place] <= offset < ends[place]]
        wanted = frozenset(kept)
        for span in _spans(kept):
            records = read_ranges(consumer, {place: span}, on_deleted=refuse_shorter)
            yield from (record for record in records if record.offset in wanted)


def _spans(offsets: Sequence[int]) -> Iterator[range]:
    """Ranges that hold the offsets, which ascend, and not many others."""
    breaks = [place for place, (one, other) in enumerate(itertools.pairwise(offsets), 1) if other - one > MERGED_GAP]
    for start, stop in itertools.pairwise([0, *breaks, len(offsets)]):
        if start < stop:
            yield range(offsets[start], offsets[stop - 1] + 1)
