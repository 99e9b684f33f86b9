"""A stream whose judge has replicas: one of them is lost, and every battle is answered once all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from prefstream import PanelConfig, load_panel
from prefstream.consumer.config import StreamConfig
from prefstream.scoring.judges.replicas.judge import ReplicatedJudge
from prefstream.scoring.panel.panel import Panel
from tests.conftest import EMBEDDED
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.streams import Running, assert_exactly_once, battle_events, produce, running

MakeConfig = Callable[..., StreamConfig]

BATTLES = 40


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


class Lost(torch.nn.Module):
    """A model whose card is lost at its second pass."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.passes = 0

    def forward(self, **arguments: Any) -> Any:
        self.passes += 1
        if self.passes > 1:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return self.model(**arguments)


def panel_of(folder: Path, *lost: int) -> Panel:
    """A judge with two replicas, of which some are lost at their second pass; a pass reads about one battle."""
    judge = make_tiny_judge(folder / "x", "llama", device=["cpu", "cpu"], micro_batch_tokens=100)
    panel = load_panel(PanelConfig.model_validate({"judges": [judge]}))
    [loaded] = panel.judges
    assert isinstance(loaded, ReplicatedJudge)
    for place in lost:
        forward = loaded.forwards[place]
        assert forward._model is not None
        forward._model = Lost(forward._model)
    return panel


def sample(service: Running, name: str) -> float | None:
    return service.service.metrics.registry.get_sample_value(name, {"judge": "x"})


@pytest.mark.parametrize("kafka", [EMBEDDED], indirect=True)  # which broker it is does not matter to a judge
def test_a_replica_that_is_lost_is_counted_and_costs_no_battle_its_answer(
    stream_config: MakeConfig, tmp_path: Path
) -> None:
    config = stream_config(partitions=1, max_batch_battles=10)
    sent = produce(config, battle_events(BATTLES))
    with running(config, lambda: panel_of(tmp_path, 0)) as service:
        service.wait_published(BATTLES)
        assert sample(service, "prefstream_judge_replicas_lost") == 1
        assert sample(service, "prefstream_judge_faults_total") == 1
        assert sample(service, "prefstream_judges_left_out_total") == 0
        assert service.service.health.ready
    outcome = assert_exactly_once(config, sent)
    assert [preference.id for preference in outcome.preferences] == [f"battle-{number}" for number in range(BATTLES)]
    assert {opinion.provenance.device for one in outcome.preferences for opinion in one.judges} == {"cpu, cpu"}
