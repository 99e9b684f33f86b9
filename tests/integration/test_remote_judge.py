"""A judge behind HTTP in the stream: its server may go away, and what readers see is that answers come later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from prefstream.consumer.config import StreamConfig
from prefstream.schemas import decode_preference
from prefstream.scoring.adapters.merge import merge_adapter
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.panel.load import load_panel
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.served import serve
from tests.support.streams import assert_exactly_once, battle_events, produce, read_topic, running, wait_until

MakeConfig = Callable[..., StreamConfig]


@pytest.fixture(autouse=True)
def small_models() -> Iterator[None]:
    with one_torch_thread():
        yield


def test_while_its_server_is_away_battles_wait_and_then_leave_exactly_once(
    stream_config: MakeConfig, tmp_path: Path
) -> None:
    """Beside the same adapter in this process, whose answers are the same."""
    here = make_tiny_judge(tmp_path / "judge", "gemma2", "pairwise")
    merge_adapter(tmp_path / "judge" / "adapter", tmp_path / "merged", base=here["base"], dtype="float32")
    config = stream_config(max_batch_battles=4)
    sent = produce(config, battle_events(12))
    with serve(tmp_path / "merged") as served:
        port = int(served.url.rpartition(":")[2])
        there = {key: here[key] for key in ("base", "adapter", "max_length")}
        there |= {"name": "there", "kind": "remote", "url": served.url, "layout": "pairwise", "patience_s": 60}
        panel = load_panel(PanelConfig.model_validate({"judges": [{**here, "name": "here"}, there]}))
    with capture_logs() as said, running(config, lambda: panel) as service:
        wait_until(
            lambda: any(line["event"] == "judge's server asked again" for line in said), what="a request in vain"
        )
        assert read_topic(config.bootstrap_servers, config.preferences_topic) == []
        with serve(tmp_path / "merged", port=port):
            service.wait_published(len(sent))
    outcome = assert_exactly_once(config, sent)
    assert len(outcome.preferences) == len(sent)
    for record in read_topic(config.bootstrap_servers, config.preferences_topic):
        one, other = (judge.probabilities for judge in decode_preference(record.value).judges)
        assert one.model_a == pytest.approx(other.model_a, abs=1e-3)
        assert one.tie == pytest.approx(other.tie, abs=1e-3)
