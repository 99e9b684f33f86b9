"""Structured logs: one line per event on stderr, JSON for machines, columns for people, never a user's text.

prefstream's own lines and those of its libraries go through the same renderer. Three things keep text of events out:

* A value is written only if it is plain (number, string, path, list or mapping of those); of anything else, a record's
  bytes or a `Battle` for instance, only the type's name is.
* Of an exception the type and the places are written, local variables never, and the message only where its class is
  known to speak of machinery and not of data.
* A library never logs below INFO: kafka-python's DEBUG lines hold the bytes of records.

An event is a short phrase in lower case that says what happened, and after a comma what follows from it, in the words
of Kafka and of torch where they have one: `transaction aborted, retrying`. It is the same text every time, so that grep
and alerts find it; what varies stands in fields, a quantity with its unit in the name (`commit_s`), an exception as
`error`, by the name of its class.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import singledispatch
from pathlib import PurePath
from types import NoneType, TracebackType
from typing import TYPE_CHECKING, Any, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from prefstream.consumer.observe.library_noise import NOISE
from prefstream.consumer.service_settings import LogFormat, LogLevel
from prefstream.schemas import PrefstreamError

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_OWN_LOGGER: Final = "prefstream"
_LIBRARIES_WITH_HANDLERS: Final = ("transformers", "huggingface_hub", "peft", "bitsandbytes", "torch")
"""They print to stderr by handlers of their own unless those are taken away."""

_MAX_STRING_CHARS: Final = 2_000
"""A longer string in a log line is a mistake; it is cut, with its length stated."""

_MAX_DEPTH: Final = 4
"""Nesting of a logged value that is still read by anyone."""

_MAX_FRAMES: Final = 30
"""Innermost frames of a traceback: enough to see through transformers' layers."""

_SPEAKS_OF_MACHINERY: Final = (PrefstreamError, OSError, RuntimeError, MemoryError, ImportError, TimeoutError)
"""Exceptions whose messages are logged. KafkaError and torch's errors are RuntimeErrors. A ValueError, TypeError or
KeyError often quotes the value that it is about."""


def configure_logging(
    level: LogLevel = "info", log_format: LogFormat = "auto", *, library_level: LogLevel = "warning"
) -> None:
    """Send every log line of this process to stderr in one form. A second call replaces the first.

    Args:
        level: of prefstream's own lines.
        log_format: `auto` is `console` on a terminal and `json` elsewhere.
        library_level: of all other lines; below INFO counts as INFO.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    handler = _StderrHandler(as_json=as_json)
    handler.addFilter(_is_printable)
    if level != "debug":
        handler.addFilter(NOISE)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.add_log_level],
            processors=[
                _stamp,
                _render_exception if as_json else _render_exception_as_text,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _plain_values,
                _render_json if as_json else _console_renderer(),
            ],
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _StderrHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(_level_number(library_level), logging.INFO))
    logging.getLogger(_OWN_LOGGER).setLevel(_level_number(level))
    logging.captureWarnings(capture=True)
    adopt_library_loggers()
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # A cached logger would stay deaf to a later configuration; log lines are too few for its speed to count.
        cache_logger_on_first_use=False,
    )


def logs_are_json() -> bool:
    """Whether this process's log lines are JSON; False where logging was not set up."""
    return any(handler.as_json for handler in logging.getLogger().handlers if isinstance(handler, _StderrHandler))


def adopt_library_loggers() -> None:
    """Take away the handlers that model libraries give themselves, so that their lines reach ours.

    transformers and others add them when they are imported: call this again once the panel is loaded.
    """
    for name in _LIBRARIES_WITH_HANDLERS:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.propagate = True
        if logger.level < logging.getLogger().level:
            logger.setLevel(logging.NOTSET)  # the root's level holds; one that was made stricter on purpose stays


