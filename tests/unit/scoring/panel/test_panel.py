"""The panel: means, disagreement, swap, faults, threads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import yaml
from hypothesis import given
from hypothesis import strategies as st

from prefstream import BattleTooLargeError, ConfigError, JudgeFaultError, Panel, PanelAnswer, PanelConfig, load_panel
from prefstream.schemas import Battle, FileSource, Provenance, encode_preference
from prefstream.scoring.errors import MisuseError
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.panel import threads as panel_threads
from prefstream.scoring.panel.combine import JudgeAnswers, combine
from prefstream.scoring.panel.panel import CHUNK_BATTLES
from prefstream.scoring.probabilities import normalise
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.priors import prior_entry

BATTLES = [
    Battle(id=str(number), prompt=("p" * number,), response_a=("a",), response_b=("b",)) for number in range(1, 5)
]
HALF = (0.5, 0.25, 0.25)


WATCHDOG_S = 60
"""For a deadlock to become a failure."""


class ScriptedJudge:
    """Answers what a test tells it to; `act` runs at every call of `score`."""

    def __init__(
        self,
        name: str = "one",
        rows: Sequence[tuple[float, float, float]] = (HALF,),
        *,
        weight: float = 1.0,
        symmetric: bool = False,
        trained: bool = True,
        act: Callable[[int], None] = lambda _: None,
        too_large: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.weight = weight
        self.symmetric = symmetric
        self.provenance = Provenance(kind="pairwise", trained=trained)
        self.settings = {"rows": rows}
        self.calls = 0
        self.seen: list[Battle] = []
        self.closed = 0
        self._rows = rows
        self._act = act
        self._too_large = too_large

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        self.seen = list(battles)
        return JudgeBatch(count=len(battles), padded_tokens=10 * len(battles))

    def score(self, batch: JudgeBatch) -> Scores:
        self.calls += 1
        self._act(self.calls)
        rows = np.array([self._rows[place % len(self._rows)] for place in range(batch.count)], dtype=np.float64)
        return Scores(rows.reshape(-1, 3), {place: BattleTooLargeError("too large") for place in self._too_large})

    def close(self) -> None:
        self.closed += 1


def answer(panel: Panel, battles: Iterable[Battle] = BATTLES) -> list[PanelAnswer]:
    with panel:
        answers = panel.score(battles)
    assert all(isinstance(one, PanelAnswer) for one in answers)
    return [one for one in answers if isinstance(one, PanelAnswer)]


def triple(one: PanelAnswer) -> tuple[float, float, float]:
    return one.probabilities.model_a, one.probabilities.model_b, one.probabilities.tie


def failing(name: str, *, transient: bool = False, times: int = 10**9) -> Callable[[int], None]:
    def act(call: int) -> None:
        if call <= times:
            raise JudgeFaultError(name, "broke", transient=transient)

    return act


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel_threads, "RETRY_WAIT_S", 0.0)


def test_a_lone_judge_is_the_panel() -> None:
    one, *_ = answer(Panel([ScriptedJudge()]))
    assert triple(one) == HALF
    assert one.preferred == "model_a"
    assert one.disagreement == 0.0
    assert one.judges[0].probabilities == one.probabilities


def test_the_answer_is_the_weighted_mean() -> None:
    judges = [ScriptedJudge("x", [(1.0, 0.0, 0.0)], weight=3.0), ScriptedJudge("y", [(0.0, 0.2, 0.8)], weight=1.0)]
    one, *_ = answer(Panel(judges))
    np.testing.assert_allclose(triple(one), (0.75, 0.05, 0.2), atol=1e-15)


def test_a_judge_of_weight_zero_is_heard_but_does_not_count() -> None:
    judges = [ScriptedJudge("x"), ScriptedJudge("y", [(0.0, 0.0, 1.0)], weight=0.0)]
    one, *_ = answer(Panel(judges))
    assert triple(one) == HALF
    assert [opinion.name for opinion in one.judges] == ["x", "y"]


def test_answers_stand_in_the_order_of_the_battles() -> None:
    rows = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.2, 0.3, 0.5)]
    assert [one.preferred for one in answer(Panel([ScriptedJudge(rows=rows)]))] == ["model_a", "model_b", "tie", "tie"]


def test_judges_that_exclude_each_other_disagree_by_one_bit() -> None:
    judges = [ScriptedJudge("x", [(1.0, 0.0, 0.0)]), ScriptedJudge("y", [(0.0, 1.0, 0.0)])]
    assert answer(Panel(judges))[0].disagreement == 1.0


def test_disagreement_is_the_mean_over_pairs() -> None:
    certain = [ScriptedJudge(name, [(1.0, 0.0, 0.0)]) for name in "xy"]
    other = ScriptedJudge("z", [(0.0, 1.0, 0.0)])
    assert answer(Panel([*certain, other]))[0].disagreement == pytest.approx(2 / 3)


def test_no_battles_give_no_answers() -> None:
    assert answer(Panel([ScriptedJudge()]), []) == []


def test_without_swap_only_the_given_order_is_read() -> None:
    judge = ScriptedJudge()
    one, *_ = answer(Panel([judge]))
    assert judge.seen == BATTLES
    assert one.judges[0].as_given is None
    assert one.judges[0].position_gap is None


def test_swap_averages_both_orders_in_terms_of_the_battle_as_given() -> None:
    # Whatever is read first gets 0.7: all position, no preference.
    one, *_ = answer(Panel([ScriptedJudge(rows=[(0.7, 0.1, 0.2)])], swap=True))
    (opinion,) = one.judges
    np.testing.assert_allclose(triple(one), (0.4, 0.4, 0.2), atol=1e-15)
    assert opinion.as_given is not None
    assert opinion.swapped is not None
    assert (opinion.as_given.model_a, opinion.swapped.model_a) == (0.7, 0.1)
    assert opinion.position_gap == pytest.approx(0.6)


def test_swap_shows_the_judge_the_exchanged_battles() -> None:
    judge = ScriptedJudge()
    answer(Panel([judge], swap=True))
    assert judge.seen == [*BATTLES, *(battle.swap() for battle in BATTLES)]


def test_swap_costs_a_symmetric_judge_nothing() -> None:
    judge = ScriptedJudge(symmetric=True)
    one, *_ = answer(Panel([judge], swap=True))
    assert judge.seen == BATTLES
    assert one.judges[0].position_gap == 0.0
    assert one.judges[0].as_given == one.judges[0].swapped == one.judges[0].probabilities


def test_padded_tokens_are_those_of_the_costliest_judge() -> None:
    panel = Panel([ScriptedJudge("x", symmetric=True), ScriptedJudge("y")], swap=True)
    with panel:
        assert panel.encode(BATTLES).padded_tokens == 80


def test_the_mean_is_calibrated() -> None:
    one, *_ = answer(Panel([ScriptedJudge()], calibration=Calibration(tie_bias=np.log(2))))
    np.testing.assert_allclose(triple(one), (0.4, 0.2, 0.4), rtol=1e-12)


def test_a_battle_too_large_for_one_judge_is_too_large_for_the_panel() -> None:
    judges = [ScriptedJudge("x"), ScriptedJudge("y", too_large=[1])]
    with Panel(judges) as panel:
        answers = panel.score(BATTLES)
    assert [isinstance(one, BattleTooLargeError) for one in answers] == [False, True, False, False]


def test_a_battle_too_large_in_the_exchanged_order_only_is_too_large() -> None:
    with Panel([ScriptedJudge(too_large=[6])], swap=True) as panel:
        answers = panel.score(BATTLES)
    assert [isinstance(one, BattleTooLargeError) for one in answers] == [False, False, True, False]


def test_judges_run_at_the_same_time() -> None:
    barrier = threading.Barrier(2)

    def meet(_: int) -> None:
        barrier.wait(timeout=100)  # broken, and so a fault, unless both are here

    judges = [ScriptedJudge(name, act=meet) for name in "xy"]
    assert len(answer(Panel(judges))) == len(BATTLES)


def test_each_judge_keeps_its_thread() -> None:
    threads: list[str] = []
    panel = Panel([ScriptedJudge("gemma", act=lambda _: threads.append(threading.current_thread().name))])
    with panel:
        for _ in range(3):
            panel.score(BATTLES)
    assert len(set(threads)) == 1
    assert threads[0].startswith("judge-gemma")


def test_encoding_goes_on_while_a_batch_is_scored() -> None:
    scoring_now, encoded = threading.Event(), threading.Event()

    def wait(_: int) -> None:
        scoring_now.set()
        assert encoded.wait(timeout=100)

    with Panel([ScriptedJudge(act=wait)]) as panel:
        batch = panel.encode(BATTLES)
        thread = threading.Thread(target=panel.score_encoded, args=(batch,))
        thread.start()
        assert scoring_now.wait(timeout=100)
        panel.encode(BATTLES)
        encoded.set()
        thread.join(timeout=100)
    assert not thread.is_alive()


def test_a_transient_fault_is_tried_again() -> None:
    judge = ScriptedJudge(act=failing("one", transient=True, times=panel_threads.ATTEMPTS - 1))
    panel, faults = Panel([judge]), list[str]()
    panel.on_fault = lambda fault: faults.append(str(fault))
    assert len(answer(panel)) == len(BATTLES)
    assert judge.calls == panel_threads.ATTEMPTS
    assert faults == ["judge one: broke"] * (panel_threads.ATTEMPTS - 1)


def test_a_fault_that_does_not_pass_is_raised() -> None:
    judge, faults = ScriptedJudge(act=failing("one", transient=True)), list[str]()
    panel = Panel([judge])
    panel.on_fault = lambda fault: faults.append(str(fault))
    with panel, pytest.raises(JudgeFaultError, match="judge one: broke"):
        panel.score(BATTLES)
    assert judge.calls == len(faults) == panel_threads.ATTEMPTS


def test_a_lasting_fault_is_not_tried_again() -> None:
    judge = ScriptedJudge(act=failing("one"))
    with Panel([judge]) as panel, pytest.raises(JudgeFaultError):
        panel.score(BATTLES)
    assert judge.calls == 1


def test_an_unforeseen_exception_is_a_fault_without_its_text() -> None:
    def act(_: int) -> None:
        raise KeyError("what a user wrote")

    with Panel([ScriptedJudge(act=act)]) as panel, pytest.raises(JudgeFaultError) as caught:
        panel.score(BATTLES)
    assert str(caught.value) == "judge one: KeyError while scoring"
    assert not caught.value.transient


def test_stop_raises_even_if_others_could_answer() -> None:
    judges = [ScriptedJudge("x", act=failing("x")), ScriptedJudge("y")]
    with Panel(judges) as panel, pytest.raises(JudgeFaultError, match="judge x"):
        panel.score(BATTLES)


def test_degrade_leaves_the_failed_judge_out_from_then_on_and_says_so() -> None:
    failed = ScriptedJudge("x", [(1.0, 0.0, 0.0)], act=failing("x"))
    with (
        Panel([failed, ScriptedJudge("y")], on_judge_failure="degrade") as panel,
        structlog.testing.capture_logs() as logs,
    ):
        for _ in range(2):
            one = panel.score(BATTLES)[0]
            assert isinstance(one, PanelAnswer)
            assert one.left_out == ("x",)
            assert [opinion.name for opinion in one.judges] == ["y"]
            assert triple(one) == HALF
    assert failed.calls == 1
    assert [entry["event"] for entry in logs] == ["judge left out"]


def test_a_batch_encoded_before_the_fault_is_scored_without_the_judge() -> None:
    judges = [ScriptedJudge("x", act=failing("x")), ScriptedJudge("y")]
    with Panel(judges, on_judge_failure="degrade") as panel:
        early = panel.encode(BATTLES)
        panel.score(BATTLES)
        one = panel.score_encoded(early)[0]
    assert isinstance(one, PanelAnswer)
    assert one.left_out == ("x",)


def test_of_batches_that_overlap_the_first_that_a_judge_fails_at_is_the_last_that_it_gets() -> None:
    """Each answer says for itself who was left out; the log hears of it once."""
    begun, gate = threading.Semaphore(0), threading.Event()

    def after_one(call: int) -> None:
        begun.release()
        if call == 2:
            raise JudgeFaultError("x", "broke", transient=False)

    judges = [ScriptedJudge("x", act=after_one), ScriptedJudge("y", act=lambda _: assert_set(gate))]
    with (
        Panel(judges, on_judge_failure="degrade") as panel,
        ThreadPoolExecutor(3) as threads,
        structlog.testing.capture_logs() as logs,
    ):
        batches = [panel.encode(BATTLES) for _ in range(3)]
        running = []
        for number in range(3):
            running.append(threads.submit(panel.score_encoded, batches[number]))
            if number < 2:
                assert begun.acquire(timeout=WATCHDOG_S)  # in this order
        gate.set()
        first = [future.result(WATCHDOG_S)[0] for future in running]
    assert [one.left_out for one in first if isinstance(one, PanelAnswer)] == [(), ("x",), ("x",)]
    assert [len(one.judges) for one in first if isinstance(one, PanelAnswer)] == [2, 1, 1]
    assert judges[0].calls == 2
    assert [entry["event"] for entry in logs] == ["judge left out"]


def assert_set(event: threading.Event) -> None:
    assert event.wait(WATCHDOG_S)


def test_a_panel_that_lost_every_judge_raises() -> None:
    with Panel([ScriptedJudge("x", act=failing("x"))], on_judge_failure="degrade") as panel:
        with pytest.raises(JudgeFaultError, match="broke"):
            panel.score(BATTLES)
        with pytest.raises(JudgeFaultError, match="every judge that counts has failed"):
            panel.score(BATTLES)


def test_a_panel_where_only_weight_zero_is_left_raises() -> None:
    judges = [ScriptedJudge("x", act=failing("x")), ScriptedJudge("y", weight=0.0)]
    with Panel(judges, on_judge_failure="degrade") as panel, pytest.raises(JudgeFaultError):
        panel.score(BATTLES)


def test_trained_only_if_every_judge_is() -> None:
    assert Panel([ScriptedJudge("x")]).trained
    assert not Panel([ScriptedJudge("x"), ScriptedJudge("y", trained=False)]).trained


def test_closing_frees_every_judge_and_may_be_repeated() -> None:
    judges = [ScriptedJudge("x"), ScriptedJudge("y")]
    panel = Panel(judges)
    panel.close()
    panel.close()
    assert all(judge.closed for judge in judges)


def test_closing_closes_every_judge_where_one_can_not_be_closed() -> None:
    class Lost(ScriptedJudge):
        def close(self) -> None:
            super().close()
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    judges = [ScriptedJudge("x"), Lost("y"), ScriptedJudge("z")]
    panel = Panel(judges)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        panel.close()
    assert [judge.closed for judge in judges] == [1, 1, 1]


def test_any_number_of_battles_is_scored_a_chunk_at_a_time() -> None:
    """Also from a stream that never holds them all."""
    judge = ScriptedJudge()
    given = (BATTLES[number % len(BATTLES)] for number in range(2 * CHUNK_BATTLES + 1))
    assert len(answer(Panel([judge]), given)) == 2 * CHUNK_BATTLES + 1
    assert judge.calls == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (BATTLES[0], r"panel\.score: one Battle was given; call it with a list of battles: score\(\[battle\]\)"),
        ([{"id": "1"}, "text"], "panel: dict, str given where battles are expected; make them by Battle"),
    ],
)
def test_what_is_no_list_of_battles_is_refused_in_words_of_ours(given: Any, message: str) -> None:
    with Panel([ScriptedJudge()]) as panel, pytest.raises(MisuseError, match=message):
        panel.score(given)


def test_a_batch_that_is_encoded_is_refused_with_the_name_of_what_takes_it() -> None:
    with Panel([ScriptedJudge()]) as panel, pytest.raises(MisuseError, match=r"call it with score_encoded\(batch\)"):
        panel.score(panel.encode(BATTLES))  # type: ignore[arg-type]


def test_a_closed_panel_says_that_it_is_closed() -> None:
    panel = Panel([ScriptedJudge()])
    panel.close()
    with pytest.raises(MisuseError, match="the panel is closed; score inside its `with` block, or load it again"):
        panel.score(BATTLES)


def test_the_preference_says_what_the_answer_says() -> None:
    one, *_ = answer(Panel([ScriptedJudge("x"), ScriptedJudge("y")]))
    preference = one.to_preference(BATTLES[0], FileSource(file="battles.csv", line=3))
    written = json.loads(encode_preference(preference))
    assert written["id"] == BATTLES[0].id
    assert written["preferred"] == "model_a"
    assert [judge["name"] for judge in written["judges"]] == ["x", "y"]
    assert written["source"] == {"file": "battles.csv", "line": 3}
    assert "timings" not in written


weights = st.floats(1e-3, 1.0)
rows = st.lists(st.tuples(weights, weights, weights), min_size=1, max_size=4)


@given(st.lists(st.tuples(rows, st.floats(0.01, 10.0)), min_size=1, max_size=3), st.floats(0.2, 5), st.floats(-3, 3))
def test_exchanging_every_battle_exchanges_the_answers(
    judges: list[tuple[list[tuple[float, float, float]], float]], temperature: float, tie_bias: float
) -> None:
    count = min(len(rows) for rows, _ in judges)
    calibration = Calibration(temperature=temperature, tie_bias=tie_bias)

    def ask(columns: list[int]) -> list[PanelAnswer]:
        answers = [
            JudgeAnswers(
                name=str(place),
                weight=weight,
                provenance=Provenance(kind="pairwise"),
                as_given=normalise(np.array(rows[:count]))[:, columns],
                swapped=None,
                truncations=(),
            )
            for place, (rows, weight) in enumerate(judges)
        ]
        combined = combine(answers, calibration=calibration, left_out=(), too_large={})
        return [one for one in combined if isinstance(one, PanelAnswer)]

    for there, back in zip(ask([0, 1, 2]), ask([1, 0, 2]), strict=True):
        a, b, tie = triple(there)
        assert triple(back) == (b, a, tie)
        assert abs(a + b + tie - 1) < 1e-9
        assert 0 <= there.disagreement <= 1


def load_priors(tmp_path: Path, calibration: object) -> Panel:
    path = tmp_path / "panel.json"
    path.write_text(json.dumps(calibration))
    judges = [prior_entry("x", (0.5, 0.25, 0.25)), prior_entry("y", (0.5, 0.25, 0.25))]
    return load_panel(PanelConfig.model_validate({"judges": judges, "calibration": str(path)}))


def test_a_calibration_file_replaces_weights_and_calibrates_the_mean(tmp_path: Path) -> None:
    panel = load_priors(tmp_path, {"panel": {"tie_bias": np.log(2)}, "weights": {"x": 3.0}})
    assert panel.weights == {"x": 3.0, "y": 1.0}
    np.testing.assert_allclose(triple(answer(panel)[0]), (0.4, 0.2, 0.4), rtol=1e-12)


def test_a_calibration_of_another_panel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="calibrates z, which the panel doesn't have"):
        load_priors(tmp_path, {"judges": {"z": {"temperature": 2}}})


def test_a_calibration_that_silences_every_judge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="every weight is 0"):
        load_priors(tmp_path, {"weights": {"x": 0, "y": 0}})


def test_a_panel_tells_who_is_in_it() -> None:
    with load_panel(PanelConfig.model_validate({"judges": [prior_entry("one", (0.5, 0.25, 0.25))]})) as panel:
        assert repr(panel) == "<Panel: one (prior)>"


def test_loading_is_logged_where_nobody_else_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A notebook has no console of ours, and the demo's judges take a minute."""
    file = tmp_path / "panel.yaml"
    file.write_text(yaml.safe_dump({"judges": [make_tiny_judge(tmp_path / "points", "chatml", "pointwise")]}))
    said: list[str] = []
    with caplog.at_level("INFO", logger="prefstream"), one_torch_thread():
        load_panel(file, say=said.append).close()
        assert said
        assert not caplog.messages
        load_panel(file).close()
    assert caplog.messages == said
