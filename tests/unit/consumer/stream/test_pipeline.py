"""Batches go through in order; one is prepared while another is scored; faults come out where results do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from prefstream.consumer.client.patches.unbounded_unpacking import Withheld
from prefstream.consumer.stream.batch import Batch
from prefstream.consumer.stream.messages import Composer
from prefstream.consumer.stream.pipeline import Pipeline, Scored
from prefstream.schemas import Battle, Framing, Reason, decode_preference
from prefstream.schemas.dead_letter import HEADER_MESSAGE, HEADER_OFFSET
from prefstream.scoring.errors import BattleTooLargeError, JudgeFaultError
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.panel import EncodedBatch, Panel
from prefstream.scoring.panel.turns import OnJudged
from tests.support.priors import HeldJudge, prior_panel
from tests.support.streams import battle_event, make_event, wait_until


class Gated:
    """A real panel whose `score_encoded` waits until it is let through; keeps the order of what is called."""

    def __init__(self) -> None:
        self.panel = prior_panel()
        self.gate = threading.Semaphore(0)
        self.calls: list[str] = []

    def encode(self, battles: Sequence[Battle]) -> EncodedBatch:
        self.calls.append(f"encode {battles[0].id}")
        return self.panel.encode(battles)

    def score_encoded(
        self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
    ) -> list[PanelAnswer | BattleTooLargeError]:
        self.calls.append("score")
        assert self.gate.acquire(timeout=100)
        return self.panel.score_encoded(batch, on_judged=on_judged)


@pytest.fixture
def gated() -> Iterator[Gated]:
    gated = Gated()
    yield gated
    gated.gate.release(100)
    gated.panel.close()


@pytest.fixture
def panel() -> Iterator[Panel]:
    with prior_panel() as panel:
        yield panel


def batch(*values: bytes | None, first: int = 0) -> Batch:
    return Batch(tuple(make_event(value, offset=first + number) for number, value in enumerate(values)), 0.0)


def take(pipeline: Pipeline) -> Scored:
    """The next result."""
    while (scored := pipeline.take()) is None:
        pipeline.wait_finished(1.0)
    return scored


def test_every_event_leaves_as_one_message(panel: Panel) -> None:
    with closing(Pipeline(panel, Composer("g"))) as pipeline:
        pipeline.submit(batch(battle_event(0), b"[]", battle_event(2), None))
        scored = take(pipeline)
    by_offset = {message.event.record.offset: message for message in scored.messages}
    assert {offset: message.reason for offset, message in by_offset.items()} == {
        0: None,
        1: Reason.NOT_AN_OBJECT,
        2: None,
        3: Reason.NULL_VALUE,
    }
    for offset in (0, 2):
        value = by_offset[offset].value
        assert value is not None
        assert decode_preference(value).id == f"battle-{offset}"
    assert len(scored.answers) == 2


@pytest.mark.parametrize(("framing", "reasons"), [("none", [Reason.NOT_JSON, None]), ("confluent", [None, None])])
def test_frames_of_a_schema_registry_are_read_past_where_they_are_expected(
    panel: Panel, framing: Framing, reasons: list[Reason | None]
) -> None:
    with closing(Pipeline(panel, Composer("g"), framing=framing)) as pipeline:
        pipeline.submit(batch(b"\0\0\0\0\7" + battle_event(0), battle_event(1)))
        scored = take(pipeline)
    assert [message.reason for message in scored.messages] == reasons


def test_a_batch_without_any_battle_needs_no_judge(gated: Gated) -> None:
    with closing(Pipeline(gated, Composer("g"))) as pipeline:
        pipeline.submit(batch(b"[]", None))
        scored = take(pipeline)
    assert [message.reason for message in scored.messages] == [Reason.NOT_AN_OBJECT, Reason.NULL_VALUE]
    assert gated.calls == []


def test_the_next_batch_is_prepared_while_one_is_scored(gated: Gated) -> None:
    with closing(Pipeline(gated, Composer("g"))) as pipeline:
        pipeline.submit(batch(battle_event(0)))
        pipeline.submit(batch(battle_event(1)))
        wait_until(lambda: len(gated.calls) == 3, 10)
        assert sorted(gated.calls) == ["encode battle-0", "encode battle-1", "score"]
        gated.gate.release(2)
        take(pipeline)
        take(pipeline)


def test_results_come_out_in_the_order_of_the_batches(panel: Panel) -> None:
    with closing(Pipeline(panel, Composer("g"))) as pipeline:
        for number in range(20):
            pipeline.submit(batch(battle_event(number), first=number))
        assert len(pipeline) == 20
        offsets = [take(pipeline).messages[0].event.record.offset for _ in range(20)]
    assert offsets == list(range(20))
    assert len(pipeline) == 0


class NamedJudge(HeldJudge):
    """One of several; knows how many batches it has had."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.batches = 0

    def score(self, batch: JudgeBatch) -> Scores:
        scores = super().score(batch)
        self.batches += 1
        return scores


