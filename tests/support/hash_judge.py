"""A judge whose answers show every difference that matters to `score`; run as a script, it scores a file.

Its probabilities depend on the battle, and also on every other battle of the batch: a row that is scored in another
batch than before, doubled or moved gets other bytes. Real judges do the same in their last bits.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from prefstream.consumer.files.score import score_file
from prefstream.consumer.files.score_output import ScorePaths
from prefstream.consumer.files.score_rows import OutputFormat
from prefstream.consumer.files.score_run import ScoreSummary
from prefstream.schemas import Battle, Provenance, Truncation
from prefstream.scoring.encoding.encode import Encoding
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.files.rows import RejectedRow
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.panel.panel import Panel

NOTHING_CUT = Truncation(tokens=1, dropped_prompt=0, dropped_response_a=0, dropped_response_b=0, dropped_rounds=0)
TOO_LARGE = "prompt that fits on no device"


class HashJudge:
    """Implements `prefstream.scoring.judges.judge.Judge`; a battle whose prompt is `TOO_LARGE` is too large for it."""

    name = "hash"
    weight = 1.0
    symmetric = False
    provenance = Provenance(kind="prior")
    settings: ClassVar[dict[str, object]] = {}

    def __init__(self, seconds_per_batch: float = 0.0) -> None:
        self._seconds_per_batch = seconds_per_batch

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        """One number per battle stands for its tokens; 0 for one that is too large."""
        numbers = [
            0 if battle.prompt == (TOO_LARGE,) else int.from_bytes(_digest(battle.model_dump_json().encode())[:6])
            for battle in battles
        ]
        encodings = tuple(Encoding(sequences=((number,),), truncation=NOTHING_CUT) for number in numbers)
        return JudgeBatch(count=len(battles), padded_tokens=len(battles), encodings=encodings)

    def score(self, batch: JudgeBatch) -> Scores:
        """Probabilities out of the battle's number and the whole batch's hash."""
        time.sleep(self._seconds_per_batch)
        numbers = [encoding.sequences[0][0] for encoding in batch.encodings]
        everyone = _digest(repr(numbers).encode())
        rows = [np.frombuffer(_digest(everyone + b"%d" % number), np.uint8)[:3] + 1.0 for number in numbers]
        triples = np.array([row / row.sum() for row in rows])
        too_large = {
            position: BattleTooLargeError("does not fit on the device")
            for position, number in enumerate(numbers)
            if number == 0
        }
        return Scores(triples, too_large)

    def close(self) -> None:
        """Nothing to free."""


def hash_panel(seconds_per_batch: float = 0.0) -> Panel:
    """A panel of one such judge."""
    return Panel([HashJudge(seconds_per_batch)])


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


class Recorder:
    """An `Observer` that remembers; sets `stop` after so many chunks."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop = threading.Event()
        self.rejections: list[tuple[int, str]] = []
        self.warnings: list[int] = []
        self.advances: list[tuple[int, int]] = []
        self._stop_after = stop_after

    def rejected(self, line: int, row: RejectedRow) -> None:
        """Remember it."""
        self.rejections.append((line, row.reason))

    def warned(self, line: int, warning: str) -> None:
        """Remember it."""
        self.warnings.append(line)

    def advanced(self, done_bytes: int, rows: int) -> None:
        """Remember it."""
        self.advances.append((done_bytes, rows))
        if len(self.advances) == self._stop_after:
            self.stop.set()


def score_with_hashes(
    source: Path,
    out: Path,
    *,
    recorder: Recorder | None = None,
    identity: str = "hash",
    resume: bool = False,
    force: bool = False,
    chunk_rows: int = 8,
    seconds_per_batch: float = 0.0,
    output_format: OutputFormat | None = None,
) -> ScoreSummary:
    """`score_file` with a panel of one `HashJudge`."""
    recorder = recorder or Recorder()
    with hash_panel(seconds_per_batch) as panel:
        return score_file(
            ScorePaths(out, source=source, asked_format=output_format),
            panel,
            identity=identity,
            observer=recorder,
            stop=recorder.stop,
            resume=resume,
            force=force,
            chunk_rows=chunk_rows,
        )


if __name__ == "__main__":
    print("ready", flush=True)  # noqa: T201 - imports are done: from here on a kill is worth trying
    score_with_hashes(Path(sys.argv[1]), Path(sys.argv[2]), resume=True, seconds_per_batch=float(sys.argv[3]))
