"""Form, level, routing and discretion of log lines."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from prefstream.consumer.early_signals import tell_signal
from prefstream.consumer.observe import logs
from prefstream.consumer.observe.logs import (
    adopt_library_loggers,
    configure_logging,
    install_exception_hooks,
    logs_are_json,
)
from prefstream.consumer.service_settings import LogFormat
from prefstream.schemas import Battle, InvalidEventError, Reason

USER_TEXT = "the user's own words"


class Terminal(io.StringIO):
    """A stderr that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Give the process its logging back, whatever the test configured."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(capture=False)
    for name in ("prefstream", "kafka", "bitsandbytes", "transformers"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


class Stderr:
    """What the test wrote to stderr so far."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._text = ""

    @property
    def text(self) -> str:
        self._text += self._capture.readouterr().err
        return self._text

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Stderr:
    return Stderr(capsys)


def own_log() -> structlog.stdlib.BoundLogger:
    log: structlog.stdlib.BoundLogger = structlog.get_logger("prefstream.consumer.stream.stream")
    return log


def test_json_line_begins_with_time_level_logger_event(stderr: Stderr) -> None:
    configure_logging()
    own_log().info("batch_scored", battles=3, judge="gemma")
    (line,) = stderr.lines
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert (line["level"], line["logger"], line["event"]) == (
        "info",
        "prefstream.consumer.stream.stream",
        "batch_scored",
    )
    assert (line["battles"], line["judge"]) == (3, "gemma")
    stamp = datetime.fromisoformat(line["timestamp"])
    assert line["timestamp"].endswith("Z")
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 60


@pytest.mark.parametrize(
    ("log_format", "stream", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("json", Terminal, True),
        ("console", io.StringIO, False),
    ],
)
def test_form_follows_the_terminal_unless_chosen(
    log_format: LogFormat, stream: type[io.StringIO], is_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    configure_logging(log_format=log_format)
    own_log().info("ready")
    assert isinstance(sys.stderr, io.StringIO)
    assert sys.stderr.getvalue().startswith("{") == is_json


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    configure_logging()
    own_log().info("ready")
    assert "\x1b" not in terminal.getvalue()


def test_own_level_and_library_level_are_apart(stderr: Stderr) -> None:
    configure_logging("debug")
    own_log().debug("poll")
    logging.getLogger("kafka.client").info("connected")
    logging.getLogger("kafka.client").warning("node %s is gone", 1)
    assert [(line["logger"], line["event"]) for line in stderr.lines] == [
        ("prefstream.consumer.stream.stream", "poll"),
        ("kafka.client", "node 1 is gone"),
    ]


def test_own_lines_below_the_level_are_left_out(stderr: Stderr) -> None:
    configure_logging("warning")
    own_log().info("ready")
    assert stderr.text == ""


def test_libraries_never_log_below_info(stderr: Stderr) -> None:
    """kafka-python's DEBUG lines hold the bytes of records."""
    configure_logging("debug", library_level="debug")
    logging.getLogger("kafka").setLevel(logging.DEBUG)
    logging.getLogger("kafka.producer").debug("sending %r", USER_TEXT)
    logging.getLogger("kafka.producer").info("started")
    assert [line["event"] for line in stderr.lines] == ["started"]


def test_configuring_twice_prints_once_in_the_second_form(stderr: Stderr) -> None:
    configure_logging(log_format="console")
    log = own_log()
    log.info("first")
    configure_logging(log_format="json")
    log.info("second")
    own_log().info("third")
    first, second, third = stderr.text.splitlines()
    assert "first" in first
    assert [json.loads(second)["event"], json.loads(third)["event"]] == ["second", "third"]


def test_handlers_of_others_are_left_alone(stderr: Stderr) -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    configure_logging()
    assert other in logging.getLogger().handlers


def test_bound_context_is_on_every_line(stderr: Stderr) -> None:
    configure_logging()
    structlog.contextvars.bind_contextvars(group="g1")
    own_log().info("ready")
    assert stderr.lines[0]["group"] == "g1"


def test_a_line_goes_to_what_stderr_is_at_that_moment(stderr: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging()
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    own_log().info("ready")
    assert stderr.text == ""
    assert json.loads(later.getvalue())["event"] == "ready"


def test_python_warnings_are_lines_too(stderr: Stderr) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging()
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert stderr.lines[0]["logger"] == "py.warnings"


def test_plain_values_are_written_as_they_are(stderr: Stderr) -> None:
    configure_logging()
    own_log().info(
        "e", path=Path("/models/gemma"), reason=Reason.NOT_JSON, many={"a": [1, (2, None)]}, huge=2**80, on=True
    )
    line = stderr.lines[0]
    assert line["path"] == "/models/gemma"
    assert line["reason"] == "not_json"
    assert line["many"] == {"a": [1, [2, None]]}
    assert line["huge"] == str(2**80)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_other_values_are_named_by_type_only(stderr: Stderr, log_format: LogFormat) -> None:
    configure_logging(log_format=log_format)
    battle = Battle(id="1", prompt=(USER_TEXT,), response_a=("",), response_b=("",))
    own_log().info("e", battle=battle, deep=[{"b": battle}], record=USER_TEXT.encode(), error=ValueError(USER_TEXT))
    assert USER_TEXT not in stderr.text
    assert "<Battle>" in stderr.text
    assert "<bytes>" in stderr.text


def test_long_strings_are_cut_and_lone_surrogates_replaced(stderr: Stderr) -> None:
    configure_logging()
    own_log().info("e", long="x" * 100_000, odd="a\udc80")
    line = stderr.lines[0]
    assert len(line["long"]) < 3_000
    assert line["long"].endswith("(100000 characters)")
    assert line["odd"] == "a?"


def test_endless_nesting_ends(stderr: Stderr) -> None:
    configure_logging()
    endless: list[object] = []
    endless.append(endless)
    own_log().info("e", endless=endless)
    assert stderr.lines[0]["endless"] == [[[["[…]"]]]]


def fail(text: str) -> None:
    try:
        int(text)
    except ValueError as error:
        raise RuntimeError("the device is gone") from error


def test_exception_is_its_chain_with_places_and_no_locals(stderr: Stderr) -> None:
    configure_logging()
    try:
        fail(USER_TEXT)
    except RuntimeError:
        own_log().exception("batch_failed")
    (line,) = stderr.lines
    cause, error = line["exception"]
    assert (cause["type"], cause["message"]) == ("ValueError", "")
    assert (error["type"], error["message"]) == ("RuntimeError", "the device is gone")
    assert error["frames"][-1].endswith(" in fail")
    assert USER_TEXT not in stderr.text


def test_exception_on_a_console_keeps_the_same_discretion(stderr: Stderr) -> None:
    configure_logging(log_format="console")
    try:
        fail(USER_TEXT)
    except RuntimeError as error:
        own_log().error("batch_failed", exc_info=error)
    assert USER_TEXT not in stderr.text
    assert "RuntimeError: the device is gone" in stderr.text


def test_exceptions_of_libraries_take_the_same_way(stderr: Stderr) -> None:
    configure_logging()
    answers: dict[str, str] = {}
    try:
        answers[USER_TEXT]
    except KeyError:
        logging.getLogger("kafka").exception("oops")
    (line,) = stderr.lines
    assert (line["event"], line["exception"][0]["type"]) == ("oops", "KeyError")
    assert USER_TEXT not in stderr.text


def test_own_errors_keep_their_message(stderr: Stderr) -> None:
    configure_logging()
    own_log().warning("e", error=InvalidEventError(Reason.NOT_JSON, "not JSON at line 1 column 2"))
    assert (
        stderr.lines[0]["error"] == "prefstream.schemas.errors.InvalidEventError: not_json: not JSON at line 1 column 2"
    )


def test_a_line_that_cannot_be_formatted_does_not_print_its_arguments(stderr: Stderr) -> None:
    configure_logging()
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if "pytest" not in type(handler).__module__]
    logging.getLogger("kafka").warning("%d records", USER_TEXT)
    assert USER_TEXT not in stderr.text
    assert "log line of kafka" in stderr.text


def test_a_closed_stderr_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging()
    stream.close()
    own_log().info("ready")


def test_library_handlers_are_taken_away(stderr: Stderr) -> None:
    configure_logging()
    transformers = logging.getLogger("transformers")
    transformers.addHandler(logging.StreamHandler())
    transformers.propagate = False
    adopt_library_loggers()
    logging.getLogger("transformers.modeling").warning("newly initialized")
    assert [line["event"] for line in stderr.lines] == ["newly initialized"]


def test_a_library_is_as_quiet_as_asked_or_quieter(stderr: Stderr) -> None:
    """For bitsandbytes warns at every matrix product: whoever silenced it must not be undone."""
    quiet, loud = logging.getLogger("bitsandbytes"), logging.getLogger("transformers")
    quiet.setLevel(logging.CRITICAL)
    loud.setLevel(logging.INFO)
    configure_logging(library_level="error")
    quiet.error("product")
    loud.warning("advice")
    loud.error("fault")
    assert [line["event"] for line in stderr.lines] == ["fault"]


def test_crashes_of_the_process_and_of_threads_are_lines(stderr: Stderr) -> None:
    configure_logging()
    install_exception_hooks()
    try:
        int(USER_TEXT)
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=int, args=(USER_TEXT,), name="judge-gemma")
    thread.start()
    thread.join()
    assert [(line["event"], line.get("thread")) for line in stderr.lines] == [
        ("crashed", None),
        ("thread crashed", "judge-gemma"),
    ]
    assert USER_TEXT not in stderr.text


