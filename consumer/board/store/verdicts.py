"""The newest verdicts, whole, for who looks on: ready to be sent, each with a number that rises with every battle."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from prefstream.consumer.board.battles.payloads import ID_PREFIX
from prefstream.consumer.board.store.facts import entropy_of, is_truncated
from prefstream.consumer.board.store.records import PreferenceRecord
from prefstream.schemas import Outcome
from prefstream.schemas.preference import FileSource, JudgeOpinion, KafkaSource, Probabilities, Style
from prefstream.scoring.moments import moment_of

ID_OF_RECENT: Final = "json_extract(verdict, '$.id')"
"""The battle's id of a row of `recent`, for statements."""

MOST_KEPT: Final = 500
"""A client that was away for minutes, or a restart long, misses none of a topic with a battle a second."""

MOST_OF_A_BATCH: Final = 200
"""The newest ones: as many as anybody is shown at once. A board that is filled anew takes a thousand at a time in, and
writing all of them out, for nobody, would take a tenth of its time."""

MOST_TRIED: Final = 100
"""Of battles that were tried out from the page, however many others came since: their senders ask for them by id. The
page sends 30 a minute at most."""

MOST_BYTES: Final = 16 * 1024
"""Of one, in JSON: two judges take two thousand. A longer one, of a name without end, is left out."""


class JudgeVerdict(BaseModel):
    """What one judge said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Annotated[str, Field(description="pairwise, pointwise, features, prior, or what a later version has.")]
    weight: Annotated[float | None, Field(description="Share in the panel's mean; null where it is not told.")]
    probabilities: Probabilities
    as_given: Annotated[Probabilities | None, Field(description="In the battle's own order; null without swap.")]
    swapped: Annotated[
        Probabilities | None, Field(description="Of the exchanged battle, mapped back; null without swap.")
    ]
    position_gap: Annotated[
        float | None, Field(description="Total variation distance between both orders, 0 to 1; null without swap.")
    ]
    cut: Annotated[bool, Field(description="Whether it did not get to read all of the battle.")]


class Verdict(BaseModel):
    """A preference as a page shows it; none of the battle's texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: Annotated[str, Field(description="What is unique to it, and by which a client says what it has seen.")]
    id: Annotated[str, Field(description="Of the battle.")]
    published_at: Annotated[AwareDatetime, Field(description="Timestamp of the preference's record.")]
    model_a: str | None
    model_b: str | None
    language: str | None
    probabilities: Probabilities
    preferred: Annotated[Outcome, Field(description="The most probable outcome; the first of equals.")]
    judges: tuple[JudgeVerdict, ...]
    left_out: Annotated[tuple[str, ...], Field(description="Judges that failed.")]
    recused: Annotated[
        tuple[str, ...],
        Field(
            description="Judges that did not count: an answer may be their own family's. Where no other was left they "
            "did, and their weight is above 0."
        ),
    ]
    disagreement: Annotated[float, Field(description="Mean Jensen-Shannon divergence over pairs of judges, bits.")]
    entropy: Annotated[float, Field(description="Of the probabilities, bits.")]
    adjusted: Annotated[
        Probabilities | None,
        Field(description="With the preference for longer answers taken out; null where that was not fitted."),
    ]
    review_chosen: Annotated[
        bool | None, Field(description="Whether a person is asked to look; null where nobody is asked.")
    ]
    source: Annotated[KafkaSource | FileSource, Field(description="Where the battle stands.")]
    queue_s: Annotated[
        float | None, Field(description="Tokenised, its batch waited so long for the judges; null where not told.")
    ]
    tokenise_s: Annotated[float | None, Field(description="Its batch took so long to tokenise.")]
    inference_s: Annotated[float | None, Field(description="Its batch took the judges so long.")]
    style: Annotated[Style | None, Field(description="What both answers look like; null where it is not known.")]


def verdict_json(event: str, record: PreferenceRecord) -> bytes:
    """A `Verdict` in JSON, without making one: that would take five times as long (seen: 10 instead of 50 us).

    Args:
        event: unique to it.
        record: the preference, and when it was published.
    """
    said = record.preference
    timings = said.timings
    return orjson.dumps(
        {
            "event": event,
            "id": said.id,
            "published_at": moment_of(record.at),
            "model_a": said.model_a,
            "model_b": said.model_b,
            "language": said.language,
            "probabilities": vars(said.probabilities),
            "preferred": said.preferred,
            "judges": [_judge(judge) for judge in said.judges],
            "left_out": said.left_out,
            "recused": said.recused or (),
            "disagreement": said.disagreement,
            "entropy": entropy_of(said.probabilities) if said.uncertainty is None else said.uncertainty.entropy,
            "adjusted": _parts(said.adjusted),
            "review_chosen": None if said.review is None else said.review.chosen,
            "source": vars(said.source),
            "queue_s": None if timings is None else timings.queue_s,
            "tokenise_s": None if timings is None else timings.tokenise_s,
            "inference_s": None if timings is None else timings.inference_s,
            "style": None if said.style is None else {"a": vars(said.style.a), "b": vars(said.style.b)},
        },
        option=orjson.OPT_UTC_Z,
    )


def _judge(said: JudgeOpinion) -> dict[str, object]:
    return {
        "name": said.name,
        "kind": said.provenance.kind,
        "weight": said.weight,
        "probabilities": vars(said.probabilities),
        "as_given": _parts(said.as_given),
        "swapped": _parts(said.swapped),
        "position_gap": said.position_gap,
        "cut": is_truncated(said),
    }


def _parts(shares: Probabilities | None) -> dict[str, object] | None:
    return None if shares is None else vars(shares)


def event_id(key: str, sequence: int) -> str:
    """What tells a battle's event from all others.

    Args:
        key: of the file.
        sequence: the battle's number in it: it is the so manieth that was counted.
    """
    return f"{key}-{sequence}"


def sequence_of(key: str, event: str) -> int | None:
    """The number in an event's id; None where it is of another file, or none at all."""
    of, _, number = event.rpartition("-")
    return int(number) if of == key and number.isascii() and number.isdigit() and len(number) < 19 else None


def keep_verdicts(
    connection: sqlite3.Connection, key: str, counted_before: int, records: Sequence[PreferenceRecord]
) -> None:
    """Keep the newest of a batch, no more than `MOST_KEPT` in all; and beside them those that were tried out.

    Args:
        connection: in a transaction.
        key: of the file.
        counted_before: battles that were counted before these.
        records: of battles that are counted now, in order.
    """
    last = counted_before + len(records)
    kept = (
        (sequence, record)
        for sequence, record in enumerate(records, counted_before + 1)
        if sequence > last - MOST_OF_A_BATCH or record.preference.id.startswith(ID_PREFIX)
    )
    connection.executemany("INSERT INTO recent VALUES (?, ?)", _rows(key, kept))
    tried = f"sequence <= ? AND {ID_OF_RECENT} GLOB '{ID_PREFIX}*'"
    connection.execute(
        f"DELETE FROM recent WHERE sequence <= ? AND sequence NOT IN (SELECT sequence FROM recent WHERE {tried} "
        "ORDER BY sequence DESC LIMIT ?)",
        (last - MOST_KEPT, last - MOST_KEPT, MOST_TRIED),
    )


def _rows(key: str, kept: Iterable[tuple[int, PreferenceRecord]]) -> Iterable[tuple[int, str]]:
    for sequence, record in kept:
        text = verdict_json(event_id(key, sequence), record)
        if len(text) <= MOST_BYTES:
            yield sequence, text.decode()
