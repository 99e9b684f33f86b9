"""What is told to whoever watches how far a file is done: a bar on a terminal, a test, nobody."""

from __future__ import annotations

from typing import Protocol

from prefstream.scoring.files.rows import RejectedRow


class FileObserver(Protocol):
    """Told by those who go through a file what happens, on the thread that called them."""

    def rejected(self, line: int, row: RejectedRow) -> None:
        """The row that starts at this line can't be used."""

    def warned(self, line: int, warning: str) -> None:
        """The row that starts at this line was used, but may have been meant otherwise."""

    def advanced(self, done_bytes: int, rows: int) -> None:
        """So many bytes of the file are done in all, and so many rows in this run."""
