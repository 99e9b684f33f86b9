"""`prefstream dead-letters` against a broker: looking changes nothing, and a retry is whole and remembered."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from prefstream.consumer.cli.dead_letters import dead_letters
from prefstream.consumer.client.clients import admin_client, make_consumer, make_producer
from prefstream.consumer.client.protocols import OffsetAndMetadata, TopicPartition
from prefstream.consumer.client.transaction import Transaction
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.dead_letters.plan import Choice
from prefstream.consumer.dead_letters.reader import DeadLetter, RecordPosition, read_dead_letters
from prefstream.consumer.dead_letters.retry import DEFAULT_GROUP, make_plan, resubmit
from prefstream.consumer.errors import FencedError, StreamError, TopicMissingError, UsageError
from prefstream.consumer.stream.messages import Message, dead_letter, shrink
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.schemas import InvalidEventError, Reason
from prefstream.schemas.dead_letter import HEADER_GROUP, HEADER_ORIGINAL_TIMESTAMP, HEADER_REASON, HEADER_TOPIC

Write = Callable[..., None]


@pytest.fixture
def config(stream_config: Callable[..., StreamConfig]) -> StreamConfig:
    """Topics of one's own, with two partitions each."""
    return stream_config(partitions=2)


@pytest.fixture
def write(config: StreamConfig) -> Iterator[Write]:
    """Writes dead letters of battles at given offsets of partition 1, as the stream does: in a transaction."""
    with closing(make_producer(config, transactional_id=f"{config.group_id}-w")) as producer:
        producer.init_transactions()

        def write(
            offsets: Iterable[int],
            reason: Reason = Reason.NOT_JSON,
            *,
            partition: int = 0,
            left_out: bool = False,
            commit: bool = True,
            group: str | None = None,
            **record: Any,
        ) -> None:
            producer.begin_transaction()
            for offset in offsets:
                message = _dead_letter(config, offset, reason, **record)
                if left_out:
                    message = shrink(message) or message
                if group:
                    message.headers.append((HEADER_GROUP, group.encode()))  # as the sink does
                producer.send(
                    config.dead_letters_topic, message.value, message.key, message.headers, partition=partition
                )
            if commit:
                producer.commit_transaction()
            else:
                producer.flush()
                producer.abort_transaction()

        yield write


def _dead_letter(config: StreamConfig, offset: int, reason: Reason, **record: Any) -> Message:
    fields = {
        "topic": config.battles_topic,
        "partition": 1,
        "offset": offset,
        "timestamp": 1_700_000_000_000,
        "key": b"battle-%d" % offset,
        "value": b'{"id": %d, "prompt"' % offset,
        "headers": [("traceparent", b"00-ab-cd-01")],
        **record,
    }
    return dead_letter(Event.of(SimpleNamespace(**fields), 1), reason, InvalidEventError(reason, "at byte 7"))


def _call(config: StreamConfig, *arguments: str, text: str | None = None) -> Result:
    command = [arguments[0], "--bootstrap-servers", config.bootstrap_servers, "--topic", config.dead_letters_topic]
    if arguments[0] == "retry" and "--group" not in arguments:
        command += ["--group", f"{config.group_id}-retries"]
    return CliRunner().invoke(dead_letters, [*command, *arguments[1:]], input=text, env={"COLUMNS": "120"})


