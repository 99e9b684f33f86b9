"""A line a minute, with what it stands for."""

from __future__ import annotations

from structlog.testing import capture_logs

from prefstream.consumer.board.ingest.sparingly import EVERY_S, Sparingly


def test_what_happens_often_is_told_once_a_minute_with_its_number() -> None:
    now = 0.0
    sparingly = Sparingly("it happened", clock=lambda: now)
    with capture_logs() as logs:
        sparingly.warn(0)
        sparingly.warn(2, at="a")
        sparingly.warn(3, at="b")
        now = EVERY_S
        sparingly.warn(0)
        sparingly.warn(1, at="c")
    assert [(line["count"], line["at"]) for line in logs] == [(2, "a"), (4, "c")]
