"""The prior judge: fixed answers, simulated cost, no weights."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from prefstream import PanelConfig, PriorJudgeConfig, load_panel
from prefstream.schemas import Battle
from prefstream.scoring.judges.prior import PriorJudge

BATTLE = Battle(id="1", prompt=("x" * 400,), response_a=("y" * 400,), response_b=("z" * 400,))


def prior_config(a: float = 0.5, b: float = 0.2, tie: float = 0.3, **simulate: float) -> PriorJudgeConfig:
    return PriorJudgeConfig.model_validate(
        {
            "name": "prior",
            "kind": "prior",
            "probabilities": {"model_a": a, "model_b": b, "tie": tie},
            "simulate": simulate,
        }
    )


def test_every_battle_gets_the_configured_probabilities() -> None:
    judge = PriorJudge(prior_config())
    scores = judge.score(judge.encode([BATTLE] * 3))
    assert scores.probabilities.tolist() == [[0.5, 0.2, 0.3]] * 3
    assert not scores.too_large


def test_tokens_are_a_quarter_of_the_characters() -> None:
    many_turns = Battle(id="2", prompt=("a" * 4, "b" * 4), response_a=("", ""), response_b=("c" * 8, ""))
    assert PriorJudge(prior_config()).encode([BATTLE, many_turns]).padded_tokens == 304


@pytest.mark.parametrize(
    ("simulate", "expected_s"),
    [({"seconds_per_batch": 0.05}, 0.05), ({"seconds_per_1k_tokens": 0.1}, 0.06)],
)
def test_a_batch_takes_as_long_as_it_costs(simulate: dict[str, float], expected_s: float) -> None:
    judge = PriorJudge(prior_config(**simulate))
    batch = judge.encode([BATTLE] * 2)
    started_s = time.perf_counter()
    judge.score(batch)
    assert time.perf_counter() - started_s >= expected_s


def test_only_equal_sides_are_symmetric() -> None:
    assert PriorJudge(prior_config(0.35, 0.35, 0.3)).symmetric
    assert not PriorJudge(prior_config(0.4, 0.3, 0.3)).symmetric


def test_its_provenance_says_what_it_is() -> None:
    assert PriorJudge(prior_config()).provenance.model_dump(exclude_none=True) == {"kind": "prior"}


def test_answers_of_a_panel_of_priors_share_their_objects() -> None:
    config = PanelConfig(judges=(prior_config(),))
    with load_panel(config) as panel:
        answers: list[Any] = list(panel.score([BATTLE] * 3))
    assert answers[0].judges[0] is answers[2].judges[0]
    assert answers[0].probabilities is answers[2].probabilities


def test_a_panel_of_priors_imports_neither_torch_nor_kafka() -> None:
    code = """
import sys
from prefstream.schemas import Battle
from prefstream import PanelConfig, load_panel
probabilities = {"model_a": 0.4, "model_b": 0.3, "tie": 0.3}
judge = {"name": "p", "kind": "prior", "probabilities": probabilities}
with load_panel(PanelConfig.model_validate({"judges": [judge]})) as panel:
    panel.score([Battle(id="1", prompt="a", response_a="b", response_b="c")])
print(sorted({"torch", "transformers", "peft", "kafka"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert result.stdout.strip() == "[]", result.stderr