class Fragile:
    """Raises as it is freed, where nobody can catch that."""

    def __del__(self) -> None:
        raise ValueError(USER_TEXT)


def test_what_a_destructor_raises_is_a_line(stderr: Stderr) -> None:
    configure_logging()
    install_exception_hooks()
    Fragile()
    (line,) = stderr.lines
    assert (line["event"], line["exception"][0]["type"]) == ("exception ignored", "ValueError")
    assert USER_TEXT not in stderr.text


@pytest.mark.parametrize(("log_format", "json_lines"), [("json", True), ("console", False)])
def test_who_tells_a_failure_asks_for_the_form_of_the_lines(log_format: LogFormat, json_lines: bool) -> None:
    assert not logs_are_json()
    configure_logging(log_format=log_format)
    assert logs_are_json() is json_lines


def test_structlogs_capture_works_after_configuring(stderr: Stderr) -> None:
    configure_logging()
    log = own_log()
    log.info("before")
    with structlog.testing.capture_logs() as captured:
        log.info("during", n=1)
    assert captured == [{"event": "during", "n": 1, "log_level": "info"}]


# --- style


LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


def structured_events() -> Iterator[tuple[str, ast.expr]]:
    """What stands first in every call of a structlog logger in our packages, with its place."""
    root = Path(logs.__file__).resolve().parents[2]
    for path in sorted(path for room in ("schemas", "scoring", "consumer") for path in (root / room).rglob("*.py")):
        text = path.read_text()
        if "structlog.get_logger(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr=level), args=[event, *_]) if level in LEVELS:
                    if ast.unparse(owner) in {"log", "_log", "structlog.get_logger()"}:
                        yield f"{path.relative_to(root)}:{owner.lineno}", event


def test_every_event_is_the_same_short_phrase_each_time() -> None:
    """What varies stands in fields: an event that is put together can't be searched for."""
    events = dict(structured_events())
    assert len(events) > 15
    wrong = [
        place
        for place, event in events.items()
        if not isinstance(event, ast.Name)  # a literal of the caller's, handed on
        and not (isinstance(event, ast.Constant) and re.fullmatch(r"[a-z][a-z ,;'-]*[a-z]", str(event.value)))
    ]
    assert not wrong


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_line_about_a_signal_written_past_the_log_looks_like_one_of_it(
    log_format: Literal["console", "json"], capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", log_format)
    for event in ("stopping", "stopping, batches in flight are finished or given up"):
        structlog.get_logger("prefstream").info(event, signal="SIGINT")
        tell_signal(event, signal.SIGINT, log_format)
        by_log, past_it = capfd.readouterr().err.splitlines()
        stamp = r"\d{4}-\d\d-\d\dT[\d:]+\.\d{3}Z"
        by_log, past_it = (re.sub(stamp, "then", line) for line in (by_log, past_it))
        if log_format == "json":
            assert json.loads(past_it) == json.loads(by_log)
        else:
            assert past_it == by_log
