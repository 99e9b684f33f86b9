"""Stops the stream where too many of a partition's last records can't be scored: upstream is broken, most likely.

Every partition has a window over its last records, which is committed with the partition's offset, as that offset's
metadata. So it goes where the partition goes: to the next process after a restart, to another member after a
rebalance. Which record trips the limit follows from the records of its partition alone, not from batches, restarts or
the number of processes, and no number of restarts gets past it. Moving the group's offsets with any of Kafka's tools
empties the window.

A batch that is checked and not committed leaves no trace, so it may be checked again. The polling thread alone calls
everything here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prefstream.consumer.client.protocols import TopicPartition
from prefstream.consumer.errors import DeadLetterFloodError
from prefstream.consumer.stream.messages import Message
from prefstream.consumer.stream.partitions.offset_metadata import OffsetMetadata


@dataclass(frozen=True, slots=True)
class Window:
    """Which of a partition's last records became dead letters.

    Attributes:
        epoch: assignment epoch of the partition; under another one it must be read anew.
        bits: one per record, the newest lowest; what was never seen counts as scored.
    """

    epoch: int
    bits: int


class DeadLetterLimit:
    """Holds the windows of our partitions, and the messages of every batch against them.

    Args:
        share: more than this share of a window stops the stream; 1 never does, and then nothing is kept.
        size: records in a window.
        committed_metadata: what was committed with a partition's offset; called once per partition and epoch, and again
            after `forget`.
    """

    def __init__(self, share: float, size: int, committed_metadata: Callable[[TopicPartition], OffsetMetadata]) -> None:
        self._share = share
        self._size = size
        self._mask = (1 << size) - 1
        self._committed_metadata = committed_metadata
        self._windows: dict[TopicPartition, Window] = {}

    def check(self, messages: Iterable[Message]) -> dict[TopicPartition, Window]:
        """The windows as they will be once these messages are committed; changes nothing.

        Args:
            messages: of one batch, each of a partition that is ours.

        Raises:
            DeadLetterFloodError: one of them trips the limit; none of them may be published.
            StreamError: what `committed_metadata` raises.
        """
        if self._share >= 1:
            return {}
        partitions: dict[TopicPartition, list[Message]] = {}
        for message in messages:
            partitions.setdefault(message.event.partition, []).append(message)
        return {
            # A batch lists what could not be decoded first: back into the order of the topic.
            partition: self._extend(partition, sorted(theirs, key=lambda message: message.event.record.offset))
            for partition, theirs in partitions.items()
        }

    def accept(self, windows: Mapping[TopicPartition, Window]) -> None:
        """The messages that were checked are committed, and these windows with them."""
        self._windows.update(windows)

    def forget(self) -> None:
        """Whether what was checked last is committed is not known: read the windows again."""
        self._windows.clear()

    def window(self, partition: TopicPartition, epoch: int) -> Window:
        """A partition's window as it is committed; empty where there is no limit. Raises as `committed_metadata`."""
        return self._window(partition, epoch) if self._share < 1 else Window(epoch, 0)

    def _extend(self, partition: TopicPartition, messages: Sequence[Message]) -> Window:
        window = self._window(partition, messages[0].event.epoch)
        bits = window.bits
        for message in messages:
            dead = message.reason is not None
            bits = (bits << 1 | dead) & self._mask
            # A record that was scored never trips: after the limit was lowered, good records go on.
            if dead and bits.bit_count() / self._size > self._share:
                raise self._flood(partition, messages, bits.bit_count())
        return Window(window.epoch, bits)

    def _window(self, partition: TopicPartition, epoch: int) -> Window:
        window = self._windows.get(partition)
        if window is None or window.epoch != epoch:  # another process may have committed since
            window = Window(epoch, self._committed_metadata(partition).dead_letters & self._mask)
            self._windows[partition] = window
        return window

    def _flood(self, partition: TopicPartition, messages: Sequence[Message], count: int) -> DeadLetterFloodError:
        where = f"{partition.topic}/{partition.partition}"
        letters = [message for message in messages if message.reason is not None]
        [(reason, times)] = Counter(message.reason for message in letters).most_common(1)
        return DeadLetterFloodError(
            f"{count} of the last {self._size} records of {where} can't be scored, more than dead_letter_limit "
            f"{self._share:g} allows. The batch that got there was not published: {len(letters)} of its "
            f"{len(messages)} records are dead letters, {times} of them {reason}, the first is "
            f"{where}/{letters[0].event.record.offset}. Mend what writes them (`prefstream dead-letters list` shows "
            "those before); a restart stops here again, until they may become dead letters (dead_letter_limit higher, "
            "or 1 for no limit) or the group's offset is moved past them"
        )
