"""The demo's board: the live page over the demo's own topics, in threads of the demo's process."""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prefstream.consumer.board.service import BoardService
from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.config import StreamConfig, TopicNames
from prefstream.consumer.errors import HttpPortInUseError

REFRESH_S: Final = 1.0
"""Somebody watches, and 64 battles are ranked in a moment."""

_ANY_PORT: Final = 0


class DemoBoard:
    """A board that serves.

    Args:
        config: what it reads, where it is to be seen.

    Attributes:
        notice: what the page tells who looks at it; None: nothing.
        error: what ended it before its time; None where nothing has.
    """

    def __init__(self, config: BoardConfig) -> None:
        self.notice: str | None = None
        self.error: Exception | None = None
        self._told: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()
        self._service = BoardService(config, notice=lambda: self.notice, on_serving=self._told.put)
        self._thread = threading.Thread(target=self._serve, name="board")

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"{self._service.url}/"

    def start(self) -> None:
        """Serve from now on.

        Raises:
            PrefstreamError: it can't.
        """
        self._thread.start()
        try:
            told = self._told.get()
        except BaseException:  # Ctrl-C: the process would wait for the thread, and it for nothing
            self.stop()
            raise
        if isinstance(told, Exception):
            self._thread.join()
            raise told

    def stop(self) -> None:
        """End it, pages that are open with it."""
        self._service.stop()
        self._thread.join()

    def _serve(self) -> None:
        try:
            self._service.run()
        except Exception as error:  # noqa: BLE001 - told at the start, or by the last screen
            self.error = error
            self._told.put(error)


@contextmanager
def demo_board(config: StreamConfig) -> Iterator[DemoBoard]:
    """Serve the page of a demo on this machine alone, and leave nothing behind.

    It has the board's own port, or a free one where another process has that. The form for battles and their texts are
    on: who looks is who started it.

    Args:
        config: of the demo's stream.

    Raises:
        PrefstreamError: nothing can be served.
    """
    with tempfile.TemporaryDirectory(prefix="prefstream-demo-") as folder:
        board = _started(config, Path(folder, "board.sqlite"))
        try:
            yield board
        finally:
            board.stop()


def _started(config: StreamConfig, file: Path) -> DemoBoard:
    board = DemoBoard(_board_config(config, file, BoardConfig.model_fields["board_http_port"].default))
    try:
        board.start()
    except HttpPortInUseError:
        board = DemoBoard(_board_config(config, file, _ANY_PORT))
        board.start()
    return board


def _board_config(config: StreamConfig, file: Path, port: int) -> BoardConfig:
    return BoardConfig.load(
        **config.model_dump(include={*TopicNames.model_fields}, exclude_unset=True),
        group_id=config.group_id,
        board_file=file,
        board_http_host="127.0.0.1",
        board_http_port=port,
        board_root_path="",
        board_refresh_s=REFRESH_S,
        board_allow_battles=True,
        board_show_texts=True,
        log_level="error",
    )
