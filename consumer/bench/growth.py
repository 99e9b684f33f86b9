"""How memory and speed grow with a file of battles, for each command that reads one through.

There is no second program here: what is compared is a command with itself, on more rows. Each run is a fresh process;
what a row adds to the peak is told between two sizes, so that what the libraries take cancels out.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from prefstream.schemas import OUTCOMES
from prefstream.scoring.bench.process import run_worker
from prefstream.scoring.bench.throughput import filler
from prefstream.scoring.config import ModelJudgeConfig, PanelConfig
from prefstream.scoring.errors import ConfigError

DEFAULT_ROWS: Final = (1_000, 10_000)

_WORKER: Final = "prefstream.consumer.bench.growth_worker"

_PANEL: Final = "panel.yaml"

_TOKENS: Final = {"prompt": 50, "response_a": 140, "response_b": 140}
"""Of a battle: 2 KB."""

_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "score": ("score", "FILE", "-o", "OUT/preferences.jsonl", "--panel", "PANEL"),
    "evaluate": ("evaluate", "FILE", "--json", "OUT/evaluation.json", "--panel", "PANEL", "--bias"),
    "calibrate": ("calibrate", "FILE", "-o", "OUT/calibration.json", "--panel", "PANEL"),
    "finetune": ("finetune", "FILE", "-r", "lexical", "-o", "OUT/lexical"),
}
"""By name, as they are called; the words in capitals are put in."""

COMMANDS: Final = tuple(_COMMANDS)
"""What can be measured."""


@dataclass(frozen=True, slots=True)
class GrowthRun:
    """One command on one file.

    Attributes:
        command: its name.
        rows: of the file.
        seconds: that it took, imports included.
        cpu_seconds: that its process computed, over all cores.
        peak_memory_bytes: most memory that it held.
        bytes_per_row: what each row beyond those of the next smaller file added to that; None of the smallest file.
    """

    command: str
    rows: int
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    bytes_per_row: float | None = None

    def to_fields(self) -> dict[str, Any]:
        """For a JSON file, with the rates."""
        rates = {"rows_per_s": self.rows / self.seconds, "rows_per_cpu_s": self.rows / self.cpu_seconds}
        return {**asdict(self), **rates}


def growth(
    config: PanelConfig,
    sizes: Sequence[int] = DEFAULT_ROWS,
    *,
    commands: Sequence[str] = COMMANDS,
    say: Callable[[str], None],
) -> list[GrowthRun]:
    """Run commands on files of different sizes, by the judges of a panel that don't read: others would take days.

    Args:
        config: of a panel with at least one such judge.
        sizes: rows of each file; told in ascending order.
        commands: of `COMMANDS`; `finetune` fits a judge of features, whatever the panel.
        say: told what is being run, a line at a time.

    Returns:
        Command by command, sizes ascending.

    Raises:
        ConfigError: every judge of the panel reads.
        BenchError: a run failed.
    """
    runs: dict[str, list[GrowthRun]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory(prefix="prefstream-bench-") as folder:
        _write_panel(config, Path(folder, _PANEL))
        for rows in sorted(set(sizes)):
            for name, before in runs.items():
                say(f"{name}, {rows:,} rows")
                before.append(_run(name, rows, Path(folder), before[-1] if before else None))
    return [run for of_command in runs.values() for run in of_command]


def _run(name: str, rows: int, folder: Path, before: GrowthRun | None) -> GrowthRun:
    out = folder / f"{name}-{rows}"
    out.mkdir()
    put_in = {"FILE": str(_battles(folder, rows)), "PANEL": str(folder / _PANEL)}
    words = [put_in.get(word, word.replace("OUT", str(out))) for word in _COMMANDS[name]]
    request = out / "request.json"
    request.write_text(json.dumps(words), encoding="utf-8")
    found = run_worker(_WORKER, name, request)
    added = None
    if before is not None:
        added = (found["peak_memory_bytes"] - before.peak_memory_bytes) / (rows - before.rows)
    return GrowthRun(name, rows, **found, bytes_per_row=added)


def _write_panel(config: PanelConfig, path: Path) -> None:
    """Write the judges that import no torch as a panel of their own."""
    judges = [judge for judge in config.judges if not isinstance(judge, ModelJudgeConfig)]
    if not judges:
        raise ConfigError(
            "bench growth", ("every judge of the panel reads, which takes days; give a panel with another one",)
        )
    entries = [judge.model_dump(mode="json", exclude_none=True) for judge in judges]
    path.write_text(yaml.safe_dump({"judges": entries}), encoding="utf-8")


def _battles(folder: Path, rows: int) -> Path:
    """Battles on as many prompts, which somebody judged; the same for every command."""
    path = folder / f"{rows}.jsonl"
    if not path.exists():
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in _rows(rows))
    return path


def _rows(count: int) -> Iterator[dict[str, str]]:
    words = random.Random(0)  # noqa: S311 - text to measure with, not a secret
    for number in range(count):
        texts = {field: filler(words, tokens) for field, tokens in _TOKENS.items()}
        yield {"id": f"bench-{number}", **texts, "winner": words.choice(OUTCOMES)}
