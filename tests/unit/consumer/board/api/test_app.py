"""The API as a client meets it: over HTTP, from a store that is filled."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import jsonschema
import pytest
from prometheus_client import CollectorRegistry

from prefstream.consumer.board.api.hosts import is_loopback
from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.report.choices import TableName
from prefstream.consumer.board.report.reports import ReportSettings
from prefstream.consumer.board.report.stream_payloads import (
    DeadLetterCounts,
    DeadLetterReason,
    GroupLag,
    PartitionLag,
    RecordPlace,
)
from prefstream.consumer.board.report.surroundings import Surroundings, WatchedStream
from prefstream.consumer.board.store.reader import BoardReader
from prefstream.consumer.observe.health import HealthState
from tests.support.boards import NOW, ask, fill_store, open_store, served

HOSTILE = "<script>alert(1)</script>"

WATCHED = WatchedStream(
    group="prefstream",
    lag=GroupLag(total=7, partitions=(PartitionLag(topic="battles", partition=0, lag=7),)),
    why_no_lag=None,
    dead_letters=DeadLetterCounts(
        since=NOW - timedelta(days=1),
        total=2,
        complete=True,
        reasons=(
            DeadLetterReason(
                reason="not_json",
                count=2,
                newest_at=NOW,
                newest=RecordPlace(topic="battles.dead-letters", partition=0, offset=5),
            ),
        ),
    ),
    why_no_dead_letters=None,
)


@pytest.fixture(scope="module")
def health() -> HealthState:
    return HealthState()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, health: HealthState) -> Iterator[str]:
    with open_store(tmp_path_factory.mktemp("board")) as store:
        fill_store(store)
        settings = ReportSettings(battle_url="https://chat.example.org/{id}")
        around = Surroundings(stream=lambda: WATCHED)
        with served(store, settings, around=around, health=health, registry=CollectorRegistry()) as url:
            yield url


@pytest.fixture(scope="module")
def document(url: str) -> Any:
    return ask(url, f"{API}/openapi.json").json


PATHS = [
    "board",
    "board?method=votes&style_control=true&step=hour",
    "models",
    "models?method=judges&style_control=true",
    "models?method=votes&language=English",
    "models?language=nobody%20speaks%20this",
    "models?window=day",
    "pairs",
    "ties",
    "languages",
    "time?step=hour",
    "status",
    "stream",
    "trust",
    "trust/time",
    "trust/time?step=hour",
    "review",
]


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_is_what_the_document_says(url: str, document: Any, path: str) -> None:
    answer = ask(url, f"{API}/{path}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    operation = document["paths"][f"{API}/{path.partition('?')[0]}"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json)


def test_the_whole_board_says_what_its_parts_say(url: str) -> None:
    query = "method=votes&style_control=true"
    whole = ask(url, f"{API}/board?{query}").json
    assert whole["query"]["style_control"] is True
    assert whole["strengths"] == ask(url, f"{API}/models?{query}").json
    assert whole["win_rates"] == ask(url, f"{API}/pairs?{query}").json
    assert whole["ties"] == ask(url, f"{API}/ties?{query}").json
    assert whole["trust_over_time"] == ask(url, f"{API}/trust/time").json
    assert whole["review"] == ask(url, f"{API}/review").json
    assert [line["place"] for line in whole["strengths"]["models"]] == [*range(1, 61)]
    assert whole["status"]["counters"] == {"preferences": 400, "votes": 200}
    names = [line["model"] for line in whole["strengths"]["models"]]
    assert whole["win_rates"]["models"] == names
    assert len(whole["win_rates"]["expected"]) == len(names) == len(whole["win_rates"]["expected"][0])


@pytest.mark.parametrize("table", get_args(TableName))
def test_every_table_is_there_as_csv(url: str, table: str) -> None:
    answer = ask(url, f"{API}/tables/{table}.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    head, *rows = csv.reader(io.StringIO(answer.body.decode(), newline=""), strict=True)
    assert rows
    assert {len(row) for row in rows} == {len(head)}


def test_the_stream_is_told_as_it_is_watched(url: str) -> None:
    told = ask(url, f"{API}/stream").json
    assert (told["group"], told["lag"]["total"], told["why_no_lag"]) == ("prefstream", 7, None)
    assert told["dead_letters"]["reasons"][0]["newest"] == {
        "topic": "battles.dead-letters",
        "partition": 0,
        "offset": 5,
    }
    [row] = csv.DictReader(io.StringIO(ask(url, f"{API}/tables/dead-letters.csv").body.decode(), newline=""))
    assert (row["reason"], row["count"], row["newest_offset"]) == ("not_json", "2", "5")


def test_who_watches_no_stream_says_so(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, served(store) as url:
        told = ask(url, f"{API}/stream").json
        assert (told["group"], told["lag"], told["dead_letters"], told["per_s"]) == (None, None, None, None)
        assert told["why_no_lag"] == told["why_no_dead_letters"] == "this board watches no stream"
        assert ask(url, f"{API}/status").json["fresh"] == {"ok": True, "why": None}


@pytest.mark.parametrize(
    ("around", "why"),
    [
        (Surroundings(obstacle=lambda: "connecting to the brokers"), "connecting to the brokers"),
        (Surroundings(behind=lambda: 9, behind_s=lambda: 99.0), "the board is behind"),
        (Surroundings(stream=lambda: replace(WATCHED, unanswered_s=99.0)), "the stream answers nothing"),
    ],
    ids=["obstacle", "behind", "unanswered"],
)
def test_the_status_says_whether_it_is_of_now(tmp_path: Path, around: Surroundings, why: str) -> None:
    with open_store(tmp_path) as store, served(store, around=around) as url:
        told = ask(url, f"{API}/status").json
        assert told["fresh"]["ok"] is False
        assert told["fresh"]["why"].startswith(why)
        assert told["obstacle"] == around.obstacle()


def test_where_to_look_leads_to_the_battle(url: str) -> None:
    page = ask(url, f"{API}/review").json["battles"]
    lines = ask(url, f"{API}/review.jsonl")
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.body.splitlines()] == page
    assert page
    for battle in page:
        assert battle["link"] == f"https://chat.example.org/{quote(battle['id'], safe='')}"


@pytest.mark.parametrize(
    "path",
    [
        "models?method=nobody",
        "trust/time?step=week",
        "models?metod=votes",
        f"models?language={'x' * 101}",
        "tables/none.csv",
    ],
)
def test_a_wrong_parameter_is_told_and_not_repeated(url: str, path: str) -> None:
    answer = ask(url, f"{API}/{path}")
    assert answer.status == 422
    assert set(answer.json) == {"detail"}
    assert not {"nobody", "x" * 101, "none.csv"} & set(answer.json["detail"].split("'"))


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", f"{API}/nothing", f"{API}/{quote(HOSTILE)}"])
def test_there_is_nothing_else(url: str, path: str) -> None:
    answer = ask(url, path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"
    assert HOSTILE not in answer.body.decode()
    assert f"{API}/openapi.json" in answer.json["detail"]


def test_nothing_can_be_changed(url: str) -> None:
    assert ask(url, f"{API}/board", method="POST").status == 405


def test_who_has_an_answer_is_spared_it(url: str) -> None:
    first = ask(url, f"{API}/trust")
    again = ask(url, f"{API}/trust", If_None_Match=f'"other", W/{first.headers["etag"]}')
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert ask(url, f"{API}/trust", If_None_Match='"other"').body == first.body


@pytest.mark.parametrize(("accepted", "packed"), [("gzip, br", True), ("br", False), ("gzip;q=0", False), ("", False)])
def test_an_answer_is_packed_for_those_who_take_that(url: str, accepted: str, packed: bool) -> None:
    plain = ask(url, f"{API}/pairs")
    answer = ask(url, f"{API}/pairs", Accept_Encoding=accepted)
    assert ("content-encoding" in answer.headers) is packed
    assert answer.body == plain.body


def test_no_browser_takes_an_answer_for_a_page(url: str) -> None:
    for path in (f"{API}/board", f"{API}/nothing", "/livez"):
        headers = ask(url, path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "access-control-allow-origin" not in headers


def test_probes_are_answered_as_the_stream_answers_them(url: str, health: HealthState) -> None:
    assert ask(url, "/livez").json == {"status": "ok"}
    health.set_not_ready("no broker answers")
    refused = ask(url, "/readyz")
    assert (refused.status, refused.json) == (503, {"status": "failed", "reason": "no broker answers"})
    health.set_ready()
    assert ask(url, "/readyz", method="HEAD").status == 200
    assert ask(url, "/metrics").headers["content-type"].startswith("text/plain")


def test_names_that_are_markup_come_out_as_they_are(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill_store(store, battles=60, votes=60, model_a=HOSTILE, model_b="=cmd|' /C calc'!A0")
        with served(store) as url:
            models = {line["model"] for line in ask(url, f"{API}/models").json["models"]}
            assert models == {HOSTILE, "=cmd|' /C calc'!A0"}
            assert "'=cmd" in ask(url, f"{API}/tables/models.csv").body.decode()


def test_an_empty_board_answers_too(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, served(store) as url:
        for path in PATHS:
            assert ask(url, f"{API}/{path}").status == 200, path
        assert ask(url, f"{API}/status").json["since"] is None


def test_what_can_not_be_read_is_an_answer_that_says_so(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        reader = store.reader()
        with served(store) as url:
            reader.close()
            store._connection.execute("DROP TABLE counters")
            answer = ask(url, f"{API}/status")
            assert answer.status == 503
            assert "can't be read" in answer.json["detail"]


def test_a_head_is_that_of_the_answer(url: str) -> None:
    whole, head = ask(url, f"{API}/models"), ask(url, f"{API}/models", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] == whole.headers["etag"]
    assert ask(url, f"{API}/nothing", method="HEAD").status == 404


def test_nobody_is_led_to_where_the_request_says(url: str) -> None:
    answer = ask(url, f"{API}/models/", Host="elsewhere.example")
    assert answer.status == 404
    assert "location" not in answer.headers


def test_what_fails_in_an_unforeseen_way_is_an_answer_without_particulars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OverflowError(HOSTILE)

    monkeypatch.setattr(BoardReader, "notes", fail)
    with open_store(tmp_path) as store, served(store) as url:
        answer = ask(url, f"{API}/status")
        assert answer.status == 500
        assert answer.json == {"detail": "failed; the board's log says why"}
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9465", 200),
        ("127.0.0.1:9465", 200),
        ("[::1]:9465", 200),
        ("board.localhost", 200),
        ("Board.Example.org", 200),
        ("attacker.example", 421),
        ("attacker.example:9465", 421),
        ("localhost.attacker.example", 421),
        ("127.0.0.1.attacker.example", 421),
        ("", 421),
    ],
)
def test_a_page_that_points_its_name_here_reads_nothing(known_url: str, host: str, status: int) -> None:
    answer = ask(known_url, f"{API}/status", Host=host)
    assert answer.status == status
    assert status == 200 or set(answer.json) == {"detail"}
    assert ask(known_url, "/metrics", Host=host).status == status


@pytest.fixture(scope="module")
def known_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        open_store(tmp_path_factory.mktemp("known")) as store,
        served(store, hosts=frozenset({"board.example.org"}), registry=CollectorRegistry()) as url,
    ):
        yield url


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_hosts_are_known_where_only_this_machine_can_ask(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


def test_no_two_columns_of_a_table_have_one_name(url: str) -> None:
    for table in get_args(TableName):
        head = next(csv.reader(io.StringIO(ask(url, f"{API}/tables/{table}.csv").body.decode(), newline="")))
        assert len(set(head)) == len(head), table


def test_a_language_that_nobody_writes_is_not_said_to_be_judged(url: str) -> None:
    told = ask(url, f"{API}/models?language=tlh").json
    assert told["method"] == "both"
    assert told["notes"] == ["there are neither votes nor preferences that name the models"]


def test_a_proxy_passes_the_path_on_or_takes_it_off(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, served(store, root_path="/board", health=HealthState()) as url:
        for path in (
            f"{API}/status",
            f"/board{API}/status",
            f"/board{API}/tables/models.csv",
            "/livez",
            "/board/livez",
        ):
            assert ask(url, path).status == 200, path
        assert ask(url, f"/board/board{API}/status").status == 404
        assert ask(url, f"/boards{API}/status").status == 404
        assert ask(url, f"/board{API}/openapi.json").json["servers"] == [{"url": "/board"}]