def test_the_faster_judge_goes_on_to_as_many_batches_as_overlap_while_the_slower_has_the_first() -> None:
    fast, slow = NamedJudge("fast"), NamedJudge("slow")
    fast.let()
    with closing(Pipeline(panel := Panel([fast, slow]), Composer("g"), overlap=3)) as pipeline, panel:
        for number in range(5):
            pipeline.submit(batch(battle_event(number), first=number))
        wait_until(lambda: fast.batches == 3, 10)
        assert slow.batches == 0
        assert pipeline.take() is None
        assert pipeline.scoring
        slow.let(1)
        assert take(pipeline).messages[0].event.record.offset == 0
        wait_until(lambda: fast.batches == 4, 10)
        assert slow.batches == 1
        slow.let()
        assert [take(pipeline).messages[0].event.record.offset for _ in range(4)] == [1, 2, 3, 4]
        assert not pipeline.scoring


def test_a_batch_that_is_done_before_an_earlier_one_comes_out_after_it() -> None:
    judge = NamedJudge("held")
    with closing(Pipeline(panel := Panel([judge]), Composer("g"), overlap=2)) as pipeline, panel:
        pipeline.submit(batch(battle_event(0)))
        pipeline.submit(batch(b"[]", first=1))  # needs no judge
        pipeline.wait_finished(0.1)
        assert pipeline.take() is None
        judge.let()
        assert [take(pipeline).messages[0].event.record.offset for _ in range(2)] == [0, 1]


def test_inference_is_what_the_slowest_judge_took_with_its_attempts_and_not_its_wait_for_other_batches() -> None:
    class Timed(Gated):
        def score_encoded(
            self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
        ) -> list[PanelAnswer | BattleTooLargeError]:
            assert on_judged
            on_judged("one", 1.0, 1.5, "JudgeFaultError")
            on_judged("two", 1.0, 1.5, None)
            on_judged("one", 2.0, 2.25, None)
            return self.panel.score_encoded(batch)

    timed = Timed()
    with closing(Pipeline(timed, Composer("g"))) as pipeline, timed.panel:
        pipeline.submit(batch(battle_event(0)))
        assert take(pipeline).inference_s == 0.75


def test_judges_of_one_name_in_two_threads_are_two_judges() -> None:
    class Canary(Gated):
        def score_encoded(
            self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
        ) -> list[PanelAnswer | BattleTooLargeError]:
            assert on_judged
            on_judged("gemma", 1.0, 1.5, None)
            other = threading.Thread(target=on_judged, args=("gemma", 1.0, 1.75, None))
            other.start()
            other.join()
            return self.panel.score_encoded(batch)

    canary = Canary()
    with closing(Pipeline(canary, Composer("g"))) as pipeline, canary.panel:
        pipeline.submit(batch(battle_event(0)))
        assert take(pipeline).inference_s == 0.75


