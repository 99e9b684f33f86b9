"""Judges with weights: what they answer equals a plain forward pass, in any micro-batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prefstream import BattleTooLargeError, ModelJudgeConfig, Panel, PanelAnswer
from prefstream.schemas import Battle
from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.judges.readout import read_pairwise, read_pointwise
from prefstream.scoring.loading.adapter import apply_adapter, verify_adapter_files
from prefstream.scoring.loading.adapter_record import AdapterRecord
from prefstream.scoring.loading.judge import load_judge
from prefstream.scoring.probabilities import Triples
from tests.support.models import Family, Kind, make_tiny_judge, one_torch_thread

FAMILIES: tuple[Family, ...] = ("gemma2", "gemma3", "embeddinggemma", "llama", "chatml", "plain")
BATTLES = [
    Battle(
        id=str(number),
        prompt=("Which answer is better?" * (number % 3 + 1),),
        response_a=("Response A is correct. " * (number % 5),),
        response_b=("no " * (7 * number % 11 + 1),),
    )
    for number in range(12)
]

Load = Callable[..., ModelJudge]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Load a tiny judge; the same arguments share one folder on disk."""
    root = tmp_path_factory.mktemp("judges")

    def load_one(family: Family = "gemma2", kind: Kind = "pairwise", **entry: Any) -> ModelJudge:
        config = ModelJudgeConfig.model_validate(make_tiny_judge(root / f"{family}-{kind}", family, kind, **entry))
        return load_judge(config, place_judges([config])[config.name])

    return load_one


def score(judge: ModelJudge, battles: Sequence[Battle]) -> Triples:
    scores = judge.score(judge.encode(battles))
    assert not scores.too_large
    return scores.probabilities


def plain_logits(folder: Path, judge: ModelJudge, sequences: Sequence[Sequence[int]], labels: int) -> Any:
    """One sequence at a time, unmerged, without mask, padding or any code of ours."""
    import peft
    from transformers import AutoModelForSequenceClassification

    base = AutoModelForSequenceClassification.from_pretrained(folder / "base", num_labels=labels)
    model = peft.PeftModel.from_pretrained(base, str(folder / "adapter")).eval()
    model.config.pad_token_id = None
    with torch.inference_mode():
        return np.concatenate([model(input_ids=torch.tensor([list(ids)])).logits.numpy() for ids in sequences])


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
def test_a_judge_answers_what_a_plain_unmerged_model_answers(
    tmp_path: Path, load: Load, family: Family, kind: Kind
) -> None:
    config = ModelJudgeConfig.model_validate(make_tiny_judge(tmp_path, family, kind, seed=5, name="j"))
    judge = load_judge(config, place_judges([config])["j"])
    batch = judge.encode(BATTLES)
    sequences = [sequence for encoding in batch.encodings for sequence in encoding.sequences]
    logits = plain_logits(tmp_path, judge, sequences, 3 if kind == "pairwise" else 2)
    expected = read_pairwise(logits) if kind == "pairwise" else read_pointwise(logits, tau=0.0)
    np.testing.assert_allclose(judge.score(batch).probabilities, expected, atol=1e-5)


def test_different_battles_get_different_answers(load: Load) -> None:
    rows = score(load(), BATTLES)
    assert len({tuple(row) for row in rows.round(6).tolist()}) > 6


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_batch_is_bit_identical(load: Load, family: Family) -> None:
    judge = load(family)
    assert score(judge, BATTLES).tobytes() == score(judge, BATTLES).tobytes()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
def test_any_other_micro_batch_is_equal_within_1e_5(load: Load, family: Family, kind: Kind) -> None:
    judge = load(family, kind)
    together = score(judge, BATTLES)
    alone = np.concatenate([score(judge, [battle]) for battle in BATTLES])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_a_judge_that_reads_both_ways_is_told_of_padding(load: Load, family: Family) -> None:
    judge, masks = load(family), []
    model = judge._source._model
    assert model is not None
    model.register_forward_pre_hook(lambda _, __, given: masks.append(given.get("attention_mask")), with_kwargs=True)
    score(judge, BATTLES)
    assert {mask is not None for mask in masks} == {family == "embeddinggemma"}


