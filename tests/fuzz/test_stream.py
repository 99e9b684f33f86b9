"""Hostile events through a running service: each comes out once, as a preference or for the right reason."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from prefstream.consumer.cli.ui.progress import CountProgress
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.stream import pipeline
from prefstream.consumer.stream.messages import Message, dead_letter
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.schemas import Reason
from tests.fuzz.stream_campaign import PARTITIONS, served_apart, served_here, through_the_stream

EVENTS: Final = int(os.environ.get("PREFSTREAM_TEST_FUZZ_STREAM_EVENTS") or 100_000)
"""Events of the long form."""

MAX_SLOPE_MB: Final = 50.0
"""Of the service, per 100,000 events after warm-up. Kept events would be 200 MB; the allocator still settles by 20 MB
at 100,000 events, by 5 MB at 250,000 (measured)."""


def hostile_config(make: Callable[..., StreamConfig]) -> StreamConfig:
    """A stream that reads nothing but hostile events, most of them dead letters: no sign of a fault upstream here."""
    return make(partitions=PARTITIONS, max_batch_battles=500, dead_letter_limit=1)


def test_hostile_events_leave_the_stream_once_each_for_the_right_reason(
    stream_config: Callable[..., StreamConfig], seeded: random.Random
) -> None:
    config = hostile_config(stream_config)
    with served_here(config) as service:
        report = through_the_stream(config, service, seeded.getrandbits(32), 1_500)
    report.fail_on_escapes()
    assert report.events == sum(report.fates.values()) == 1_500


def test_a_campaign_tells_what_came_out_wrong(
    stream_config: Callable[..., StreamConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that gives one wrong reason and drops the others' values: every dead letter is told, no preference."""

    def careless(event: Event, reason: Reason, error: Exception) -> Message:
        wrong = Reason.WRONG_TYPE if reason is Reason.NOT_UTF8 else reason
        return replace(dead_letter(event, wrong, error), value=b"dropped")

    monkeypatch.setattr(pipeline, "dead_letter", careless)
    config = hostile_config(stream_config)
    with served_here(config) as service:
        report = through_the_stream(config, service, 5, 300)
    assert report.escaped.total() == 300 - report.fates["battle"]
    assert any(escape.endswith("is a dead letter for wrong_type, not for not_utf8") for escape in report.escapes)
    assert any(escape.endswith("has a dead letter with another value") for escape in report.escapes)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_hundred_thousand_hostile_events_leave_the_stream_and_its_memory_stays_flat(
    stream_config: Callable[..., StreamConfig],
    seeded: random.Random,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Some minutes for each broker. Prints how it gets on, and the figures."""
    config = hostile_config(stream_config)
    with served_apart(config, tmp_path) as service, capsys.disabled():
        console = Console()
        with CountProgress(console, EVENTS, verb="streaming", unit="events") as progress:
            report = through_the_stream(config, service, seeded.getrandbits(32), EVENTS, progress.advanced)
        console.print(report.table())
    report.fail_on_escapes()
    assert report.events == sum(report.fates.values()) == EVENTS
    report.fail_on_growth(MAX_SLOPE_MB)
