"""What the API takes of a battle that is tried out, whom it refuses, and what it says of texts."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import jsonschema
import pytest

from prefstream.consumer.board.api.battles import A_MINUTE, MOST_BYTES, WRITERS
from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.battles.payloads import BattleDraft, BattleTexts, SentBattle
from prefstream.consumer.board.battles.texts import TextReader
from prefstream.consumer.board.battles.writer import BattleWriter
from prefstream.consumer.errors import BrokerUnreachableError, TextsMissingError, UnconfirmedError
from prefstream.schemas import KafkaSource
from tests.support.boards import Answered, ask, open_store, served

DRAFT = {"prompt": "zqprompt", "response_a": "zqanswera", "response_b": "zqanswerb"}


class ScriptedWriter:
    """Takes battles, and does with each what it is told."""

    def __init__(self) -> None:
        self.written: list[BattleDraft] = []
        self.error: Exception | None = None
        self.let = threading.Event()
        self.let.set()

    def write(self, draft: BattleDraft) -> SentBattle:
        self.written.append(draft)
        assert self.let.wait(100)
        if self.error is not None:
            raise self.error
        return SentBattle(id="try-1", sent_at=datetime.now(UTC), source=KafkaSource(topic="b", partition=1, offset=2))


class ScriptedReader:
    """Has the texts of one battle."""

    topic = "battles"

    def read(self, battle_id: str, partition: int, offset: int) -> BattleTexts:
        if (battle_id, partition, offset) == ("b7", 1, 2):
            return BattleTexts(id="b7", prompt=("<b>",), response_a=("\u202e",), response_b=("",))
        raise TextsMissingError("another battle stands there")


@pytest.fixture
def writer() -> ScriptedWriter:
    return ScriptedWriter()


@pytest.fixture
def url(tmp_path: Path, writer: ScriptedWriter) -> Iterator[str]:
    with serving(tmp_path, cast("BattleWriter", writer), cast("TextReader", ScriptedReader())) as url:
        yield url


@contextmanager
def serving(folder: Path, battles: BattleWriter | None, texts: TextReader | None) -> Iterator[str]:
    with open_store(folder) as store, served(store, battles=battles, texts=texts) as url:
        yield url


def post(url: str, body: bytes | Iterator[bytes], **headers: str) -> Answered:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=100)
    told = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    try:
        connection.request("POST", f"{API}/battles", body, {name: text for name, text in told.items() if text})
        answer = connection.getresponse()
        return Answered(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def battle(**changes: Any) -> bytes:
    return json.dumps(DRAFT | changes).encode()


def test_a_battle_is_taken_and_told_where_it_stands(url: str, writer: ScriptedWriter) -> None:
    answer = post(url, battle())
    assert answer.status == 202
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["source"] == {"topic": "b", "partition": 1, "offset": 2}
    assert writer.written == [BattleDraft(**DRAFT)]
    document = ask(url, f"{API}/openapi.json").json
    operation = document["paths"][f"{API}/battles"]["post"]
    schema = operation["responses"]["202"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json)
    given = operation["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator(given).validate(DRAFT)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "empty"),
        (b"{", "not_json"),
        (b"[]", "not_an_object"),
        (battle(prompt=" \n"), "field prompt is empty, or blank"),
        (battle(response_a=None), "field response_a"),
        (battle(response_b=["zqanswerb"]), "field response_b"),
        (battle(zqfield="zqmodel"), "a field that is none of prompt, response_a, response_b"),
        (b'{"prompt": "zqprompt", "response_a": "zqanswera"}', "field response_b"),
        (rb'{"prompt": "zqprompt \ud800", "response_a": "", "response_b": ""}', "not_utf8"),
    ],
)
def test_what_is_no_battle_is_told_and_not_repeated(url: str, writer: ScriptedWriter, body: bytes, told: str) -> None:
    answer = post(url, body)
    assert answer.status == 422
    assert told in answer.json["detail"]
    assert "zq" not in answer.json["detail"]
    assert not writer.written


def test_the_largest_battle_is_taken_and_one_byte_more_is_not(url: str, writer: ScriptedWriter) -> None:
    room = MOST_BYTES - len(battle(response_a=""))
    assert post(url, battle(response_a="x" * room)).status == 202
    assert post(url, battle(response_a="x" * (room + 1))).status == 413
    assert len(writer.written) == 1


def test_a_body_without_a_length_is_bounded_while_it_is_read(url: str, writer: ScriptedWriter) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 10_000

    with suppress(BrokenPipeError, ConnectionResetError):  # hung up on, in the middle of it
        assert post(url, endless()).status == 413
    assert not writer.written
    assert post(url, battle()).status == 202


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_only_json_is_taken_which_no_form_can_send(url: str, writer: ScriptedWriter, media_type: str) -> None:
    assert post(url, battle(), Content_Type=media_type).status == 415
    assert not writer.written


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_pages_of_other_sites_write_nothing(url: str, writer: ScriptedWriter, headers: dict[str, str]) -> None:
    assert post(url, battle(), **headers).status == 403
    assert not writer.written


def test_so_many_are_under_way_at_once(url: str, writer: ScriptedWriter) -> None:
    writer.let.clear()
    with ThreadPoolExecutor(WRITERS) as pool:
        under_way = [pool.submit(post, url, battle()) for _ in range(WRITERS)]
        while len(writer.written) < WRITERS:
            threading.Event().wait(0.01)
        refused = post(url, battle())
        writer.let.set()
        assert [one.result().status for one in under_way] == [202] * WRITERS
    assert refused.status == 429
    assert refused.headers["retry-after"] == "1"


def test_so_many_are_taken_in_a_minute(url: str, writer: ScriptedWriter) -> None:
    assert [post(url, battle()).status for _ in range(A_MINUTE)] == [202] * A_MINUTE
    refused = post(url, battle())
    assert refused.status == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert len(writer.written) == A_MINUTE


def test_brokers_that_are_away_are_told(url: str, writer: ScriptedWriter) -> None:
    writer.error = BrokerUnreachableError("no connection; nothing was written")
    answer = post(url, battle())
    assert (answer.status, answer.json) == (503, {"detail": "no connection; nothing was written"})
    writer.error = UnconfirmedError("may be written, as try-1", "try-1")
    answer = post(url, battle())
    assert (answer.status, answer.json) == (503, {"detail": "may be written, as try-1", "id": "try-1"})


def test_texts_are_those_of_the_battle_and_stored_nowhere(url: str) -> None:
    answer = ask(url, f"{API}/texts?id=b7&partition=1&offset=2&topic=battles")
    assert answer.status == 200
    assert answer.json == {"id": "b7", "prompt": ["<b>"], "response_a": ["\u202e"], "response_b": [""]}
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("id=b8&partition=1&offset=2", 404, "another battle stands there"),
        ("id=b7&partition=1&offset=2&topic=votes", 404, "only battles on battles are read"),
        ("id=b7&partition=-1&offset=2", 422, "partition"),
        ("id=b7&partition=1&offset=9223372036854775808", 422, "offset"),
        ("id=b7&partition=1", 422, "offset"),
    ],
)
def test_where_there_are_no_texts_it_is_told_why(url: str, query: str, status: int, told: str) -> None:
    answer = ask(url, f"{API}/texts?{query}")
    assert answer.status == status
    assert told in answer.json["detail"]
    assert answer.headers["cache-control"] == "no-store"


def test_what_nobody_allowed_is_not_there_and_says_how_it_would_be(tmp_path: Path) -> None:
    with serving(tmp_path, None, None) as url:
        refused = post(url, battle())
        assert (refused.status, "--allow-battles" in refused.json["detail"]) == (404, True)
        unseen = ask(url, f"{API}/texts?id=b7&partition=1&offset=2")
        assert (unseen.status, "--show-texts" in unseen.json["detail"]) == (404, True)
        session = ask(url, f"{API}/session").json
        assert (session["battles"], session["texts"]) == (False, False)
