"""The demo's page: where it is to be seen, what it says before there is a verdict, and what stays of it."""

from __future__ import annotations

import json
import queue
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.demo.board import demo_board
from prefstream.consumer.demo.demo import demo_broker
from prefstream.consumer.errors import HttpPortInUseError
from tests.conftest import Kafka
from tests.support.streams import wait_until


@pytest.fixture
def config(kafka: Kafka) -> Iterator[StreamConfig]:
    with demo_broker(kafka.bootstrap_servers, pytest.fail) as config:
        yield config


def asked(url: str, what: str) -> Any:
    with urllib.request.urlopen(f"{url}{what}", timeout=100) as answer:  # noqa: S310 - an address of ours
        return json.load(answer)


def test_before_there_is_a_verdict_it_says_what_it_waits_for_with_form_and_texts_on(
    config: StreamConfig,
) -> None:
    with demo_board(config) as board:
        board.notice = "Judges are loading."
        wait_until(lambda: asked(board.url, "api/v1/status")["obstacle"] is None, what="the board to read")
        wait_until(lambda: asked(board.url, "api/v1/status")["notice"] == "Judges are loading.")
        assert asked(board.url, "api/v1/models")["models"] == []
        assert board.url.startswith("http://127.0.0.1:")
        assert asked(board.url, "api/v1/session").items() >= {"battles": True, "texts": True}.items()
        board.notice = None
        wait_until(lambda: asked(board.url, "api/v1/status")["notice"] is None)
        assert board.error is None


def test_where_its_port_is_taken_it_has_a_free_one(config: StreamConfig) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = BoardConfig.model_fields["board_http_port"].default
        try:
            taken.bind(("127.0.0.1", port))
            taken.listen()
        except OSError:
            pass  # by another process, as well
        with demo_board(config) as board:
            assert not board.url.endswith(f":{port}/")
            assert asked(board.url, "api/v1/status")["version"]


def test_nothing_of_it_stays(config: StreamConfig) -> None:
    before = set(threading.enumerate())
    with demo_board(config) as board:
        url = board.url
    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError, match="refused"):
        asked(url, "api/v1/status")


def test_what_keeps_it_from_serving_is_told(config: StreamConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise HttpPortInUseError("taken")

    monkeypatch.setattr("prefstream.consumer.board.api.server._listen", fail)
    with pytest.raises(HttpPortInUseError), demo_board(config):
        pass


def test_who_interrupts_its_start_is_not_kept_by_it(config: StreamConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(queue.SimpleQueue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setattr("prefstream.consumer.demo.board.queue.SimpleQueue", Interrupted)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt), demo_board(config):
        pass
    assert set(threading.enumerate()) <= before
