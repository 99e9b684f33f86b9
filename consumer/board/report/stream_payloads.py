"""What the board says of the stream that answers the battles."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from prefstream.consumer.board.report.payloads import Payload
from prefstream.schemas import Probabilities
from prefstream.scoring.comparison.results import Change


class StreamMinute(Payload):
    """What was published in one minute.

    Latency is what the stream itself took for a battle: waiting for the judges, tokenising and inference, as its
    preference has them. Not in it is how long the battle lay on its topic, which the lag tells, nor the transaction.
    """

    at: Annotated[AwareDatetime, Field(description="Where the minute begins, by the preferences' timestamps.")]
    battles: Annotated[int, Field(ge=0, description="With a preference of that minute.")]
    latency_p50_s: Annotated[
        float | None,
        Field(ge=0, description="Median of the latency, as exact as a bin of its histogram is narrow; null: nobody "
              "told."),
    ]  # fmt: skip
    latency_p95_s: Annotated[float | None, Field(ge=0, description="Its 95th percentile, likewise.")]
    queue_s: Annotated[float | None, Field(ge=0, description="Mean time for which a battle waited for the judges.")]
    tokenise_s: Annotated[float | None, Field(ge=0, description="Mean time of tokenising.")]
    inference_s: Annotated[float | None, Field(ge=0, description="Mean time of the judges, the slowest counting.")]


class PartitionLag(Payload):
    """Battles that wait on one partition."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    lag: Annotated[int, Field(ge=0, description="Offsets from what the group has committed to the end.")]


class GroupLag(Payload):
    """Battles that wait for the stream."""

    total: Annotated[int, Field(ge=0, description="Of all partitions.")]
    partitions: tuple[PartitionLag, ...]


class RecordPlace(Payload):
    """Where a record stands."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


class DeadLetterReason(Payload):
    """Dead letters of one reason."""

    reason: Annotated[str, Field(description="Its code; unknown: another program's, or a later version's.")]
    count: Annotated[int, Field(ge=1)]
    newest_at: Annotated[AwareDatetime, Field(description="When the newest was written.")]
    newest: Annotated[
        RecordPlace, Field(description="Where it stands among the dead letters: `prefstream dead-letters show` has it.")
    ]


class DeadLetterCounts(Payload):
    """Dead letters of the last day."""

    since: Annotated[AwareDatetime, Field(description="From when on they are counted.")]
    total: Annotated[int, Field(ge=0)]
    complete: Annotated[
        bool,
        Field(
            description="Whether all since then are counted: false while the topic is read back, and for a day after "
            "a start that found more than could be read back."
        ),
    ]
    reasons: Annotated[tuple[DeadLetterReason, ...], Field(description="The most frequent first.")]


class ShadowBattle(Payload):
    """A battle that a shadow answers otherwise."""

    id: str
    source: RecordPlace
    served: Annotated[Probabilities, Field(description="Of who serves.")]
    shadow: Annotated[Probabilities, Field(description="Of the shadow.")]


class ShadowReport(Payload):
    """How a shadow's newest answers differ from those that are served: the shadow's minus these."""

    topic: Annotated[str, Field(description="Of the shadow's answers.")]
    compared: Annotated[int, Field(ge=0, description="Of its newest answers, those to a battle that was served.")]
    waiting: Annotated[
        int, Field(ge=0, description="The others: the board has no answer to their battle, yet or any more.")
    ]
    change: Annotated[Change | None, Field(description="Null where none is compared.")]
    most_changed: Annotated[tuple[ShadowBattle, ...], Field(description="The most distant first.")]


class StreamReport(Payload):
    """What the stream does."""

    now: AwareDatetime
    minutes: Annotated[
        tuple[StreamMinute, ...],
        Field(description="The last hour, the oldest first, each minute of it; the last one is not over."),
    ]
    per_s: Annotated[
        float | None,
        Field(ge=0, description="Battles a second, over the last one to two minutes; null where none ever came."),
    ]
    group: Annotated[str | None, Field(description="The stream's consumer group; null where no stream is watched.")]
    lag: Annotated[GroupLag | None, Field(description="Null where nobody knows.")]
    why_no_lag: Annotated[str | None, Field(description="In words; null where there is one.")]
    dead_letters: Annotated[DeadLetterCounts | None, Field(description="Null where nobody knows.")]
    why_no_dead_letters: Annotated[str | None, Field(description="In words; null where they are counted.")]
    shadow: Annotated[ShadowReport | None, Field(description="Null where none is looked at, or nobody knows.")] = None
    why_no_shadow: Annotated[
        str | None, Field(description="In words; null where there is one, and where none is to be looked at.")
    ] = None


class NewDeadLetter(Payload):
    """An input that has become a dead letter."""

    topic: Annotated[str, Field(description="Of the input.")]
    partition: Annotated[int, Field(ge=0, description="Of the input.")]
    offset: Annotated[int, Field(ge=0, description="Of the input.")]
    reason: Annotated[str, Field(description="Code of what was wrong.")]
    at: Annotated[AwareDatetime, Field(description="When the dead letter was written.")]


class NewDeadLetters(Payload):
    """The event `dead_letters`: inputs that have become dead letters just now, the newest last."""

    dead_letters: tuple[NewDeadLetter, ...]
    skipped: Annotated[int, Field(ge=0, description="How many more there were.")] = 0