def test_a_loaded_again_judge_is_bit_identical(load: Load) -> None:
    assert score(load(), BATTLES).tobytes() == score(load(), BATTLES).tobytes()


def test_a_small_micro_batch_changes_nothing_but_rounding(load: Load) -> None:
    np.testing.assert_allclose(
        score(load(micro_batch_tokens=1), BATTLES), score(load(micro_batch_tokens=4096), BATTLES), atol=1e-5
    )


def test_a_pointwise_judge_swaps_with_its_battles(load: Load) -> None:
    judge = load("llama", "pointwise")
    swapped = score(judge, [battle.swap() for battle in BATTLES])
    np.testing.assert_allclose(swapped[:, [1, 0, 2]], score(judge, BATTLES), atol=1e-5)


def test_swap_costs_a_pointwise_judge_nothing(load: Load) -> None:
    judge = load("llama", "pointwise")
    with Panel([judge], swap=True) as swapping:
        batch = swapping.encode(BATTLES)
        answers = swapping.score_encoded(batch)
    assert batch.padded_tokens == judge.encode(BATTLES).padded_tokens
    assert all(isinstance(one, PanelAnswer) and one.judges[0].position_gap == 0.0 for one in answers)


def test_swap_of_a_pairwise_judge_makes_the_panel_symmetric(load: Load) -> None:
    with Panel([load()], swap=True) as panel:
        there, back = panel.score([BATTLES[3], BATTLES[3].swap()])
    assert isinstance(there, PanelAnswer)
    assert isinstance(back, PanelAnswer)
    assert there.judges[0].position_gap
    assert there.probabilities.model_a == pytest.approx(back.probabilities.model_b, abs=1e-5)
    assert there.judges[0].as_given is not None
    assert back.judges[0].swapped is not None
    assert there.judges[0].as_given.model_a == pytest.approx(back.judges[0].swapped.model_b, abs=1e-5)


def test_receipts_and_provenance_reach_the_answer(load: Load) -> None:
    long = Battle(id="long", prompt=("why? " * 400,), response_a=("a" * 900,), response_b=("b",))
    with Panel([load()]) as panel:
        short_answer, long_answer = panel.score([BATTLES[0], long])
    assert isinstance(short_answer, PanelAnswer)
    assert isinstance(long_answer, PanelAnswer)
    (short_opinion,), (long_opinion,) = short_answer.judges, long_answer.judges
    assert short_opinion.truncation is not None
    assert long_opinion.truncation is not None
    assert short_opinion.truncation.dropped_prompt == 0
    assert long_opinion.truncation.dropped_prompt > 0
    assert long_opinion.provenance.template == "gemma-pairwise-1"
    assert long_opinion.provenance.trained


def test_bfloat16_answers_are_near_those_of_float32(load: Load) -> None:
    np.testing.assert_allclose(score(load(dtype="bfloat16"), BATTLES), score(load(), BATTLES), atol=0.06)


def test_the_adapters_calibration_and_tau_are_applied(tmp_path: Path) -> None:
    config = ModelJudgeConfig.model_validate(make_tiny_judge(tmp_path, "llama", "pointwise", name="j"))
    placement = place_judges([config])["j"]
    before = score(load_judge(config, placement), BATTLES)
    record = AdapterRecord.read(tmp_path / "adapter")
    changed = record.model_copy(
        update={"tau": 0.5, "calibration": record.calibration.model_copy(update={"tie_bias": 0.25})}
    )
    changed.write(tmp_path / "adapter")
    after = score(load_judge(config, placement), BATTLES)
    odds_before, odds_after = before[:, 2] / before[:, 0], after[:, 2] / after[:, 0]
    np.testing.assert_allclose(odds_after / odds_before, np.exp(0.75), rtol=1e-4)