def install_exception_hooks() -> None:
    """Log what ends the process or a thread unexpectedly, instead of Python's traceback with its messages."""
    log = structlog.get_logger("prefstream")

    def log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        log.critical("crashed", exc_info=error)

    def log_thread_crash(crash: threading.ExceptHookArgs) -> None:
        if crash.exc_type is not SystemExit:
            thread = crash.thread.name if crash.thread is not None else "unknown"
            log.critical("thread crashed", thread=thread, exc_info=crash.exc_value)

    def log_ignored(ignored: UnraisableHookArgs) -> None:
        log.error("exception ignored", place=type(ignored.object).__qualname__, exc_info=ignored.exc_value)

    sys.excepthook = log_crash
    threading.excepthook = log_thread_crash
    sys.unraisablehook = log_ignored  # of what a destructor or a callback of the interpreter raised


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Ours, told apart by its class from handlers that others add to the root logger.

    It writes to what `sys.stderr` is at that moment: while rich shows a live table, that prints above the table.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        logging.Handler.__init__(self)  # StreamHandler's own would set `stream`, which is a property here

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Name the line that could not be written; the default prints its arguments."""
        kind = type(sys.exception()).__name__
        try:
            self.stream.write(f"log line of {record.name} at {record.pathname}:{record.lineno} failed: {kind}\n")
        except (OSError, ValueError):
            return  # stderr itself is gone


def _is_own(logger_name: str) -> bool:
    return logger_name.partition(".")[0] == _OWN_LOGGER


def _is_printable(record: logging.LogRecord) -> bool:
    """The floor under libraries holds even where one sets its own logger's level to DEBUG."""
    return record.levelno >= logging.INFO or _is_own(record.name)


def _level_number(level: LogLevel) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _stamp(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Time of the event, which is not the time of its formatting."""
    created = datetime.fromtimestamp(event["_record"].created, UTC)
    event["timestamp"] = created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


def _render_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    error = _exception_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = _describe_chain(error)
    return event


def _render_exception_as_text(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    event = _render_exception(logger, name, event)
    chain = event.pop("exception", None)
    if chain is not None:
        lines = []
        for link in chain:
            lines += [f"  {place}" for place in link["frames"]]
            lines.append(_headline(link))
        event["exception"] = "\n".join(lines)
    return event


def _exception_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exception() if exc_info else None


def _describe_chain(error: BaseException) -> list[dict[str, Any]]:
    """The exception and what caused it, the first cause first, each as type, message and places."""
    chain: list[dict[str, Any]] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        chain.append(_describe(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain[::-1]


def _describe(error: BaseException) -> dict[str, Any]:
    kind = type(error)
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    return {
        "type": kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        "message": str(error) if isinstance(error, _SPEAKS_OF_MACHINERY) else "",
        "frames": [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames],
    }


def _plain_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {str(key): _plain(value, _MAX_DEPTH) for key, value in event.items()}


def _headline(link: Mapping[str, Any]) -> str:
    return f"{link['type']}: {link['message']}" if link["message"] else str(link["type"])


@singledispatch
def _plain(value: object, _depth: int) -> object:
    """The value if it is plain, else its type's name: a repr may quote a battle."""
    return f"<{type(value).__qualname__}>"


@_plain.register(bool | float | NoneType)
def _(value: bool | float | None, _depth: int) -> object:  # noqa: FBT001
    return value


@_plain.register
def _(value: int, _depth: int) -> object:
    return value if abs(value) < 2**63 else str(value)  # JSON readers have 64 bits at most


@_plain.register(str | PurePath)
def _(value: str | PurePath, _depth: int) -> object:
    text = str(value)
    if len(text) > _MAX_STRING_CHARS:
        text = f"{text[:_MAX_STRING_CHARS]}… ({len(text)} characters)"
    return text.encode(errors="replace").decode()  # a file name may hold bytes that are no UTF-8


@_plain.register
def _(value: datetime, _depth: int) -> object:
    return value.isoformat()


@_plain.register
def _(value: Enum, depth: int) -> object:
    return _plain(value.value, depth)


@_plain.register
def _(value: BaseException, _depth: int) -> object:
    return _headline(_describe(value))


@_plain.register(Mapping)
def _(value: Mapping[object, object], depth: int) -> object:
    return {str(_plain(key, depth - 1)): _plain(entry, depth - 1) for key, entry in value.items()} if depth else "{…}"


@_plain.register(list | tuple | set | frozenset)
def _(value: Iterable[object], depth: int) -> object:
    return [_plain(entry, depth - 1) for entry in value] if depth else "[…]"


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    head = {key: event.pop(key) for key in ("timestamp", "level", "logger", "event")}
    return orjson.dumps({**head, **event}).decode()


def _console_renderer() -> Processor:
    colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return structlog.dev.ConsoleRenderer(colors=colors)


_PROCESSORS: Final[list[Processor]] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
"""One list for ever: loggers that were cached before a second `configure_logging` go on using it."""
