"""The board on a cluster that lets nobody in without reason: with exactly the rights of the guide, and without some."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from structlog.testing import capture_logs

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.watch.dead_letters import DeadLetterWatch
from prefstream.consumer.board.watch.lag import LagWatch
from prefstream.consumer.client.clients import patiently
from prefstream.consumer.client.protocols import OffsetAndMetadata
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import NotAuthorizedError
from prefstream.consumer.observe import watcher
from prefstream.schemas import encode_preference
from prefstream.schemas.dead_letter import HEADER_REASON
from tests.support.board import preference
from tests.support.boards import ask, running_board
from tests.support.kafka.secured import Secured, secured_cluster
from tests.support.kafka.security import Acl, acls_of_watch, grant, needed_acls_of_board, revoke
from tests.support.streams import read_topic, wait_until

GROUP: Final = "stream"
NAMES: Final = TopicNames()

FOR_THE_PAGE: Final = {
    Acl("Write", "topic", NAMES.battles_topic),
    Acl("Read", "topic", NAMES.battles_topic),
    Acl("Read", "topic", NAMES.shadow_topic),
}
"""Only with --allow-battles and --show-texts."""

NEEDED: Final = [acl for acl in needed_acls_of_board(NAMES, GROUP) if acl not in FOR_THE_PAGE]
WATCH: Final = acls_of_watch(NAMES, GROUP)
AT_ITS_START: Final = [acl for acl in NEEDED if acl not in WATCH and acl.resource == "topic"][:3]

USERS: Final = {
    "board": NEEDED,
    "blind": [acl for acl in NEEDED if acl not in WATCH],
    # Sees the topics, and may do nothing with them.
    "sees": [acl if acl not in WATCH[1:] else replace(acl, operation="Describe") for acl in NEEDED if acl != WATCH[1]],
    **{f"lacks-{number}": [acl for acl in NEEDED if acl != lacking] for number, lacking in enumerate(AT_ITS_START)},
}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Topics with something on them: battles, of which one waits, a preference, a dead letter, a vote and none."""
    with secured_cluster(tmp_path_factory, USERS) as made:
        fill(made.inside)
        yield made


def login(secured: Secured, user: str) -> dict[str, Any]:
    """Settings of a user's board, which watches the stream's group."""
    return secured.login(user) | {"group_id": GROUP}


def fill(names: TopicNames) -> None:
    topics = (
        names.battles_topic,
        names.preferences_topic,
        names.dead_letters_topic,
        names.votes_topic,
        names.votes_dead_letters_topic,
    )
    with closing(KafkaAdminClient(bootstrap_servers=names.bootstrap_servers)) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1} for topic in topics})
        with closing(KafkaProducer(bootstrap_servers=names.bootstrap_servers)) as producer:
            for _ in range(3):
                producer.send(names.battles_topic, b"{}")
            producer.send(names.preferences_topic, encode_preference(preference("b1", random.Random(1))))
            producer.send(names.votes_topic, json.dumps({"id": "b1", "winner": "tie"}).encode())
            producer.send(names.votes_topic, b"no vote")
            producer.send(names.dead_letters_topic, b"{}", headers=[(HEADER_REASON, b"not_json")])
            producer.flush()
        committed = {TopicPartition(names.battles_topic, 0): OffsetAndMetadata(2, "", -1)}
        patiently(lambda: admin.alter_group_offsets(GROUP, committed))  # its coordinator may be about to start


