"""A judge of a panel with a list of devices: it answers as on one, and goes on as long as one of its replicas does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
import torch

from prefstream import (
    Battle,
    LoadError,
    ModelJudgeConfig,
    Panel,
    PanelAnswer,
    PanelConfig,
    PriorJudgeConfig,
    load_panel,
)
from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.devices import Placement, place_judges
from prefstream.scoring.judges.replicas.judge import ReplicatedJudge
from prefstream.scoring.loading.base_model import load_classifier
from prefstream.scoring.loading.judge import load_replicas
from tests.support.models import Kind, make_tiny_judge, one_torch_thread
from tests.support.priors import prior_entry

BATTLES = [
    Battle(
        id=str(number),
        prompt=("Which answer is better? " * (number % 4 + 1),),
        response_a=("Response A is correct. " * (number % 7 + 1),),
        response_b=("no " * (5 * number % 13 + 1),),
    )
    for number in range(30)
]

Make = Callable[..., PanelConfig]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A panel of a tiny judge `x`, its micro-batches so small that there are many."""
    root = tmp_path_factory.mktemp("judges")

    def panel(device: Any, kind: Kind = "pairwise", *, panel: Any = None, **entry: Any) -> PanelConfig:
        judge = make_tiny_judge(root / kind, "llama", kind, name="x", device=device, micro_batch_tokens=200, **entry)
        return PanelConfig.model_validate({"judges": [judge], **(panel or {})})

    return panel


class Failing(torch.nn.Module):
    """A model that is lost with its card after some passes."""

    def __init__(self, model: torch.nn.Module, error: Exception, after: int) -> None:
        super().__init__()
        self.model = model
        self.error = error
        self.after = after

    def forward(self, **arguments: Any) -> Any:
        self.after -= 1
        if self.after < 0:
            raise self.error
        return self.model(**arguments)


def fail(panel: Panel, place: int, error: Exception, after: int = 0) -> None:
    """Have one replica of the panel's only judge fail from some pass on."""
    [judge] = panel.judges
    assert isinstance(judge, ReplicatedJudge)
    forward = judge.forwards[place]
    assert forward._model is not None
    forward._model = Failing(forward._model, error, after)


def answers(panel: Panel) -> list[tuple[float, float, float]]:
    found = panel.score(BATTLES)
    assert all(isinstance(one, PanelAnswer) for one in found)
    rows = [one.probabilities for one in found if isinstance(one, PanelAnswer)]
    return [(row.model_a, row.model_b, row.tie) for row in rows]


@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
def test_two_replicas_answer_to_the_bit_what_one_does(make: Make, kind: Kind) -> None:
    with load_panel(make("cpu", kind, panel={"swap": True})) as alone:
        expected, identity = answers(alone), alone.identity
    with load_panel(make(["cpu", "cpu"], kind, panel={"swap": True})) as panel:
        assert answers(panel) == expected
        assert panel.identity == identity
        [judge] = panel.judges
        assert judge.provenance.device == "cpu, cpu"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError("CUDA error: device-side assert triggered"), id="sticky"),
        pytest.param(torch.OutOfMemoryError("CUDA out of memory"), id="out of memory"),
    ],
)
def test_a_replica_that_is_lost_in_the_middle_costs_no_answer(make: Make, error: Exception) -> None:
    with load_panel(make("cpu")) as alone:
        expected = answers(alone)
    with load_panel(make(["cpu", "cpu"], panel={"on_judge_failure": "degrade"})) as panel:
        faults: list[JudgeFaultError] = []
        panel.on_fault = faults.append
        fail(panel, 0, error, after=1)
        with structlog.testing.capture_logs() as logs:
            rounds = 0
            while rounds < 100 and not faults:  # it takes two passes, and the other one may be faster
                rounds += 1
                found = answers(panel)
                if isinstance(error, torch.OutOfMemoryError):
                    assert found == [pytest.approx(row, abs=1e-5) for row in expected]  # cut smaller meanwhile
                else:
                    assert found == expected
        assert answers(panel) == expected
        assert panel.left_out == ()
    assert [(fault.judge, fault.replica) for fault in faults] == [("x", "cpu")]
    assert [line["judge"] for line in logs if line["event"] == "replica taken out"] == ["x"]


def test_when_the_last_replica_fails_the_judge_does(make: Make) -> None:
    with load_panel(make(["cpu", "cpu"])) as panel:
        for place in range(2):
            fail(panel, place, RuntimeError("CUDA error: device-side assert triggered"))
        with pytest.raises(JudgeFaultError, match="judge x: RuntimeError on cpu in a forward pass") as caught:
            panel.score(BATTLES)
    assert caught.value.replica is None


def test_a_judge_whose_last_replica_failed_is_left_out_where_the_panel_is_to_go_on(make: Make) -> None:
    config = make(["cpu", "cpu"], panel={"on_judge_failure": "degrade"})
    prior = PriorJudgeConfig.model_validate(prior_entry(probabilities=(0.3, 0.3, 0.4)))
    with load_panel(config.model_copy(update={"judges": (*config.judges, prior)})) as panel:
        replicated = panel.judges[0]
        assert isinstance(replicated, ReplicatedJudge)
        for forward in replicated.forwards:
            forward._model = torch.nn.Identity()
        assert answers(panel) == [pytest.approx((0.3, 0.3, 0.4))] * len(BATTLES)
        assert panel.left_out == ("x",)


def test_the_cores_are_shared_out_among_replicas(make: Make) -> None:
    [judge] = make(["cpu", "cpu"]).judges
    assert isinstance(judge, ModelJudgeConfig)
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        assert {name: place.threads for name, place in place_judges([judge]).items()} == {"x": 3, "x#2": 2}
    finally:
        torch.set_num_threads(before)


def test_replicas_that_would_answer_differently_are_refused(make: Make) -> None:
    [judge] = make(["cpu", "cpu"]).judges
    assert isinstance(judge, ModelJudgeConfig)
    places = [Placement(torch.device("cpu"), dtype, 1, 200) for dtype in (torch.float32, torch.bfloat16)]
    with pytest.raises(LoadError, match=r"judge x: its replicas would have the (dtype|attention) .* and .*alike"):
        load_replicas(judge, places)


def test_what_does_not_fit_on_one_device_is_refused_with_its_name(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []

    def classifier(*arguments: Any, **options: Any) -> Any:
        if loaded:
            raise torch.OutOfMemoryError("CUDA out of memory")
        loaded.append(load_classifier(*arguments, **options))
        return loaded[0]

    monkeypatch.setattr("prefstream.scoring.loading.judge.load_classifier", classifier)
    with pytest.raises(LoadError, match=r"judge x: .* does not fit on cpu; set quantization"):
        load_panel(make(["cpu", "cpu"]))
