"""A board's API, served over HTTP from a store that is filled."""

from __future__ import annotations

import gzip
import http.client
import json
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prefstream.consumer.board.api.app import AppSettings, create_app
from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.api.server import BoardServer
from prefstream.consumer.board.live.broadcast import Broadcast
from prefstream.consumer.board.live.feed import LiveFeed
from prefstream.consumer.board.report.reports import Reports, ReportSettings
from prefstream.consumer.board.report.surroundings import Surroundings
from prefstream.consumer.board.service import BoardService
from prefstream.consumer.board.store.records import VoteRecord
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.config import TopicNames
from prefstream.schemas.vote import Vote
from tests.support.board import BEGIN_MS, preference_record
from tests.support.processes import PREFSTREAM, Prefstream, prefstream
from tests.support.streams import wait_until

TIMEOUT_S = 100.0

NOW = datetime.fromtimestamp(BEGIN_MS / 1000, UTC) + timedelta(hours=6)
"""When tests look at a board: hours after its battles and votes."""


@dataclass(frozen=True)
class Answered:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, path: str, method: str = "GET", **headers: str) -> Answered:
    """Send one request, as it is; a packed answer is unpacked."""
    return send(url, path, method, None, **headers)


def send(url: str, path: str, method: str, body: bytes | None, /, **headers: str) -> Answered:
    """As `ask`, with a body."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        told = {name.lower(): text for name, text in response.getheaders()}
        answer = response.read()
        packed = told.get("content-encoding") == "gzip"
        return Answered(response.status, told, gzip.decompress(answer) if packed else answer)
    finally:
        connection.close()


def fill_store(store: Store, *, battles: int = 400, votes: int = 200, seed: int = 1, **changes: Any) -> None:
    """Preferences of battles, and votes on the first of them.

    Args:
        store: to fill.
        battles: how many have a preference.
        votes: how many have a vote.
        seed: of all that is drawn.
        changes: fields that every preference has.
    """
    rng = random.Random(seed)
    store.apply([preference_record(number, rng, **changes) for number in range(battles)])
    winners = ("model_a", "model_b", "tie", "both_bad")
    said = [Vote(id=f"b{number}", winner=rng.choice(winners)) for number in range(votes)]
    store.apply(votes=[VoteRecord(vote, BEGIN_MS + 10**7 + at, 0, at) for at, vote in enumerate(said)])


@contextmanager
def served(
    store: Store,
    settings: ReportSettings | None = None,
    *,
    around: Surroundings | None = None,
    port: int = 0,
    **changes: Any,
) -> Iterator[str]:
    """Serve what a store holds; yields the URL.

    Args:
        store: what is looked at.
        settings: of what is reported.
        around: what is known beside the store.
        port: 0: any free one.
        changes: of the app's settings.
    """
    with served_live(store, settings, around=around, port=port, **changes) as (url, _):
        yield url


@contextmanager
def served_live(
    store: Store,
    settings: ReportSettings | None = None,
    *,
    around: Surroundings | None = None,
    port: int = 0,
    **changes: Any,
) -> Iterator[tuple[str, Broadcast]]:
    """The same; yields where events are published, too."""
    with store.reader() as reader, store.reader() as prompt_reader:
        reports = Reports(
            reader,
            settings or ReportSettings(),
            around=around or Surroundings(),
            prompt_reader=prompt_reader,
            now=lambda: NOW,
        )
        live = LiveFeed(reports, prompt_reader, refresh_s=REFRESH_S)
        app = create_app(reports, AppSettings(live=live, **changes))
        with BoardServer(app, host="127.0.0.1", port=port) as server, live:
            yield server.url, live.broadcast


def open_store(folder: Path) -> Store:
    """A new one on the disk, as the service has it."""
    return Store(folder / "board.sqlite")


REFRESH_S = 0.1
"""A served board tells soon that numbers changed."""


@contextmanager
def running_board(names: TopicNames, folder: Path, **settings: Any) -> Iterator[str]:
    """The board as a service in a thread of this process, once it serves; yields the URL.

    What it raised is raised at the end. Its file is `board.sqlite`: another one in the same folder goes on from there.

    Args:
        names: its topics.
        folder: of its file.
        settings: of `BoardConfig`, in place of defaults that suit tests.
    """
    config = BoardConfig.load(
        **{
            "bootstrap_servers": names.bootstrap_servers,
            **{field: getattr(names, field) for field in BOARD_TOPICS},
            "board_file": folder / "board.sqlite",
            "board_http_port": 0,
            "board_refresh_s": REFRESH_S,
            **settings,
        }
    )
    service = BoardService(config)
    with ThreadPoolExecutor(1, "board") as pool:
        done = pool.submit(service.run)
        try:
            wait_until(lambda: service.url is not None or done.done(), TIMEOUT_S, "the board's address")
            if service.url is not None:
                yield service.url
        finally:
            service.stop()
            done.result(TIMEOUT_S)


STORED_TOPICS = ("preferences_topic", "votes_topic", "votes_dead_letters_topic")
"""What a look at the board takes."""

BOARD_TOPICS = (*STORED_TOPICS, "battles_topic", "dead_letters_topic")
"""What the service takes: it watches the stream, too."""


@contextmanager
def board_service(
    names: TopicNames, folder: Path, *options: str, program: str = PREFSTREAM
) -> Iterator[tuple[Prefstream, str]]:
    """`prefstream board` in a process of its own, once it serves; and where. Its file is `board.sqlite`."""
    with prefstream(
        "board",
        *topic_options(names, *BOARD_TOPICS),
        "--file", str(folder / "board.sqlite"),
        "--http-port", "0",
        *options,
        log=folder / "board.log",
        program=program,
    ) as process:  # fmt: skip
        wait_until(lambda: process.log_events("serving") or process.ended, TIMEOUT_S, "the board's first line")
        line = process.log_events("serving")[-1]
        yield process, str(line["http"]).removesuffix(f"{API}/board")


def topic_options(names: TopicNames, *fields: str) -> list[str]:
    """Where topics are, and the names of these, as options."""
    told = ["--bootstrap-servers", names.bootstrap_servers]
    for field in fields:
        told += ["--" + field.replace("_", "-"), getattr(names, field)]
    return told
