"""A panel that does not give its known answers serves nobody: not at a start, and not any more where it did."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefstream import Panel
from prefstream.consumer.cli.exit_codes import EXIT_FAULT, EXIT_USAGE, exit_code_of
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import GoldenFaultError
from prefstream.consumer.panels import golden_watch
from prefstream.scoring.errors import GoldenSetError
from prefstream.scoring.golden.record import GoldenSet
from tests.conftest import EMBEDDED
from tests.support.goldens import break_in_memory, golden_of, panel_of
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.priors import prior_entry
from tests.support.streams import (
    assert_exactly_once,
    battle_events,
    committed_offsets,
    produce,
    read_outcome,
    running,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]

pytestmark = pytest.mark.parametrize("kafka", [EMBEDDED], indirect=True)
"""What a panel answers is no broker's affair."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture
def judge(tmp_path: Path) -> dict[str, Any]:
    return make_tiny_judge(tmp_path / "gemma", "gemma2")


@pytest.fixture
def golden(judge: dict[str, Any]) -> GoldenSet:
    return golden_of(judge, count=4)


def why_not_ready(url: str | None) -> str | None:
    """What a probe hears; None where the service is ready."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=100):  # noqa: S310 - our own port
            return None
    except urllib.error.HTTPError as refused:
        with refused:
            return str(json.loads(refused.read())["reason"])


def test_a_panel_with_other_answers_does_not_begin_to_serve(stream_config: MakeConfig) -> None:
    config = stream_config()
    produce(config, battle_events(3))

    def load() -> Panel:
        panel = panel_of(prior_entry("one", (0.2, 0.3, 0.5)))
        panel.golden = golden_of(prior_entry("one"), count=2)
        return panel

    with running(config, load) as service:
        error = service.wait_ended()
    assert isinstance(error, GoldenSetError)
    assert exit_code_of(error) == EXIT_USAGE
    assert not read_outcome(config).positions
    assert not any(committed_offsets(config).values())


def test_a_card_that_breaks_while_it_serves_publishes_nothing_more(
    stream_config: MakeConfig, judge: dict[str, Any], golden: GoldenSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read since goes to whoever reads on, and is answered once: rightly."""
    monkeypatch.setattr(golden_watch, "HOLD_S", 1_000.0)
    config = stream_config(golden_every="1s", http=True, http_port=0, drain_seconds=0.5)
    loaded: list[Panel] = []

    def load() -> Panel:
        panel = panel_of(judge)
        panel.golden = golden
        loaded.append(panel)
        return panel

    sent = produce(config, battle_events(5))
    with running(config, load) as service:
        service.wait_published(5)
        sample = service.service.metrics.registry.get_sample_value
        wait_until(lambda: (sample("prefstream_golden_checks_total", {"result": "passed"}) or 0) > 1, what="a check")
        assert why_not_ready(service.service.http_url) is None
        break_in_memory(loaded[0], "gemma")
        wait_until(lambda: why_not_ready(service.service.http_url), what="the probe to say no")
        assert "judge gemma answers 4 of 4 golden battles otherwise" in str(why_not_ready(service.service.http_url))
        sent += produce(config, battle_events(5, first=5))
        wait_until(lambda: sample("prefstream_battles_consumed_total") == 10, what="more battles")
        monkeypatch.setattr(golden_watch, "HOLD_S", 0.0)
        error = service.wait_ended()
    assert isinstance(error, GoldenFaultError)
    assert exit_code_of(error) == EXIT_FAULT
    assert sample("prefstream_golden_checks_total", {"result": "failed"}) == 1
    assert len(read_outcome(config).preferences) == 5
    with running(config, load) as service:
        service.wait_published(5)
    assert_exactly_once(config, sent)
