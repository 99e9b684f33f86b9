"""Live calibration in a thread, and votes that give it something to find."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kafka import KafkaProducer

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.recalibrate_config import RecalibrateConfig
from prefstream.consumer.votes.live.service import LiveCalibration
from tests.support.panel_folders import loader_of


def calibration_of(config: StreamConfig, folder: Path, *, dry_run: bool = False) -> LiveCalibration:
    """Live calibration of a stream, which may choose at once.

    Args:
        config: of the stream.
        folder: of its panels.
        dry_run: only tell.
    """
    fields = set(RecalibrateConfig.model_fields) & set(StreamConfig.model_fields)
    settings = RecalibrateConfig.load(
        **{name: getattr(config, name) for name in fields},
        recalibrate_later_votes=60,
        recalibrate_every="1s",
        recalibrate_http_port=0,
    )
    return LiveCalibration(settings, loader_of(folder), dry_run=dry_run)


@contextmanager
def following(config: StreamConfig, folder: Path, *, dry_run: bool = False) -> Iterator[LiveCalibration]:
    """`calibration_of` in a thread, until the block ends."""
    service = calibration_of(config, folder, dry_run=dry_run)
    thread = threading.Thread(target=service.run, name="recalibrate", daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join(20)
        assert not thread.is_alive()


def vote(config: StreamConfig, count: int, first: int = 0) -> None:
    """Say of battles, mostly, that they are a tie, each time as another person."""
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers)) as producer:
        for number in range(first, first + count):
            winner = ("model_a", "tie", "tie", "model_b", "tie", "tie", "tie", "tie", "tie", "tie")[number % 10]
            said = {"id": f"battle-{number}", "winner": winner, "voter": f"person {number}"}
            producer.send(config.votes_topic, json.dumps(said).encode(), key=said["id"].encode())
        producer.flush(60)


def decided(service: LiveCalibration, outcome: str) -> float:
    """How often a look came to that."""
    labels = {"outcome": outcome}
    return service.metrics.registry.get_sample_value("prefstream_recalibrate_decisions_total", labels) or 0.0
