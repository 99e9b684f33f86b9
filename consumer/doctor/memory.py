"""How much memory the process needs at most beside its judges' weights, whatever stands on the topic."""

from __future__ import annotations

from typing import Final, NamedTuple

from prefstream.consumer.client.clients import MAX_FETCH_BYTES, MAX_RECORD_BYTES
from prefstream.consumer.client.patches.unfair_polls import MAX_FETCHED_BYTES
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.finding import Finding, ok, warn
from prefstream.consumer.doctor.machine import available_bytes
from prefstream.schemas.wire import MAX_VALUE_BYTES

MIB: Final = 1024**2

INTERPRETER_BYTES: Final = 130 * MIB
"""The interpreter, Kafka's clients and their buffers: 125 MB were measured after the worst input."""

TORCH_BYTES: Final = 390 * MIB
"""What torch and transformers add before any weights are loaded: 386 MB were measured."""

JSON_GROWTH: Final = 40
"""As Python's objects JSON is up to so many times as large: 39 were measured, for objects with an empty key."""


class Part(NamedTuple):
    """One reason for which memory is taken, and how much at most."""

    what: str
    bytes: int


def parts_of(config: StreamConfig, *, with_torch: bool) -> tuple[Part, ...]:
    """What takes memory in a process that serves, judges' weights and passes left out.

    Args:
        config: the settings.
        with_torch: whether a judge has weights.
    """
    unpacked, in_flight = config.max_unpacked_bytes, config.max_in_flight_bytes
    return (
        Part("the program", INTERPRETER_BYTES + (TORCH_BYTES if with_torch else 0)),
        # What waits; and an answer of a broker, once as it came and once taken apart.
        Part("fetched", MAX_FETCHED_BYTES + 2 * MAX_FETCH_BYTES),
        # Batches of all partitions: twice the bound. One record may be all of a batch, and is copied twice when read.
        Part("unpacked (max_unpacked_bytes)", 4 * unpacked),
        # As much as is allowed, one more record of any size, and texts, which take up to four bytes a character.
        Part("in flight (max_in_flight_bytes)", 5 * in_flight + unpacked),
        Part("one value while it is decoded", JSON_GROWTH * MAX_VALUE_BYTES),
        Part("sent", 2 * MAX_RECORD_BYTES),
    )


def check_bounds(config: StreamConfig, *, with_torch: bool) -> Finding:
    """Whether the memory that is free is enough for the worst that may come.

    Args:
        config: the settings.
        with_torch: whether a judge has weights.
    """
    parts = parts_of(config, with_torch=with_torch)
    need, free = sum(part.bytes for part in parts), available_bytes()
    listed = ", ".join(f"{part.what} {part.bytes / MIB:.0f}" for part in parts)
    found = f"beside its judges this process needs about {need / MIB:.0f} MB at most ({listed})"
    if need > free:
        remedy = "give it more, or lower max_unpacked_bytes and max_in_flight_bytes"
        return warn("bounds of memory", f"{found}; {free / MIB:.0f} MB are free", remedy)
    return ok("bounds of memory", found)