@pytest.fixture(autouse=True)
def tries(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each watch was begun; it is tried again soon."""
    counted: Counter[str] = Counter()
    monkeypatch.setattr(watcher, "AGAIN_LATER_S", 0.2)
    for kind in (LagWatch, DeadLetterWatch):

        def watch(self: Any, *args: Any, kind: type = kind, began: Callable[..., None] = kind.watch) -> None:
            counted[kind.__name__] += 1
            began(self, *args)

        monkeypatch.setattr(kind, "watch", watch)
    return counted


def wait_tried_again(tries: Counter[str]) -> None:
    """Until each watch was tried twice more."""
    before = Counter(tries)
    wait_until(lambda: all(tries[kind] >= before[kind] + 2 for kind in before), what="more tries")


def stream_of(url: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(url, f"{API}/stream").json
    return found


def wait_served(url: str) -> None:
    """Until it has read all, as its rights let it."""
    wait_until(lambda: ask(url, "/readyz").status == 200, what="readiness")
    wanted = {"preferences": 1, "votes": 1, "bad_votes": 1}
    wait_until(lambda: ask(url, f"{API}/status").json["counters"] == wanted, what="all that is on the topics")


def test_the_board_serves_and_watches_with_exactly_the_rights_of_the_guide(secured: Secured, tmp_path: Path) -> None:
    with running_board(secured.inside, tmp_path, **login(secured, "board")) as url:
        wait_served(url)
        wait_until(lambda: stream_of(url)["lag"], what="the lag")
        assert stream_of(url)["lag"]["total"] == 1
        wait_until(lambda: (stream_of(url)["dead_letters"] or {}).get("total") == 1, what="the dead letter")
        assert ask(url, f"{API}/status").json["fresh"] == {"ok": True, "why": None}
    assert read_topic(secured.inside.bootstrap_servers, NAMES.votes_dead_letters_topic)


def test_without_rights_on_the_stream_it_says_so_and_serves_on_and_watches_while_they_are_granted(
    secured: Secured, tmp_path: Path, tries: Counter[str]
) -> None:
    with (
        capture_logs() as logs,
        running_board(secured.inside, tmp_path, **login(secured, "blind")) as url,
    ):
        wait_served(url)
        wait_until(lambda: "the broker denies" in str(stream_of(url)["why_no_lag"]), what="why there is no lag")
        wait_until(lambda: stream_of(url)["why_no_dead_letters"].startswith("there is no topic"), what="why none")
        assert "Describe on topic battles:" in stream_of(url)["why_no_lag"]
        assert "or grant Describe on it" in stream_of(url)["why_no_dead_letters"]
        wait_tried_again(tries)
        told = [line["what"] for line in logs if line["event"] == "not watched"]
        assert sorted(told) == ["dead letters", "the stream's lag"]
        grant(secured.cluster.internal_servers, {"blind": WATCH})
        wait_until(lambda: stream_of(url)["lag"] and stream_of(url)["dead_letters"], what="both")
        for right in WATCH:
            revoke(secured.cluster.internal_servers, "blind", right)
        wait_until(
            lambda: not (stream_of(url)["lag"] or stream_of(url)["dead_letters"]), what="that they are taken away"
        )
        assert ask(url, "/readyz").status == 200


def test_what_is_seen_and_may_not_be_used_is_named(secured: Secured, tmp_path: Path, tries: Counter[str]) -> None:
    with (
        capture_logs() as logs,
        running_board(secured.inside, tmp_path, **login(secured, "sees")) as url,
    ):
        wait_served(url)
        wait_until(lambda: "the broker denies" in str(stream_of(url)["why_no_lag"]), what="why there is no lag")
        wait_until(lambda: "the broker denies" in stream_of(url)["why_no_dead_letters"], what="why none")
        assert f"Describe on group {GROUP}:" in stream_of(url)["why_no_lag"]
        assert f"Read and Describe on {NAMES.dead_letters_topic}:" in stream_of(url)["why_no_dead_letters"]
        wait_tried_again(tries)
        assert len([line for line in logs if line["event"] in {"not watched", "watching"}]) == 2


@pytest.mark.parametrize("number", range(len(AT_ITS_START)))
def test_without_a_right_that_it_reads_or_writes_by_it_ends_with_a_line_that_names_it(
    secured: Secured, tmp_path: Path, number: int
) -> None:
    lacking = AT_ITS_START[number]
    with (
        pytest.raises(NotAuthorizedError, match=f"{lacking.operation} on topic {lacking.name}: grant that"),
        running_board(secured.inside, tmp_path, **login(secured, f"lacks-{number}")) as url,
    ):
        wait_until(lambda: ask(url, "/livez").status != 200, what="the end")
