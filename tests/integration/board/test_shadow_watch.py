"""A shadow's newest answers are held against what the board has stored; the same battle alone is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from prefstream.consumer.board.report.surroundings import WatchedStream
from prefstream.consumer.board.store.records import PreferenceRecord
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.board.watch import shadow
from prefstream.consumer.board.watch.shadow import ShadowWatch
from prefstream.consumer.board.watch.watch import StreamWatch
from prefstream.consumer.client.topics import wait_until_led
from prefstream.consumer.config import StreamConfig
from prefstream.schemas import KafkaSource, Preference, encode_preference
from tests.support.answers import make_preference
from tests.support.board import BEGIN_MS
from tests.support.judged import make_probabilities
from tests.support.streams import wait_until

BATTLES = 20


@pytest.fixture
def config(stream_config: Callable[..., StreamConfig], admin: KafkaAdminClient) -> StreamConfig:
    """Topics of one's own, a shadow's among them."""
    config = stream_config(partitions=2)
    config = config.model_copy(update={"shadow_topic": f"{config.group_id}.shadow"})
    admin.create_topics({config.shadow_topic: {"num_partitions": 2, "replication_factor": 1}})
    wait_until_led(admin, [config.shadow_topic])
    return config


def answers(seed: int, chosen: Iterable[int]) -> list[Preference]:
    said = make_probabilities(2 * BATTLES, seed=seed)
    return [make_preference(number, said[number]) for number in chosen]


def send(config: StreamConfig, values: Iterable[bytes | None]) -> None:
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers)) as producer:
        for number, value in enumerate(values):
            producer.send(config.shadow_topic, value, key=b"k", partition=number % 2)
        producer.flush()


def test_the_newest_answers_are_compared_as_they_come(config: StreamConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "LOOK_S", 0.2)
    monkeypatch.setattr(shadow, "FIRST_LOOK_S", 0.2)
    send(config, [*map(encode_preference, answers(1, range(0, BATTLES, 2))), b"no preference", None])
    with Store(None) as store:
        store.apply([PreferenceRecord(one, BEGIN_MS, 0, at) for at, one in enumerate(answers(0, range(BATTLES)))])
        with StreamWatch(
            config, config.group_id, lambda *_: None, shadow=ShadowWatch(config, store.reader().answers)
        ) as watch:

            def compared() -> int:
                found = watch.now().shadow
                return found.compared if found else 0

            wait_until(lambda: compared() == BATTLES // 2)
            # One of a battle that nobody has served yet, and one of another battle with an id that is known.
            elsewhere = KafkaSource(topic="battles", partition=1, offset=99)
            other = make_preference(1, (0.2, 0.3, 0.5), battle_id="battle-2", source=elsewhere)
            send(config, map(encode_preference, [*answers(1, [1, BATTLES]), other]))
            wait_until(lambda: compared() == BATTLES // 2 + 1)
            wait_until(lambda: (found := watch.now().shadow) is not None and found.waiting == 2)
            found = watch.now().shadow
            assert found is not None
            assert found.change is not None
            assert sum(map(sum, found.change.verdicts)) == found.compared
            assert found.most_changed[0].source.topic == "battles"


def test_a_topic_that_is_not_there_is_told_and_none_is_asked_for_without_the_wish(
    stream_config: Callable[..., StreamConfig],
) -> None:
    config = stream_config()
    config = config.model_copy(update={"shadow_topic": f"{config.group_id}.nowhere"})
    with StreamWatch(config, config.group_id, lambda *_: None, shadow=ShadowWatch(config, lambda _: {})) as watch:
        wait_until(lambda: f"there is no topic {config.shadow_topic}" in (watch.now().why_no_shadow or ""))
        assert watch.now().shadow is None
    with StreamWatch(config, config.group_id, lambda *_: None) as watch:
        now: WatchedStream = watch.now()
        assert (now.shadow, now.why_no_shadow) == (None, None)
