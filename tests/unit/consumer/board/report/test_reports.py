"""What the board says of what is stored."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from prefstream.consumer.board.ingest.decode import LATEST_MS
from prefstream.consumer.board.report.choices import Step
from prefstream.consumer.board.report.payloads import BoardQuery
from prefstream.consumer.board.report.reports import MOST_SLICES, Reports, ReportSettings
from prefstream.consumer.board.store.store import Store
from tests.support.board import BEGIN_MS, preference_record

NOW = datetime.fromtimestamp(BEGIN_MS / 1000, UTC) + timedelta(minutes=1)
HOUR_MS = 3_600_000


@pytest.mark.parametrize("step", ["hour", "day"])
def test_a_clock_that_is_wrong_takes_no_slice_of_time_from_one_that_is_right(step: Step) -> None:
    rng = random.Random(1)
    of_the_future = [BEGIN_MS + number * 24 * HOUR_MS for number in range(2, 2 + MOST_SLICES[step])] + [LATEST_MS]
    moments = [BEGIN_MS - 48 * HOUR_MS, BEGIN_MS, *of_the_future]
    with Store() as store:
        store.apply([preference_record(number, rng, at=at) for number, at in enumerate(moments)])
        slices = Reports(store.reader(), ReportSettings(), now=lambda: NOW).time(BoardQuery(step=step)).slices
    assert [one.strengths.preferences for one in slices] == [1, 1]
    assert slices[0].start < slices[1].start <= NOW < slices[1].end
