"""Recusal on the stream: preferences say who did not count, and no name of a model is anywhere else."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import generate_latest
from structlog.testing import capture_logs

from prefstream.consumer.config import StreamConfig
from prefstream.schemas import decode_preference
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.panel.load import load_panel
from tests.support.priors import prior_entry
from tests.support.streams import battle_event, produce, read_topic, running, wait_until

PANEL = PanelConfig.model_validate(
    {"judges": [prior_entry("one"), prior_entry("two")], "recuse": {"two": ["zqmodel-t*"]}}
)


def test_a_recused_judge_does_not_count_and_no_name_is_in_log_or_metrics(
    stream_config: Callable[..., StreamConfig],
) -> None:
    config = stream_config(partitions=1, publish_models=False)
    named: tuple[dict[str, str | None], ...] = (
        {},
        {"model_a": None, "model_b": "ZQModel-Two"},
        {"model_b": "zqmodel-one"},
    )
    produce(config, [battle_event(number, **names) for number, names in enumerate(named)])
    with capture_logs() as lines, running(config, lambda: load_panel(PANEL)) as service:
        service.wait_published(len(named))
        wait_until(lambda: any(line["event"] == "batch published" for line in lines), what="the line of a batch")
    records = read_topic(config.bootstrap_servers, config.preferences_topic)
    preferences = [decode_preference(record.value) for record in records]
    assert [preference.recused for preference in preferences] == [("two",), ("two",), None]
    assert [[judge.weight for judge in preference.judges] for preference in preferences] == [[1, 0], [1, 0], [0.5, 0.5]]

    registry = service.service.metrics.registry
    assert registry.get_sample_value("prefstream_judge_recusals_total", {"judge": "two"}) == 2
    assert registry.get_sample_value("prefstream_judge_recusals_total", {"judge": "one"}) == 0
    told = repr(lines) + generate_latest(registry).decode() + repr([record.value for record in records])
    assert "zqmodel" not in told.lower()