def _retry(config: StreamConfig, *arguments: str, text: str | None = None) -> Result:
    result = _call(config, "retry", *arguments, text=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def _battles(config: StreamConfig, topic: str | None = None) -> list[DeadLetter]:
    """What a read_committed reader sees on the battles' topic."""
    letters = read_dead_letters(config, topic or config.battles_topic)  # reads any topic
    return sorted(letters, key=lambda letter: letter.position)


def _keys(records: Iterable[DeadLetter]) -> list[str]:
    return [(record.key or b"").decode() for record in records]


def test_list_shows_position_reason_message_origin_key_and_counts(config: StreamConfig, write: Write) -> None:
    write([42], group="nightly")
    write([43], Reason.NULL_VALUE, value=None)
    result = _call(config, "list")
    assert result.exit_code == 0
    for text in ("nightly", "0/0", "not_json", "at byte 7", "/1/42", "battle-42", "19 B", "null_value", "in all"):
        assert text in result.stdout


@pytest.mark.parametrize("columns", [80, 120])
def test_list_fits_the_terminal(config: StreamConfig, write: Write, columns: int) -> None:
    write([42], key=b"0e7d6e0b-54b8-4d68-9d6b-5f1a3a6f0d0f")
    result = CliRunner().invoke(
        dead_letters,
        ["list", "--bootstrap-servers", config.bootstrap_servers, "--topic", config.dead_letters_topic],
        env={"COLUMNS": str(columns)},
    )
    assert max(map(len, result.stdout.splitlines())) <= columns
    assert "…" not in result.stdout


def test_in_a_pipe_a_list_is_not_wrapped(config: StreamConfig, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    write([42], key=b"k" * 36, group="g" * 100)
    result = CliRunner().invoke(
        dead_letters,
        ["list", "--bootstrap-servers", config.bootstrap_servers, "--topic", config.dead_letters_topic],
    )
    assert "g" * 100 in result.stdout
    assert max(map(len, result.stdout.splitlines())) < 400


@pytest.mark.parametrize("topic", ["battles", "preferences"])
@pytest.mark.parametrize("words", [["list"], ["show", "0/0"], ["retry", "--all"], ["retry", "0/0"]], ids=" ".join)
def test_a_topic_of_something_else_holds_no_dead_letters(config: StreamConfig, topic: str, words: list[str]) -> None:
    result = CliRunner().invoke(
        dead_letters, [*words, "--bootstrap-servers", config.bootstrap_servers, "--topic", topic]
    )
    assert isinstance(result.exception, UsageError)
    assert f"{topic} is the topic of {topic}; dead letters are on battles.dead-letters" in str(result.exception)


def test_nor_does_one_that_a_position_names(config: StreamConfig) -> None:
    result = CliRunner().invoke(
        dead_letters, ["show", "preferences/0/0", "--bootstrap-servers", config.bootstrap_servers]
    )
    assert "preferences is the topic of preferences" in str(result.exception)


def test_list_json_prints_one_object_a_line(config: StreamConfig, write: Write) -> None:
    write([7, 8], group="nightly")
    lines = [json.loads(line) for line in _call(config, "list", "--json").stdout.splitlines()]
    assert [line["position"] for line in lines] == [f"{config.dead_letters_topic}/0/{offset}" for offset in (0, 1)]
    assert lines[0] | {"time": "", "position": ""} == {
        "position": "",
        "time": "",
        "reason": "not_json",
        "message": "not_json: at byte 7",
        "origin": f"{config.battles_topic}/1/7",
        "group": "nightly",
        "key": "battle-7",
        "size": 18,
        "left_out": False,
        "retries": 0,
    }


def test_list_ends_behind_aborted_and_empty_transactions(config: StreamConfig, write: Write) -> None:
    write([1])
    write([2], commit=False)
    write([], partition=1)
    letters = list(read_dead_letters(config, config.dead_letters_topic))
    assert [letter.key for letter in letters] == [b"battle-1"]


def test_list_filters_by_reason_and_time_and_limits_to_the_newest(config: StreamConfig, write: Write) -> None:
    write([1, 2])
    write([3], Reason.TOO_DEEP)

    def keys(*arguments: str) -> list[str]:
        return [json.loads(line)["key"] for line in _call(config, "list", "--json", *arguments).stdout.splitlines()]

    assert keys("--reason", "too_deep") == ["battle-3"]
    assert keys("--limit", "1") == ["battle-3"]
    assert keys("--since", "1h") == ["battle-1", "battle-2", "battle-3"]
    assert keys("--since", "2999-01-01") == []


def test_listing_commits_nothing_and_makes_no_group(config: StreamConfig, write: Write) -> None:
    write([1])
    with admin_client(config) as admin:
        before = {group["group_id"] for group in admin.list_groups()}
        _call(config, "list")
        made = {group["group_id"] for group in admin.list_groups()} - before
    # Other tests make groups on the same broker meanwhile, each by a name of its own.
    assert not {group for group in made if group == DEFAULT_GROUP or config.group_id in group}


def test_a_reason_that_is_none_is_refused_with_the_nearest(config: StreamConfig) -> None:
    result = _call(config, "list", "--reason", "not_jsn")
    assert isinstance(result.exception, UsageError)
    assert "did you mean not_json?" in str(result.exception)


def test_a_missing_topic_is_named(config: StreamConfig) -> None:
    result = CliRunner().invoke(
        dead_letters, ["list", "--bootstrap-servers", config.bootstrap_servers, "--topic", "nowhere"]
    )
    assert isinstance(result.exception, TopicMissingError)
    assert "nowhere" in str(result.exception)


def test_show_prints_headers_and_value_with_control_characters_escaped(config: StreamConfig, write: Write) -> None:
    write([5], value=b"\x1b[2J\xe2\x80\xae[bold]evil \xff\nsecond line", headers=[("h\x07", b"\x9b31m")])
    output = _call(config, "show", "0/0").stdout
    assert "\\x1b[2J\\u202e[bold]evil \\xff\nsecond line" in output
    assert "h\\x07: \\x9b31m" in output
    assert f"{HEADER_TOPIC}: {config.battles_topic}" in output
    assert re.search(rf"{HEADER_ORIGINAL_TIMESTAMP}: \d+ \(20\d\d-\d\d-\d\dT[0-9:.]+Z\)", output)
    assert not any(ord(character) < 32 and character != "\n" for character in output)


def test_show_raw_writes_the_bytes_and_nothing_else(config: StreamConfig, write: Write) -> None:
    write([5], value=b"\x00\xff\x1b")
    assert _call(config, "show", "--raw", f"{config.dead_letters_topic}/0/0").stdout_bytes == b"\x00\xff\x1b"


@pytest.mark.parametrize("position", ["0/99", "9/0", "0/1"])
def test_show_says_when_nothing_stands_there(config: StreamConfig, write: Write, position: str) -> None:
    """0/1 is the marker of the transaction: an offset without a record."""
    write([5])
    result = _call(config, "show", position)
    assert isinstance(result.exception, UsageError)
    assert position in str(result.exception)


def test_retry_sends_the_original_record_to_where_it_came_from(config: StreamConfig, write: Write) -> None:
    write([5])
    result = _retry(config, "0/0", "--yes")
    assert result.exit_code == 0
    [record] = _battles(config)
    assert (record.position.partition, record.key, record.value) == (1, b"battle-5", b'{"id": 5, "prompt"')
    assert list(record.headers) == [("traceparent", b"00-ab-cd-01"), ("prefstream.retries", b"1")]


def test_retries_are_counted_up(config: StreamConfig, write: Write) -> None:
    write([5], headers=[("prefstream.retries", b"2")])
    _retry(config, "0/0", "--yes")
    [record] = _battles(config)
    assert list(record.headers) == [("prefstream.retries", b"3")]


def test_what_failed_again_is_not_sent_round_and_round(config: StreamConfig, write: Write) -> None:
    """A job that sends back what was never sent would do so for ever: each failure is a new dead letter."""
    write([1], headers=[("prefstream.retries", b"1")])
    write([2])
    result = _retry(config, "--all", "--yes")
    assert "Sent back: 1" in result.stdout
    assert "Left out because they failed again after being sent back: 1." in result.stdout
    assert _keys(_battles(config)) == ["battle-2"]
    result = _retry(config, "--all", "--max-retries", "2", "--yes")
    assert "sent back before" in result.stdout
    assert _keys(_battles(config)) == ["battle-2", "battle-1"]


def test_retry_all_twice_sends_nothing_twice(config: StreamConfig, write: Write) -> None:
    write([1, 2])
    write([3], partition=1)
    assert "Sent back: 3" in _retry(config, "--all", "--yes").stdout
    assert "Nothing to send back" in _retry(config, "--all", "--yes").stdout
    write([4])
    assert "Sent back: 1" in _retry(config, "--all", "--yes").stdout
    assert sorted(_keys(_battles(config))) == ["battle-1", "battle-2", "battle-3", "battle-4"]


def test_a_record_that_two_groups_could_not_score_is_sent_once_and_told(config: StreamConfig, write: Write) -> None:
    write([1, 2], group="live")
    write([1, 2], Reason.TOO_DEEP, group="nightly", partition=1)
    result = _retry(config, "--all", "--yes")
    assert "Sent back: 2" in result.stdout
    assert "another dead letter of the same record is sent back, or was: 2" in " ".join(result.stdout.split())
    assert "Nothing to send back" in _retry(config, "--all", "--yes").stdout
    assert sorted(_keys(_battles(config))) == ["battle-1", "battle-2"]


def test_a_record_is_not_sent_again_for_a_group_that_comes_to_it_later(config: StreamConfig, write: Write) -> None:
    write([1], group="live")
    _retry(config, "--all", "--yes")
    write([1, 2], group="nightly")
    assert "Sent back: 1" in _retry(config, "--all", "--yes").stdout
    assert "Nothing to send back" in _retry(config, "--all", "--yes").stdout
    assert sorted(_keys(_battles(config))) == ["battle-1", "battle-2"]


def test_of_one_record_the_dead_letter_that_has_the_value_is_sent(config: StreamConfig, write: Write) -> None:
    write([1], group="live", left_out=True)
    write([1], group="nightly")
    assert _retry(config, "--all", "--yes").exit_code == 0
    assert _keys(_battles(config)) == ["battle-1"]


def test_a_limit_counts_records_and_leaves_the_others_for_later(config: StreamConfig, write: Write) -> None:
    write([1, 2], group="live")
    write([1, 2], group="nightly")
    for _ in range(2):
        assert "Sent back: 1" in _retry(config, "--all", "--limit", "1", "--yes").stdout
    assert sorted(_keys(_battles(config))) == ["battle-1", "battle-2"]


def test_records_of_a_topic_that_was_recreated_are_not_taken_for_those_before(
    config: StreamConfig, write: Write
) -> None:
    """The same offsets again, at another time."""
    write([1], group="live")
    write([1], group="live", key=b"new-1", timestamp=1_800_000_000_000)
    assert "Sent back: 2" in _retry(config, "--all", "--yes").stdout
    assert sorted(_keys(_battles(config))) == ["battle-1", "new-1"]


def test_reasons_retried_one_by_one_leave_nothing_out_and_send_nothing_twice(
    config: StreamConfig, write: Write
) -> None:
    for offset in range(0, 12, 3):
        write([offset], Reason.NOT_JSON)
        write([offset + 1, offset + 2], Reason.TOO_DEEP)
    assert "Sent back: 8" in _retry(config, "--reason", "too_deep", "--yes").stdout
    assert "Nothing" in _retry(config, "--reason", "too_deep", "--yes").stdout
    assert "Sent back: 2" in _retry(config, "--reason", "not_json", "--limit", "2", "--yes").stdout
    assert "Sent back: 2" in _retry(config, "--all", "--yes").stdout
    assert sorted(_keys(_battles(config))) == sorted(f"battle-{offset}" for offset in range(12))


def test_when_all_is_sent_the_groups_lag_is_zero(config: StreamConfig, write: Write) -> None:
    write([1, 2])
    _retry(config, "--reason", "not_json", "--yes")
    with closing(make_consumer(config, group_id=f"{config.group_id}-retries")) as consumer:
        [partition] = [p for p in _partitions(consumer, config) if p.partition == 0]
        committed = consumer.committed(partition, metadata=True)
        assert (committed.offset, committed.metadata) == (consumer.end_offsets([partition])[partition], "")


def _partitions(consumer: Any, config: StreamConfig) -> list[Any]:
    from kafka import TopicPartition

    return [
        TopicPartition(config.dead_letters_topic, p) for p in consumer.partitions_for_topic(config.dead_letters_topic)
    ]


def test_a_position_is_sent_again_and_all_leaves_it_out(config: StreamConfig, write: Write) -> None:
    write([1, 2])
    _retry(config, "0/0", "--yes")
    _retry(config, "0/0", "--yes")
    assert "Sent back: 1" in _retry(config, "--all", "--yes").stdout
    assert _keys(_battles(config)) == ["battle-1", "battle-1", "battle-2"]


def test_positions_far_apart_are_found(config: StreamConfig, write: Write) -> None:
    write(range(1200))
    _retry(config, "0/1199", "0/0", "0/600", "--yes")
    assert _keys(_battles(config)) == ["battle-0", "battle-600", "battle-1199"]


def test_a_value_that_was_left_out_is_refused_with_exit_code_3_and_the_rest_is_sent(
    config: StreamConfig, write: Write
) -> None:
    write([1], left_out=True)
    write([2])
    result = _retry(config, "--all", "--yes")
    assert result.exit_code == 3
    assert "too large to copy" in result.stdout
    assert _keys(_battles(config)) == ["battle-2"]


def test_without_an_origin_retry_needs_a_destination(config: StreamConfig) -> None:
    with closing(make_producer(config)) as producer:
        producer.send(config.dead_letters_topic, b"x", b"k", partition=0).get(100)
    assert _retry(config, "--all", "--yes").exit_code == 3
    assert _retry(config, "--all", "--yes", "--to", config.preferences_topic).exit_code == 0
    assert _keys(_battles(config, config.preferences_topic)) == ["k"]


def test_an_origin_that_an_upstream_producer_claims_is_not_believed_and_goes_back_as_it_came(
    config: StreamConfig, write: Write
) -> None:
    claimed = [(HEADER_TOPIC, config.preferences_topic.encode()), ("prefstream.original.timestamp", b"0")]
    write([1], headers=claimed)
    _retry(config, "--all", "--yes")
    [record] = _battles(config)
    assert list(record.headers) == [*claimed, ("prefstream.retries", b"1")]


def test_a_null_value_is_sent_back_as_null(config: StreamConfig, write: Write) -> None:
    write([1], Reason.NULL_VALUE, value=None)
    _retry(config, "--all", "--yes")
    [record] = _battles(config)
    assert record.value is None


def test_a_destination_that_does_not_exist_is_named_before_anything_is_sent(config: StreamConfig, write: Write) -> None:
    write([1])
    with pytest.raises(TopicMissingError, match="nowhere"):
        _retry(config, "--all", "--yes", "--to", "nowhere")
    assert _battles(config) == []


def test_dry_run_and_a_no_send_nothing(config: StreamConfig, write: Write) -> None:
    write([1])
    assert _retry(config, "--all", "--dry-run").exit_code == 0
    assert "Nothing was sent." in (declined := _retry(config, "--all", text="n\n")).stdout
    assert declined.exit_code == 0
    with pytest.raises(UsageError, match="give --yes"):
        _retry(config, "--all", text="")
    assert _battles(config) == []
    assert _retry(config, "--all", text="y\n").exit_code == 0
    assert len(_battles(config)) == 1


def test_retry_without_a_choice_is_refused(config: StreamConfig) -> None:
    with pytest.raises(UsageError, match="choose"):
        _retry(config, "--yes")


def test_an_interrupt_between_transactions_keeps_what_was_sent_and_nothing_else(
    config: StreamConfig, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefstream.consumer.dead_letters.retry.MAX_TRANSACTION_RECORDS", 2)
    write([1, 2, 3, 4, 5])
    topic, group = config.dead_letters_topic, f"{config.group_id}-retries"
    plan = make_plan(config, topic, group, Choice())

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resubmit(config, topic, group, plan, on_sent=interrupt)
    assert _keys(_battles(config)) == ["battle-1", "battle-2"]
    assert resubmit(config, topic, group, plan) == 3
    assert _keys(_battles(config)) == [f"battle-{offset}" for offset in range(1, 6)]


def test_an_interrupt_while_sending_leaves_nothing_visible(
    config: StreamConfig, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write([1, 2, 3])
    topic, group = config.dead_letters_topic, f"{config.group_id}-retries"
    plan = make_plan(config, topic, group, Choice())
    from prefstream.consumer.dead_letters import retry as module

    sends: list[str] = []
    send = module._send

    def interrupted(transaction: Transaction, letter: DeadLetter, destination: str) -> None:
        if len(sends) == 2:
            raise KeyboardInterrupt
        send(transaction, letter, destination)
        sends.append(destination)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            resubmit(config, topic, group, plan)
    assert _battles(config) == []
    assert resubmit(config, topic, group, plan) == 3


def test_ctrl_c_during_a_commit_waits_for_its_end(
    config: StreamConfig, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write([1, 2])
    topic, group = config.dead_letters_topic, f"{config.group_id}-retries"
    commit = Transaction.commit

    def interrupted(transaction: Transaction, *what: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        commit(transaction, *what)

    told: list[int] = []
    monkeypatch.setattr(Transaction, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resubmit(config, topic, group, make_plan(config, topic, group, Choice()), on_sent=told.append)
    assert told == [2]
    assert _keys(_battles(config)) == ["battle-1", "battle-2"]
    assert make_plan(config, topic, group, Choice()).entries == ()


def test_of_two_retries_at_a_time_the_later_one_wins_and_nothing_is_sent_twice(
    config: StreamConfig, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefstream.consumer.dead_letters.retry.MAX_TRANSACTION_RECORDS", 1)
    write([1, 2])
    topic, group = config.dead_letters_topic, f"{config.group_id}-retries"
    plan = make_plan(config, topic, group, Choice())
    later: list[int] = []

    def start_another(_: int) -> None:
        later.append(resubmit(config, topic, group, plan))

    with pytest.raises((FencedError, StreamError)):
        resubmit(config, topic, group, plan, on_sent=start_another)
    assert later == [1]
    assert sorted(_keys(_battles(config))) == ["battle-1", "battle-2"]


def test_a_group_that_somebody_else_uses_is_refused(config: StreamConfig, write: Write) -> None:
    from kafka import OffsetAndMetadata

    write([1])
    group = f"{config.group_id}-theirs"
    with closing(make_consumer(config, group_id=group)) as consumer:
        partition = _partitions(consumer, config)[0]
        consumer.assign([partition])
        consumer.commit({partition: OffsetAndMetadata(0, "their notes", -1)})
    with pytest.raises(UsageError, match="--group"):
        make_plan(config, config.dead_letters_topic, group, Choice())


def test_position_parses_both_forms() -> None:
    assert RecordPosition.parse("3/17", "t") == RecordPosition.parse("t/3/17", "t") == RecordPosition("t", 3, 17)


@pytest.mark.parametrize("text", ["", "3", "3/", "/3", "a/b", "t/3/17/1", "3/-1", "²/1", "other/3/17"])
def test_position_refuses_what_is_none(text: str) -> None:
    with pytest.raises(UsageError):
        RecordPosition.parse(text, "t")


def test_reason_is_kept_for_foreign_dead_letters(config: StreamConfig) -> None:
    with closing(make_producer(config)) as producer:
        producer.send(config.dead_letters_topic, b"x", headers=[(HEADER_REASON, b"theirs")], partition=0).get(100)
    [letter] = read_dead_letters(config, config.dead_letters_topic)
    assert (letter.reason, letter.origin, letter.retries) == ("theirs", None, 0)


@pytest.fixture
def killed_retry(config: StreamConfig, write: Write) -> Iterator[str]:
    """The group of a retry that was killed before it committed; its transaction is open for minutes."""
    write([1, 2])
    group = f"{config.group_id}-retries"
    with closing(make_producer(config, transactional_id=f"{group}-~retry", transaction_timeout_ms=600_000)) as killed:
        killed.init_transactions()
        killed.begin_transaction()
        killed.send(config.battles_topic, b"{", b"battle-1")
        offsets = {TopicPartition(config.dead_letters_topic, 0): OffsetAndMetadata(1, "", -1)}
        killed.send_offsets_to_transaction(offsets, group)
        killed.flush()
        yield group


def test_a_retry_ends_what_one_that_was_killed_has_left_open(config: StreamConfig, killed_retry: str) -> None:
    """Its own plan needs the group's offsets, and all readers of the battles wait for the end of that transaction."""
    assert _retry(config, "--all", "--yes", "--group", killed_retry).exit_code == 0
    assert _keys(_battles(config)) == ["battle-1", "battle-2"]


def test_a_dry_run_ends_no_transaction(config: StreamConfig, killed_retry: str) -> None:
    with pytest.raises(StreamError, match="another retry"):
        _retry(config, "--all", "--dry-run", "--group", killed_retry)
    assert _battles(config) == []


# --- of votes ------------------------------------------------------------------------------------------------------


@pytest.fixture
def votes(config: StreamConfig) -> StreamConfig:
    """Topics of votes of one's own, and on the second one a record that is no vote."""
    name = config.group_id
    made = config.model_copy(
        update={"votes_topic": f"{name}.votes", "votes_dead_letters_topic": f"{name}.votes.dead-letters"}
    )
    record = {"topic": made.votes_topic, "key": b"battle-7", "value": b'{"id": "battle-7", "winner": "nobody"}'}
    with admin_client(made) as admin:
        topics = (made.votes_topic, made.votes_dead_letters_topic)
        admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1} for topic in topics})
    message = _dead_letter(made, 7, Reason.WRONG_TYPE, **record)
    with closing(make_producer(made)) as producer:
        producer.send(made.votes_dead_letters_topic, message.value, message.key, message.headers, partition=1).get(100)
    return made


def test_what_is_no_vote_is_listed_shown_and_sent_back_to_the_votes(votes: StreamConfig) -> None:
    arguments = ["--bootstrap-servers", votes.bootstrap_servers, "--topic", votes.votes_dead_letters_topic]
    listed = CliRunner().invoke(dead_letters, ["list", "--json", *arguments])
    [line] = map(json.loads, listed.stdout.splitlines())
    assert line["position"] == f"{votes.votes_dead_letters_topic}/1/0"
    assert (line["reason"], line["origin"]) == ("wrong_type", f"{votes.votes_topic}/1/7")
    shown = CliRunner().invoke(dead_letters, ["show", "1/0", *arguments])
    assert "nobody" in shown.stdout
    for sent in (1, 0):
        again = CliRunner().invoke(
            dead_letters, ["retry", "--all", "--yes", "--group", f"{votes.group_id}-retries", *arguments]
        )
        assert again.exit_code == 0, again.exception
        assert (f"Sent back: {sent}." in again.stdout) is bool(sent)
    [back] = read_dead_letters(votes, votes.votes_topic)  # reads any topic
    assert (back.key, back.value) == (b"battle-7", b'{"id": "battle-7", "winner": "nobody"}')
    assert back.retries == 1


@pytest.mark.parametrize("field", ["battles_topic", "preferences_topic", "votes_topic", "review_topic"])
def test_a_topic_of_something_else_is_refused_with_the_one_that_holds_dead_letters(
    config: StreamConfig, field: str
) -> None:
    told = CliRunner().invoke(
        dead_letters,
        ["list", "--bootstrap-servers", config.bootstrap_servers, "--topic", "this"],
        env={f"PREFSTREAM_{field.upper()}": "this"},
    )
    assert isinstance(told.exception, UsageError)
    where = "votes.dead-letters" if field == "votes_topic" else "battles.dead-letters"
    assert str(told.exception).endswith(f"dead letters are on {where}")
