"""What the guide for readers of the topics says, done as it says it beside a stream."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from prefstream.consumer.client.clients import make_consumer, make_producer
from prefstream.consumer.client.offsets import read_ranges
from prefstream.consumer.client.protocols import TopicPartition
from prefstream.consumer.config import StreamConfig
from tests.support.streams import battle_events, produce, read_topic, running

GUIDE = (Path(__file__).parents[2] / "schemas" / "README.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("\n## Reading the topics\n")[2].partition("\n## ")[0]

MakeConfig = Callable[..., StreamConfig]


def here(text: str, config: StreamConfig) -> str:
    """An example of the guide, for this test's broker and topic."""
    assert "localhost:9092" in text
    return text.replace("localhost:9092", config.bootstrap_servers).replace("preferences", config.preferences_topic)


@pytest.fixture
def answered(stream_config: MakeConfig) -> StreamConfig:
    """A stream that has answered three battles, two of which share an id; and an answer of another that was aborted."""
    config = stream_config(partitions=1)
    events = [*battle_events(2), *battle_events(1)]
    produce(config, events)
    with running(config) as service:
        service.wait_published(len(events))
    with closing(make_producer(config, transactional_id=f"{config.group_id}-aborted")) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(config.preferences_topic, b"{}", headers=[("ce_source", b"aborted")])
        producer.flush()
        producer.abort_transaction()
    return config


def test_the_code_prints_each_answer_with_its_group_and_its_battles_place(
    answered: StreamConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)
    exec(compile(here(code, answered), "the guide", "exec"), {})  # noqa: S102 - our own guide
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"/prefstream/{answered.group_id}"] * 3
    assert [re.findall(r"'offset': (\d+)", line) for line in lines] == [["0"], ["1"], ["2"]]
    assert ["battle-0" in line for line in lines] == [True, False, True]


@pytest.mark.skipif(shutil.which("kcat") is None, reason="needs kcat")
def test_the_line_for_kcat_prints_each_answer(answered: StreamConfig) -> None:
    [line] = re.findall(r"^ {4}(kcat .+)$", SECTION, re.MULTILINE)
    done = subprocess.run(shlex.split(here(line, answered)), capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.count(f"ce_source=/prefstream/{answered.group_id}") == 3
    assert done.stdout.count('"probabilities"') >= 3
    assert "ce_source=aborted" not in done.stdout


def test_the_difference_of_timestamps_is_the_time_from_battle_to_answer(answered: StreamConfig) -> None:
    battles = TopicPartition(answered.battles_topic, 0)
    with closing(make_consumer(answered)) as consumer:
        written = {record.offset: record.timestamp for record in read_ranges(consumer, {battles: range(3)})}
    for record in read_topic(answered.bootstrap_servers, answered.preferences_topic):
        offset = int(dict(record.headers)["ce_id"].decode().rpartition("/")[2])
        assert 0 <= record.timestamp - written[offset] < 1_000_000
