"""Scores files without Kafka. The same input and panel give the same bytes, interrupted or not.

A chunk is the unit of everything: read together, scored together, written together, and then counted in the
checkpoint. Its boundaries follow from the input alone, so a resumed run scores the very batches that an uninterrupted
one would have: the composition of a batch decides the last bits of its probabilities. Who scores it, a panel of this
process or workers elsewhere, makes no difference to that: chunks come back in their order, and are written here.

    1. Score the chunk                      a crash here: nothing of it is on the disk
    2. Append its rows, rejected ones too   a crash here: they stand beyond the checkpoint and are cut off on resuming
    3. Replace the checkpoint               a crash here: the chunk counts or it doesn't, as 2 says or as 4 does
    4. Go on with the next                  a crash here: resuming begins behind this chunk
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from prefstream.consumer.files.observer import FileObserver
from prefstream.consumer.files.score_chunks import Chunk, ChunkScorer, PanelScorer, ScoredRow
from prefstream.consumer.files.score_output import ScorePaths
from prefstream.consumer.files.score_progress import Checkpoint, PrefixHash
from prefstream.consumer.files.score_run import DEFAULT_CHUNK_ROWS, RunSettings, ScoreRun, ScoreSummary
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.panel.panel import Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """One file to score.

    Attributes:
        paths: input and output.
        observing: entered while the file is written; what it gives is told of progress and rejected rows.
        present: entered before the input is looked at, and left when it is done with: for one that has to be fetched.
    """

    paths: ScorePaths
    observing: Callable[[], AbstractContextManager[FileObserver]]
    present: Callable[[], AbstractContextManager[object]] = nullcontext


def check_score(paths: ScorePaths, settings: RunSettings) -> None:
    """Refuse what can't work, before judges are loaded.

    Raises:
        FileError: the input can't be used.
        UsageError: output or checkpoint can't be used as asked. Whether the panel is that of the interrupted run shows
            when it is loaded.
    """
    settings.check(paths)
    saved = Checkpoint.load(paths.checkpoint) if settings.resume else None
    if saved:
        with PrefixHash(paths.source) as hashed:
            saved.refuse_other(settings.beginning(paths, hashed, saved, saved.panel), paths.checkpoint)


def panel_identity(config: PanelConfig, panel: Panel) -> str:
    """Hash of all that decides a panel's answers to the last bit: two of one hash give the same probabilities.

    Stricter than `Panel.identity`, which answers carry and which is the same on another device.
    """
    calibration = Path(config.calibration).read_bytes() if config.calibration else b""
    judges = [judge.provenance.model_dump(mode="json") for judge in panel.judges]
    # Not by orjson: the path of a file may be no UTF-8.
    deciding = config.model_dump(mode="json", exclude={"golden"})  # which decides whether it answers, not what
    described = json.dumps([deciding, judges, hashlib.sha256(calibration).hexdigest()])
    return hashlib.sha256(described.encode()).hexdigest()


def score_file(
    paths: ScorePaths,
    panel: Panel,
    *,
    identity: str,
    observer: FileObserver,
    stop: threading.Event,
    resume: bool = False,
    force: bool = False,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    publish_models: bool = True,
) -> ScoreSummary:
    """Score every row of a file by a panel of this process.

    Args:
        paths: input and output.
        panel: who scores; stays open.
        identity: `panel_identity` of it; a run is resumed only with the same.
        observer: is told of progress and rejected rows.
        stop: when set, the run ends after the chunk at hand and can be resumed.
        resume: as of `RunSettings`, and so are the others.
        force: likewise.
        chunk_rows: likewise.
        publish_models: likewise.

    Raises:
        FileError: the input can't be used.
        UsageError: output or checkpoint can't be used as asked.
        StreamError: the output can't be written.
        JudgeFaultError: the panel can't answer; what was written can be resumed.
    """
    settings = RunSettings(resume=resume, force=force, chunk_rows=chunk_rows, publish_models=publish_models)
    job = ScoreJob(paths=paths, observing=lambda: nullcontext(observer))
    [summary] = score_files([job], PanelScorer(panel, identity), settings, stop)
    return summary


def score_files(
    jobs: Sequence[ScoreJob], scorer: ChunkScorer, settings: RunSettings, stop: threading.Event
) -> list[ScoreSummary]:
    """Score every row of files, one behind the other, each with an output of its own.

    While the last chunks of a file are scored, the first ones of the next are read.

    Args:
        jobs: the files.
        scorer: who scores.
        settings: how.
        stop: when set, no more is scored; every file can be resumed.

    Returns:
        What was done, of the files that were begun.

    Raises:
        FileError: an input can't be used.
        UsageError: output or checkpoint can't be used as asked.
        StreamError: an output can't be written, or workers are lost.
        JudgeFaultError: the panel can't answer; what was written can be resumed.
    """
    runs: list[ScoreRun] = []
    summaries = []
    try:
        with (
            closing(_chunks(jobs, scorer.identity, settings, runs)) as chunks,
            closing(scorer.score(chunks, stop)) as scored,
        ):
            for place, job in enumerate(jobs):
                with job.observing() as observer:
                    _write(runs, place, scored, observer)
                if place == len(runs):
                    break  # stopped before it was begun
                summaries.append(runs[place].summary())
                runs[place].close()
    finally:
        for run in runs:
            run.close()
    return summaries


def _chunks(
    jobs: Sequence[ScoreJob], identity: str, settings: RunSettings, runs: list[ScoreRun]
) -> Generator[Chunk, None, None]:
    """The chunks of all files. A file is opened when it is its turn, and added to those that are under way."""
    for job in jobs:
        run = ScoreRun(job.paths, settings, identity=identity, present=job.present())
        runs.append(run)
        yield from run.chunks()


def _write(
    runs: Sequence[ScoreRun],
    place: int,
    scored: Iterator[tuple[Chunk, Sequence[ScoredRow]]],
    observer: FileObserver,
) -> None:
    """Write one file, up to its end or for as long as chunks come."""
    for chunk, rows in scored:
        if not chunk.records:
            runs[place].finish()
            return
        runs[place].write(chunk, rows, observer)