class ShortOfMemory(torch.nn.Module):
    """A model on a device that holds only so many tokens at a time."""

    def __init__(self, model: torch.nn.Module, capacity_tokens: int) -> None:
        super().__init__()
        self.model = model
        self.capacity_tokens = capacity_tokens

    def forward(self, input_ids: torch.Tensor, **arguments: Any) -> Any:
        if input_ids.numel() > self.capacity_tokens:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.model(input_ids=input_ids, **arguments)


@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
def test_a_battle_that_does_not_fit_alone_is_too_large_and_the_rest_is_scored(
    load: Load, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = load("gemma2", kind)
    expected, budget = score(judge, BATTLES), judge.budget_tokens
    lengths = [encoding.longest for encoding in judge.encode(BATTLES).encodings]
    longest = max(lengths)
    capacity = max(length for length in lengths if length < longest)
    forward = judge._source
    assert forward._model is not None
    monkeypatch.setattr(forward, "_model", ShortOfMemory(forward._model, capacity))
    scores = judge.score(judge.encode(BATTLES))
    assert set(scores.too_large) == {place for place, length in enumerate(lengths) if length == longest}
    assert all(isinstance(error, BattleTooLargeError) for error in scores.too_large.values())
    fits = [place for place, length in enumerate(lengths) if length < longest]
    np.testing.assert_allclose(scores.probabilities[fits], expected[fits], atol=1e-5)
    assert judge.budget_tokens < budget


@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
def test_a_battle_whose_answer_is_no_number_is_named_by_its_id(
    load: Load, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = load("gemma2", kind)
    lengths = [encoding.longest for encoding in judge.encode(BATTLES).encodings]
    longest = BATTLES[lengths.index(max(lengths))]
    forward = judge._source
    assert forward._model is not None
    monkeypatch.setattr(forward, "_model", Overflowing(forward._model, max(lengths)))
    with pytest.raises(JudgeFaultError, match=f"logits of battle '{longest.id}' (and of 1 more )?are not") as caught:
        judge.score(judge.encode(BATTLES))
    assert caught.value.transient


class Overflowing(torch.nn.Module):
    """A model whose numbers become too large where a sequence is as long as this."""

    def __init__(self, model: torch.nn.Module, tokens: int) -> None:
        super().__init__()
        self.model = model
        self.tokens = tokens

    def forward(self, input_ids: torch.Tensor, **arguments: Any) -> Any:
        output = self.model(input_ids=input_ids, **arguments)
        output.logits[torch.count_nonzero(input_ids, dim=1) >= self.tokens] = torch.inf  # Gemma's padding is 0
        return output


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_merged_equals_unmerged(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    make_tiny_judge(tmp_path, "gemma2")
    logits: list[Any] = []
    for merge in (True, False):
        base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=3)
        shapes = verify_adapter_files(tmp_path / "adapter", frozenset({"score.weight"}))
        model = apply_adapter(base, tmp_path / "adapter", shapes, merge=merge)
        with torch.inference_mode():
            logits.append(model(input_ids=torch.arange(5, 45)[None]).logits.numpy())
    np.testing.assert_allclose(logits[0], logits[1], atol=3e-5)


def test_two_judges_in_threads_answer_what_they_answer_alone(load: Load) -> None:
    judges = [load("gemma2", name="gemma"), load("llama", "pointwise", name="llama")]
    alone = [score(judge, BATTLES) for judge in judges]
    with Panel(judges) as panel:
        batch = panel.encode(BATTLES)
        for _ in range(3):
            for place, one in enumerate(panel.score_encoded(batch)):
                assert isinstance(one, PanelAnswer)
                for judge, opinion in enumerate(one.judges):
                    assert opinion.probabilities.tie == pytest.approx(alone[judge][place, 2], abs=1e-5)