def test_nothing_can_be_taken_before_it_is_finished(gated: Gated) -> None:
    with closing(Pipeline(gated, Composer("g"))) as pipeline:
        assert pipeline.take() is None
        pipeline.submit(batch(battle_event(0)))
        assert pipeline.take() is None
        assert pipeline.head_age_s >= 0
        pipeline.wait_finished(0.05)
        assert pipeline.take() is None
        gated.gate.release()
        take(pipeline)
        assert pipeline.head_age_s == 0


def test_the_age_counts_from_when_a_batch_became_the_oldest(gated: Gated) -> None:
    """A batch behind a slow one is not blamed for its wait."""
    with closing(Pipeline(gated, Composer("g"))) as pipeline:
        pipeline.submit(batch(battle_event(0)))
        pipeline.submit(batch(battle_event(1)))
        threading.Event().wait(0.3)
        assert pipeline.head_age_s >= 0.3
        released = time.monotonic()
        gated.gate.release()
        take(pipeline)
        assert pipeline.head_age_s <= time.monotonic() - released
        gated.gate.release()
        take(pipeline)


def test_a_judge_that_fails_is_told_where_its_result_would_be() -> None:
    class Broken(Gated):
        def score_encoded(
            self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
        ) -> list[PanelAnswer | BattleTooLargeError]:
            raise JudgeFaultError("broken", "its card fell off the bus", transient=False)

    broken = Broken()
    with closing(Pipeline(broken, Composer("g"))) as pipeline, broken.panel:
        pipeline.submit(batch(battle_event(0)))
        with pytest.raises(JudgeFaultError, match="card"):
            take(pipeline)


def test_a_battle_too_large_for_a_judge_becomes_a_dead_letter_and_the_rest_is_answered() -> None:
    class Small(Gated):
        def score_encoded(
            self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
        ) -> list[PanelAnswer | BattleTooLargeError]:
            _, *rest = self.panel.score_encoded(batch, on_judged=on_judged)
            return [BattleTooLargeError("the judge needs more memory"), *rest]

    small = Small()
    with closing(Pipeline(small, Composer("g"))) as pipeline, small.panel:
        pipeline.submit(batch(battle_event(0), battle_event(1)))
        scored = take(pipeline)
    assert [message.reason for message in scored.messages] == [Reason.TOO_LARGE_FOR_JUDGE, None]
    assert len(scored.answers) == 1


def test_closing_does_not_wait_for_a_forward_pass(gated: Gated) -> None:
    pipeline = Pipeline(gated, Composer("g"))
    pipeline.submit(batch(battle_event(0)))
    wait_until(lambda: "score" in gated.calls, 10)
    pipeline.close()
    assert len(pipeline) == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Withheld("its batch is too large"), Reason.TOO_LARGE_UNPACKED),
        (Withheld("its batch is damaged", damaged=True), Reason.NOT_UNPACKED),
    ],
    ids=str,
)
def test_what_was_never_unpacked_becomes_a_dead_letter_with_nothing_of_its_record(
    panel: Panel, value: Withheld, reason: Reason
) -> None:
    with closing(Pipeline(panel, Composer("g"))) as pipeline:
        pipeline.submit(Batch((make_event(value, key=None, offset=3),), 0.0))
        (letter,) = take(pipeline).messages
    assert (letter.reason, letter.key, letter.value) == (reason, None, b"")
    assert type(letter.value) is bytes, "a producer takes no other class"
    assert dict(letter.headers)[HEADER_MESSAGE].endswith(value.why.encode())
    assert dict(letter.headers)[HEADER_OFFSET] == b"3"


def test_what_is_in_flight_is_weighed_until_it_is_taken(panel: Panel) -> None:
    with closing(Pipeline(panel, Composer("g"))) as pipeline:
        assert pipeline.weight_bytes == 0
        for weight_bytes in (5, 7):
            pipeline.submit(Batch((make_event(battle_event(0)),), 0.0, weight_bytes))
        assert pipeline.weight_bytes == 12
        take(pipeline)
        assert pipeline.weight_bytes == 7
        take(pipeline)
        assert pipeline.weight_bytes == 0
