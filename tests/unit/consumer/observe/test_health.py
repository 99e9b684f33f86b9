"""Probes and scrapes over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import HttpPortInUseError, UsageError
from prefstream.consumer.observe import health
from prefstream.consumer.observe.health import HealthServer, HealthState


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("answer", "The answer.", registry=registry).set(42)
    return registry


@pytest.fixture
def state() -> HealthState:
    return HealthState()


@pytest.fixture
def server(state: HealthState, registry: CollectorRegistry) -> Iterator[HealthServer]:
    with HealthServer(state, registry) as server:
        yield server


def fetch(
    server: HealthServer, path: str, method: str = "GET", accept: str = "*/*"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=100)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def test_not_ready_until_told_and_says_why(server: HealthServer, state: HealthState) -> None:
    state.set_not_ready("loading the panel")
    status, headers, body = fetch(server, "/readyz")
    assert (status, json.loads(body)) == (503, {"status": "failed", "reason": "loading the panel"})
    assert headers["Content-Type"] == "application/json"
    state.set_ready()
    status, _, body = fetch(server, "/readyz?verbose")
    assert (status, json.loads(body)) == (200, {"status": "ok"})


def test_lives_while_not_ready(server: HealthServer) -> None:
    assert fetch(server, "/livez")[0] == 200


def test_a_missing_heartbeat_ends_liveness_and_readiness() -> None:
    clock = Clock()
    state = HealthState(clock=clock)
    state.set_ready()
    state.expect_beat("poll", within_s=30)
    clock.now += 30
    assert state.ready
    clock.now += 0.5
    assert not state.liveness().ok
    assert state.readiness().reason == "no heartbeat of poll for 30.5 s, allowed are 30 s"
    state.beat("poll")
    assert state.ready


def test_a_beat_nobody_expects_changes_nothing() -> None:
    clock = Clock()
    state = HealthState(clock=clock)
    state.beat("poll")
    clock.now += 100
    assert state.liveness().ok


def test_liveness_failure_is_served(server: HealthServer, state: HealthState) -> None:
    state.expect_beat("poll", within_s=-1)
    status, _, body = fetch(server, "/livez")
    assert status == 503
    assert "poll" in json.loads(body)["reason"]


def test_metrics_in_prometheus_and_openmetrics_form(server: HealthServer) -> None:
    status, headers, body = fetch(server, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"\nanswer 42.0\n" in body
    _, headers, body = fetch(server, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


def test_index_names_the_paths(server: HealthServer) -> None:
    assert fetch(server, "/")[2] == b"prefstream: /livez /readyz /metrics\n"


def test_head_is_get_without_the_body(server: HealthServer) -> None:
    status, headers, body = fetch(server, "/livez", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_unknown_path_is_404(server: HealthServer) -> None:
    assert fetch(server, "/livez/x")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_are_405(server: HealthServer, method: str) -> None:
    status, headers, _ = fetch(server, "/metrics", method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_nothing_is_printed(server: HealthServer, capfd: pytest.CaptureFixture[str]) -> None:
    fetch(server, "/livez")
    fetch(server, "/nowhere")
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(b"\x16\x03 not http\r\n\r\n")
        connection.recv(4096)
    assert capfd.readouterr() == ("", "")


def test_listens_on_this_machine_only_by_default(server: HealthServer) -> None:
    assert server.host == "127.0.0.1"
    assert server._server.socket.getsockname()[0] == "127.0.0.1"
    assert StreamConfig().http_host == "127.0.0.1"


def test_occupied_port_is_refused_with_the_remedy(server: HealthServer, registry: CollectorRegistry) -> None:
    with pytest.raises(HttpPortInUseError, match=rf"{server.port} on 127\.0\.0\.1 is taken.*--http-port"):
        HealthServer(HealthState(), registry, port=server.port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("192.0.2.1", 0), ("no-such-host.invalid", 0)])
def test_impossible_address_is_a_usage_error(registry: CollectorRegistry, host: str, port: int) -> None:
    with pytest.raises(UsageError):
        HealthServer(HealthState(), registry, host=host, port=port)


def test_port_can_be_taken_again_at_once(state: HealthState, registry: CollectorRegistry) -> None:
    with HealthServer(state, registry) as first:
        fetch(first, "/livez")
    with HealthServer(state, registry, port=first.port) as second:
        assert fetch(second, "/livez")[0] == 200


def test_stop_twice_and_stop_before_start(state: HealthState, registry: CollectorRegistry) -> None:
    server = HealthServer(state, registry)
    server.stop()
    server.stop()


def test_a_silent_client_holds_nobody_up(server: HealthServer) -> None:
    with socket.create_connection((server.host, server.port)) as silent:
        silent.sendall(b"GET /livez HT")
        assert fetch(server, "/livez")[0] == 200


def test_stop_cuts_open_connections(
    state: HealthState, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CONNECTION_SECONDS", 600.0)
    monkeypatch.setattr(health._Handler, "timeout", 600.0)
    before = set(threading.enumerate())
    server = HealthServer(state, registry)
    server.start()
    with socket.create_connection((server.host, server.port)) as silent:
        silent.sendall(b"GET /livez HT")
        fetch(server, "/livez")
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 100
    assert set(threading.enumerate()) == before


def drip(connection: socket.socket, seconds: float) -> None:
    for _ in range(int(seconds * 20)):
        connection.sendall(b"G")
        time.sleep(0.05)


def test_a_dripping_client_is_cut_after_the_bound(
    state: HealthState, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte renews a socket's own time-out; the bound on the whole connection does not care."""
    monkeypatch.setattr(health, "CONNECTION_SECONDS", 0.3)
    with (
        HealthServer(state, registry) as server,
        socket.create_connection((server.host, server.port)) as dripping,
        pytest.raises(OSError, match=r"(?i)broken pipe|reset"),
    ):
        drip(dripping, seconds=100)


def test_too_many_connections_are_closed_at_once(
    state: HealthState, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MAX_CONNECTIONS", 1)
    with HealthServer(state, registry) as server, socket.create_connection((server.host, server.port)) as first:
        first.sendall(b"G")
        with socket.create_connection((server.host, server.port)) as second:
            second.settimeout(100)
            assert second.recv(1) == b""


def test_ipv6(state: HealthState, registry: CollectorRegistry) -> None:
    try:
        server = HealthServer(state, registry, host="::1")
    except UsageError:
        pytest.skip("this machine has no IPv6")
    with server:
        assert server.url.startswith("http://[::1]:")
        assert fetch(server, "/livez")[0] == 200
