"""Malformed and hostile events, by seed and number: the same two numbers give the same event on every machine.

    event = hostile_event(seed=7, number=123_456)
    event.kind, event.value, event.kind.fates

Fast (twenty thousand a second), so that a million can be made while they are tried out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from hypothesis import strategies as st

from prefstream.consumer.client.patches.header_keys import HeaderKey
from tests.fuzz import corpus
from tests.fuzz.battles import BATTLES
from tests.fuzz.faults import FAULTS
from tests.fuzz.kinds import HOSTILE_PIECES, RECORD_BYTES, Kind, hostile_text

KINDS: Final = (*BATTLES, *FAULTS)

MAX_ENVELOPE_BYTES: Final = 20_000
"""What key and headers of an event take at most, the giant trace aside."""

GIANT_TRACE: Final = ("traceparent", b"01-%032x-%016x-00-" % (1, 1) + b"0" * (RECORD_BYTES - 660))
"""Of a version of W3C Trace Context that may say more than is known. A preference passes its battle's trace on; beside
this one a small event fits into a record, a preference doesn't."""

_GIANT_TRACES: Final = 1 / 2_000
_BESIDE_A_GIANT_TRACE_BYTES: Final = 400


@dataclass(frozen=True, slots=True)
class HostileEvent:
    """One event. `repr` shows how to make it again, not its megabytes."""

    seed: int
    number: int
    kind: Kind
    value: bytes | None

    def __repr__(self) -> str:
        return f"hostile_event(seed={self.seed}, number={self.number})  # {self.kind.name}"


_CUMULATIVE: Final = tuple(itertools.accumulate(kind.weight for kind in KINDS))


def hostile_event(seed: int, number: int) -> HostileEvent:
    """Event `number` of the sequence that `seed` names; any number at once, the ones before it need not be made."""
    rng = Random(seed << 64 | number)
    (kind,) = rng.choices(KINDS, cum_weights=_CUMULATIVE)
    return HostileEvent(seed, number, kind, kind.build(rng))


def hostile_envelope(event: HostileEvent) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    """Key and headers to send an event with; together with the value they fit into a record."""
    rng = Random(1 << 128 | event.seed << 64 | event.number)
    key = rng.choice((None, b"", b"\x00", rng.randbytes(8), hostile_text(rng).encode(), f"{event.number}".encode()))
    if key is None and event.value is None:
        key = b""  # the client sends no record without key and value
    names = (*corpus.HEADER_NAMES, *map(HeaderKey, corpus.NOT_UTF8), hostile_text(rng))
    values = (b"", b"\xff" * 9, hostile_text(rng).encode(), b"0", b"not_json")
    headers = [(rng.choice(names), rng.choice(values)) for _ in range(rng.choice((0, 0, 0, 1, 2, 20)))]
    if rng.random() < _GIANT_TRACES and len(event.value or b"") < _BESIDE_A_GIANT_TRACE_BYTES:
        return b"", [GIANT_TRACE]
    return key, headers


def hostile_events(seed: int, first: int = 0) -> Iterator[HostileEvent]:
    """The sequence that `seed` names, from event `first` on, without end."""
    return (hostile_event(seed, number) for number in itertools.count(first))


@st.composite
def hostile_values(draw: st.DrawFn) -> tuple[Kind, bytes | None]:
    """The same for hypothesis: every kind as often as any other, and it finds the simplest event that fails."""
    kind = draw(st.sampled_from(KINDS))
    return kind, kind.build(draw(st.randoms(use_true_random=False)))


hostile_texts: Final = st.lists(st.sampled_from(HOSTILE_PIECES) | st.text(max_size=10), max_size=6).map("".join)
"""Texts of hostile pieces and arbitrary characters."""
