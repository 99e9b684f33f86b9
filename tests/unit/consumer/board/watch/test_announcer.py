"""Inputs that have become dead letters, as pages hear of them."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel

from prefstream.consumer.board.report.stream_payloads import NewDeadLetters
from prefstream.consumer.board.watch.announcer import EVENT, MOST_TOLD, Announcer
from prefstream.consumer.dead_letters.reader import RecordPosition

AT = datetime(2026, 11, 29, tzinfo=UTC)


class Heard:
    def __init__(self) -> None:
        self.events: list[NewDeadLetters] = []

    def __call__(self, event: str, payload: BaseModel) -> None:
        assert event == EVENT
        assert isinstance(payload, NewDeadLetters)
        self.events.append(payload)


def test_of_many_the_newest_are_told_and_the_rest_counted() -> None:
    heard = Heard()
    announcer = Announcer("battles", heard)
    announcer.publish()
    for offset in range(MOST_TOLD + 5):
        announcer.add(RecordPosition("battles", 1, offset), "not_json", AT)
    announcer.publish()
    announcer.publish()
    [event] = heard.events
    assert event.skipped == 5
    assert [one.offset for one in event.dead_letters] == [*range(5, MOST_TOLD + 5)]
    assert {(one.topic, one.partition, one.reason, one.at) for one in event.dead_letters} == {
        ("battles", 1, "not_json", AT)
    }


def test_what_is_not_of_the_topic_is_not_told() -> None:
    heard = Heard()
    announcer = Announcer("battles", heard)
    announcer.add(None, "unknown", AT)
    announcer.add(RecordPosition("<script>", 0, 1), "not_json", AT)
    announcer.publish()
    assert heard.events == []
