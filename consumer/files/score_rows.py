"""What a row is in the output of `score`, by its format."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final, Literal, TypeAlias, assert_never

import orjson

from prefstream.schemas import OUTCOMES, Battle, FileSource, encode_preference
from prefstream.scoring.file_names import printable
from prefstream.scoring.files.rows import FileRecord, RejectedRow
from prefstream.scoring.files.submission import SUBMISSION_COLUMNS, WINNER_SUBMISSION_COLUMNS, csv_line
from prefstream.scoring.panel.combine import PanelAnswer

OutputFormat: TypeAlias = Literal["lmsys", "wsdm", "jsonl"]

ENDINGS: Final[dict[str, tuple[OutputFormat, ...]]] = {
    ".csv": ("lmsys", "wsdm"),
    ".jsonl": ("jsonl",),
    ".ndjson": ("jsonl",),
}
"""Formats by the endings of the files that hold them; the first one is meant where none is asked for."""


class RowWriter:
    """Makes the lines of one output.

    Args:
        output_format: `lmsys`: CSV with id and three probabilities; `wsdm`: CSV with id and winner, of which a tie is
            none; `jsonl`: whole preferences.
        source: the file that is scored.
        publish_models: in preferences, pass on who wrote the responses.
    """

    def __init__(self, output_format: OutputFormat, source: Path, *, publish_models: bool = True) -> None:
        self._publish_models = publish_models
        self._format = output_format
        self._source = printable(source.name)

    def header(self) -> bytes:
        """What stands above the first row."""
        match self._format:
            case "lmsys":
                return csv_line(SUBMISSION_COLUMNS)
            case "wsdm":
                return csv_line(WINNER_SUBMISSION_COLUMNS)
            case "jsonl":
                return b""
            case _:
                assert_never(self._format)

    def row(self, battle: Battle, line: int, answer: PanelAnswer) -> bytes:
        """One scored row. A preference is without timings, which would differ every time."""
        chances = answer.probabilities
        match self._format:
            case "lmsys":
                return csv_line((battle.id, *(repr(getattr(chances, outcome)) for outcome in OUTCOMES)))
            case "wsdm":
                return csv_line((battle.id, "model_a" if chances.model_a >= chances.model_b else "model_b"))
            case "jsonl":
                source = FileSource(file=self._source, line=line)
                preference = answer.to_preference(battle, source, publish_models=self._publish_models)
                return encode_preference(preference) + b"\n"
            case _:
                assert_never(self._format)

    def rejected_row(self, record: FileRecord[Battle], row: RejectedRow) -> bytes:
        """One rejected row, as it was given: a JSON object, with the bytes in base64 where they are no text."""
        entry: dict[str, object] = {"line": record.line, "reason": row.reason, "detail": row.detail}
        try:
            entry["raw"] = record.raw.decode()
        except UnicodeDecodeError:
            entry["raw_base64"] = base64.b64encode(record.raw).decode()
        return orjson.dumps(entry) + b"\n"
