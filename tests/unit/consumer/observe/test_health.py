"""Probes and scrapes over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import hypothesis
import hypothesis.strategies as st
import pytest
from prometheus_client import CollectorRegistry, Gauge
from structlog.testing import capture_logs

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import HttpPortInUseError, UsageError
from prefstream.consumer.observe import health
from prefstream.consumer.observe.health import MAX_CONNECTIONS, HealthServer, HealthState


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


def test_a_loop_that_is_held_up_is_not_ready_before_it_is_dead() -> None:
    clock = Clock()
    state = HealthState(clock=clock)
    state.set_ready()
    state.expect_beat("poll", within_s=30, ready_within_s=10)
    clock.now += 11
    assert state.liveness().ok
    assert state.readiness().reason == "no heartbeat of poll for 11.0 s, allowed are 10 s"
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


def talk(server: HealthServer, request: bytes) -> bytes:
    """What the server answers to these bytes, until it closes the connection."""
    with socket.create_connection((server.host, server.port), timeout=100) as connection:
        with contextlib.suppress(OSError):  # it may have heard enough before the end
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while received := connection.recv(65536):
                answer += received
    return answer


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET http://[zz/livez HTTP/1.1", 400),
        (b"GET //[ HTTP/1.1", 404),
        (b"GET http://anyone/livez HTTP/1.1", 200),
        (b"GET", 400),
        (b"GET /livez HTTP/one", 400),
        (b"GET /livez HTTP/2.0", 505),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1", 414),
        (b"GET /livez HTTP/1.1\r\nX: " + b"a" * 70_000, 431),
        (b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 200, 431),
        (b"GET /livez HTTP/1.1\r\nHost: \xff\x00", 200),
    ],
    ids=lambda given: given[:40] if isinstance(given, bytes) else None,
)
def test_odd_requests_are_refused_in_words_and_not_logged(
    server: HealthServer, request_line: bytes, status: int
) -> None:
    with capture_logs() as lines:
        answer = talk(server, request_line + b"\r\n\r\n")
    assert int(answer.split()[1]) == status
    assert lines == []


@pytest.mark.parametrize("accept", ["text/plain; version=abc", "application/openmetrics-text; version=1.x"])
def test_who_accepts_a_version_that_is_none_gets_the_oldest_form(server: HealthServer, accept: str) -> None:
    with capture_logs() as lines:
        status, headers, body = fetch(server, "/metrics", accept=accept)
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\nanswer 42.0\n" in body
    assert lines == []


WORDS = (b"GET", b"HEAD", b"POST", b" ", b"/metrics", b"/livez", b"http://", b"[", b"]", b"//", b"?", b"#", b"%00")
HEADS = (b" HTTP/1.1", b"\r\n", b"\n", b"Accept:", b"text/plain", b"application/openmetrics-text", b";", b"=", b",")
VALUES = (b"version", b"escaping", b"allow-utf-8", b"1.0.0", b"0.0.4", b"-1", b"\xff", b"\x00", b"\t", b"Expect:")
raw = st.lists(st.one_of(st.sampled_from(WORDS + HEADS + VALUES), st.binary(max_size=8)), max_size=30).map(b"".join)
scrapes = raw.map(lambda accept: b"GET /metrics HTTP/1.1\r\nAccept: " + accept.replace(b"\n", b"") + b"\r\n\r\n")


@hypothesis.given(request=st.one_of(raw, scrapes))
@hypothesis.settings(
    max_examples=100, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)  # the server is meant to outlive every request
def test_no_request_whatever_leaves_a_line_in_the_log_or_a_server_that_does_not_answer(
    server: HealthServer, request: bytes
) -> None:
    with capture_logs() as lines:
        answer = talk(server, request)
        assert answer == b"" or b"HTTP/" in answer[:9] or answer.startswith((b"{", b"<", b"#", b"not", b"pref", b"GET"))
        assert fetch(server, "/livez")[0] == 200
    assert lines == []


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


def ended(connection: socket.socket) -> bool:
    """Whether the server has closed a connection; waits for that."""
    connection.settimeout(100)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_oldest_connection_makes_room_for_one_too_many(
    state: HealthState, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MAX_CONNECTIONS", 2)
    with HealthServer(state, registry) as server, contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(socket.create_connection((server.host, server.port))) for _ in ("first", "second")
        )
        assert fetch(server, "/livez")[0] == 200
        assert ended(first)
        second.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert second.recv(4096).startswith(b"HTTP/1.0 200 OK")


def test_what_is_being_answered_goes_last(
    state: HealthState, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape that takes its time is older than the idle ones that come after it."""
    monkeypatch.setattr(health, "MAX_CONNECTIONS", 3)
    scraping, go_on = threading.Event(), threading.Event()

    def slow() -> float:
        scraping.set()
        return float(go_on.wait(100))

    Gauge("slow", "Slow.", registry=registry).set_function(slow)
    with HealthServer(state, registry) as server, contextlib.ExitStack() as stack:
        scrape = stack.enter_context(socket.create_connection((server.host, server.port)))
        scrape.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert scraping.wait(100)
        idle = [stack.enter_context(socket.create_connection((server.host, server.port))) for _ in range(5)]
        assert all(ended(one) for one in idle[:3])
        go_on.set()
        scrape.settimeout(100)
        assert b"".join(iter(lambda: scrape.recv(65536), b"")).endswith(b"slow 1.0\n")


def test_five_hundred_idle_and_fifty_dripping_clients_keep_no_probe_from_its_answer(server: HealthServer) -> None:
    done = threading.Event()

    def drip_all(connections: list[socket.socket]) -> None:
        while not done.wait(0.01):
            for connection in connections:
                with contextlib.suppress(OSError):  # it has made room for another one
                    connection.sendall(b"G")

    with contextlib.ExitStack() as stack:
        dripping = [stack.enter_context(socket.create_connection((server.host, server.port))) for _ in range(50)]
        dripper = threading.Thread(target=drip_all, args=(dripping,))
        dripper.start()
        try:
            for number in range(500):
                stack.enter_context(socket.create_connection((server.host, server.port)))
                if number % 25 == 0:
                    assert fetch(server, "/livez")[0] == 200
            for path in ("/livez", "/metrics"):
                assert fetch(server, path)[0] == 200
        finally:
            done.set()
            dripper.join()
    assert len(server._server._open) <= MAX_CONNECTIONS


def test_ipv6(state: HealthState, registry: CollectorRegistry) -> None:
    try:
        server = HealthServer(state, registry, host="::1")
    except UsageError:
        pytest.skip("this machine has no IPv6")
    with server:
        assert server.url.startswith("http://[::1]:")
        assert fetch(server, "/livez")[0] == 200
