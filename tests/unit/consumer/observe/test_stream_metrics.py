"""What the stream's calls leave in the registry is what the table says."""

from __future__ import annotations

import re
import threading

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from prefstream.consumer.observe.metrics import END_TO_END_SECONDS, METRICS
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.schemas import PanelIdentity, Reason


@pytest.fixture
def metrics() -> StreamMetrics:
    return StreamMetrics()


def value(metrics: StreamMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def scraped_names(metrics: StreamMetrics) -> set[str]:
    return set(re.findall(r"^(prefstream_\w+)", generate_latest(metrics.registry).decode(), re.MULTILINE))


def exercise(metrics: StreamMetrics) -> None:
    metrics.lag("battles", 0, 1)
    metrics.truncated("gemma", 1, 2, 3)
    metrics.judge_fault("gemma")
    metrics.judge_fault("gemma", lost_replica=True)
    metrics.judge_left_out("gemma")
    metrics.judge_recused("gemma", 1)
    metrics.panels([(PanelIdentity(hash="a" * 64, version="0.1"), "may", "serving")])
    metrics.panel_choice(failed=True)
    metrics.answered("battles", 0, 1)


def test_scrape_and_table_name_the_same_series(metrics: StreamMetrics) -> None:
    exercise(metrics)
    assert scraped_names(metrics) == {series for metric in METRICS for series in metric.series}


def test_scraped_types_helps_and_labels_are_the_tables(metrics: StreamMetrics) -> None:
    exercise(metrics)
    families = {family.name: family for family in metrics.registry.collect()}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert all(set(sample.labels) - {"le"} == set(metric.labels) for sample in family.samples)


def test_what_is_scraped_is_valid_openmetrics(metrics: StreamMetrics) -> None:
    exercise(metrics)
    metrics.batch_committed(0.1, [0.2, 4000.0])
    text = generate_openmetrics(metrics.registry).decode()  # type: ignore[no-untyped-call]
    names = {family.name for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    assert {metric.name.removesuffix("_total") for metric in METRICS} <= names


def test_process_metrics_are_in_the_same_registry(metrics: StreamMetrics) -> None:
    resident = value(metrics, "process_resident_memory_bytes")
    assert resident is not None
    assert resident > 0


def test_two_instances_share_nothing(metrics: StreamMetrics) -> None:
    other = StreamMetrics()
    metrics.battles_consumed(3)
    assert value(other, "prefstream_battles_consumed_total") == 0


def test_counters_add_up(metrics: StreamMetrics) -> None:
    for _ in range(2):
        metrics.battles_consumed(5)
        metrics.preferences_published(3)
        metrics.dead_letter(Reason.NOT_JSON, 2)
        metrics.transaction_aborted()
        metrics.dropped_stale(4)
        metrics.answered("battles", 3, 5)
    assert value(metrics, "prefstream_battles_consumed_total") == 10
    assert value(metrics, "prefstream_preferences_published_total") == 6
    assert value(metrics, "prefstream_dead_letters_total", reason="not_json") == 4
    assert value(metrics, "prefstream_transactions_aborted_total") == 2
    assert value(metrics, "prefstream_stale_records_dropped_total") == 8
    assert value(metrics, "prefstream_records_answered_total", topic="battles", partition="3") == 10


def test_every_dead_letter_reason_is_there_from_the_start(metrics: StreamMetrics) -> None:
    assert [value(metrics, "prefstream_dead_letters_total", reason=reason.value) for reason in Reason] == [0] * len(
        Reason
    )


def test_a_batch_fills_its_histograms(metrics: StreamMetrics) -> None:
    metrics.batch_scored(size=3, padded_tokens=1000, tokenise_s=0.004, queue_s=0.2, inference_s=1.5)
    assert value(metrics, "prefstream_batch_battles_bucket", le="2.0") == 0
    assert value(metrics, "prefstream_batch_battles_bucket", le="4.0") == 1
    assert value(metrics, "prefstream_batch_padded_tokens_sum") == 1000
    assert value(metrics, "prefstream_tokenise_seconds_sum") == 0.004
    assert value(metrics, "prefstream_queue_seconds_sum") == 0.2
    assert value(metrics, "prefstream_inference_seconds_sum") == 1.5


def test_latency_is_never_negative(metrics: StreamMetrics) -> None:
    metrics.batch_committed(0.02, [-3600.0, 0.25, 1e9])
    name = END_TO_END_SECONDS.name
    assert value(metrics, f"{name}_bucket", le="0.1") == 1
    assert value(metrics, f"{name}_bucket", le="0.25") == 2
    assert value(metrics, f"{name}_bucket", le="86400.0") == 2
    assert value(metrics, f"{name}_count") == 3
    assert value(metrics, f"{name}_sum") == pytest.approx(1e9 + 0.25)
    assert value(metrics, "prefstream_commit_seconds_count") == 1


def test_disagreement_is_counted_per_battle(metrics: StreamMetrics) -> None:
    metrics.disagreements([0.0, 0.5])
    assert value(metrics, "prefstream_judge_disagreement_bits_count") == 2
    assert value(metrics, "prefstream_judge_disagreement_bits_sum") == 0.5


def test_truncated_tokens_are_told_apart_by_judge_and_part(metrics: StreamMetrics) -> None:
    metrics.truncated("gemma", prompt=1, response_a=2, response_b=3)
    metrics.truncated("gemma", prompt=10, response_a=0, response_b=0)
    assert value(metrics, "prefstream_truncated_tokens_total", judge="gemma", part="prompt") == 11
    assert value(metrics, "prefstream_truncated_tokens_total", judge="gemma", part="response_b") == 3


def test_a_judge_that_cuts_nothing_is_there_with_zero(metrics: StreamMetrics) -> None:
    metrics.truncated("gemma", prompt=0, response_a=0, response_b=0)
    assert value(metrics, "prefstream_truncated_tokens_total", judge="gemma", part="prompt") == 0


def test_what_is_counted_of_each_judge_and_partition_is_there_before_the_first_time(metrics: StreamMetrics) -> None:
    """An alert on an increase misses the first one of a series that did not exist before."""
    metrics.expect_judges(["gemma"])
    metrics.lag("battles", 0, 1)
    assert value(metrics, "prefstream_judge_faults_total", judge="gemma") == 0
    assert value(metrics, "prefstream_judges_left_out_total", judge="gemma") == 0
    assert value(metrics, "prefstream_judge_replicas_lost", judge="gemma") == 0
    assert value(metrics, "prefstream_judge_recusals_total", judge="gemma") == 0
    assert value(metrics, "prefstream_truncated_tokens_total", judge="gemma", part="prompt") == 0
    assert value(metrics, "prefstream_records_answered_total", topic="battles", partition="0") == 0


def test_readiness_is_asked_for_at_each_scrape(metrics: StreamMetrics) -> None:
    assert value(metrics, "prefstream_ready") == 0
    answers = [False, True]
    metrics.watch_readiness(answers.pop)
    assert value(metrics, "prefstream_ready") == 1
    assert value(metrics, "prefstream_ready") == 0


def test_judges_in_trouble_are_counted_by_name(metrics: StreamMetrics) -> None:
    metrics.judge_fault("gemma")
    metrics.judge_left_out("llama")
    metrics.judge_left_out("llama")
    assert value(metrics, "prefstream_judge_faults_total", judge="gemma") == 1
    assert value(metrics, "prefstream_judges_left_out_total", judge="llama") == 2


def test_a_fault_that_costs_a_replica_is_both(metrics: StreamMetrics) -> None:
    metrics.judge_fault("gemma")
    metrics.judge_fault("gemma", lost_replica=True)
    assert value(metrics, "prefstream_judge_faults_total", judge="gemma") == 2
    assert value(metrics, "prefstream_judge_replicas_lost", judge="gemma") == 1


def test_recusals_are_counted_by_battle(metrics: StreamMetrics) -> None:
    metrics.judge_recused("gemma", 3)
    metrics.judge_recused("gemma", 1)
    assert value(metrics, "prefstream_judge_recusals_total", judge="gemma") == 4


def test_values_from_many_threads_all_count(metrics: StreamMetrics) -> None:
    def work() -> None:
        for _ in range(200):
            metrics.disagreements([0.5] * 10)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(metrics, "prefstream_judge_disagreement_bits_count") == 8000


def test_lag_of_a_revoked_partition_disappears_and_what_was_answered_of_it_goes_on_counting(
    metrics: StreamMetrics,
) -> None:
    metrics.lag("battles", 0, 7)
    metrics.lag("battles", 1, 9)
    metrics.answered("battles", 0, 3)
    metrics.forget_partitions([("battles", 0), ("battles", 5)])
    assert value(metrics, "prefstream_consumer_lag_records", topic="battles", partition="0") is None
    metrics.lag("battles", 0, 7)
    metrics.answered("battles", 0, 2)
    assert value(metrics, "prefstream_records_answered_total", topic="battles", partition="0") == 5
    assert value(metrics, "prefstream_consumer_lag_records", topic="battles", partition="1") == 9


def test_in_flight_and_build_info(metrics: StreamMetrics) -> None:
    metrics.in_flight(2)
    assert value(metrics, "prefstream_batches_in_flight") == 2
    assert re.search(
        rb'prefstream_build_info\{python="3\.\d+\.\d+",role="serving",version="[^"]+"\} 1\.0',
        generate_latest(metrics.registry),
    )


def test_only_the_panels_that_answer_now_are_told(metrics: StreamMetrics) -> None:
    april, may = (PanelIdentity(hash=letter * 64, version="0.1", calibration="c1") for letter in "ab")
    metrics.panels([(april, "april", "serving"), (may, "may", "canary")])
    metrics.panels([(may, "may", "serving")])
    [family] = [family for family in metrics.registry.collect() if family.name == "prefstream_panel_info"]
    assert [sample.labels for sample in family.samples] == [
        {"panel": "may", "hash": "b" * 12, "calibration": "c1", "role": "serving"}
    ]


def test_a_choice_that_could_not_be_taken_over_is_told_until_another_one_is(metrics: StreamMetrics) -> None:
    assert value(metrics, "prefstream_panel_change_failed") == 0
    metrics.panel_choice(failed=True)
    assert value(metrics, "prefstream_panel_change_failed") == 1
    metrics.panel_choice(failed=False)
    assert value(metrics, "prefstream_panel_change_failed") == 0
    assert value(metrics, "prefstream_panel_changes_total", outcome="taken") == 0
    metrics.panel_taken_over()
    assert value(metrics, "prefstream_panel_changes_total", outcome="failed") == 1
    assert value(metrics, "prefstream_panel_changes_total", outcome="taken") == 1
