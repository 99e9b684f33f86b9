"""What is asked of a judge whose device has no room for its passes; here its model raises what a card would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

from prefstream.scoring.bench.gpu.memory import long_battles, starve
from prefstream.scoring.bench.gpu.subjects import loaded
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.judges.model import ModelJudge
from tests.support.models import make_tiny_judge, one_torch_thread

LENGTH = 48
TOKENS = 8 * LENGTH


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ModelJudgeConfig:
    entry = make_tiny_judge(tmp_path_factory.mktemp("starved"), "llama", max_length=LENGTH, micro_batch_tokens=TOKENS)
    return ModelJudgeConfig.model_validate(entry)


@pytest.fixture
def judge(config: ModelJudgeConfig) -> Iterator[ModelJudge]:
    with one_torch_thread(), loaded(config) as one:
        yield one


@contextmanager
def no_room_for(judge: ModelJudge, fails: Callable[[int], bool]) -> Iterator[None]:
    def refuse(_: torch.nn.Module, __: Any, inputs: dict[str, Any]) -> None:
        if fails(inputs["input_ids"].numel()):
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert judge._source._model is not None
    hook = judge._source._model.register_forward_pre_hook(refuse, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def test_all_battles_are_answered_and_the_budget_grows_back(judge: ModelJudge, config: ModelJudgeConfig) -> None:
    room = no_room_for(judge, lambda tokens: tokens > TOKENS / 3)
    found = starve(judge, long_battles(config), room, patience_s=60.0)
    assert found.faults == ()
    assert found.figures["answered"] == found.figures["battles"] == 16
    assert (found.figures["halved_to_tokens"], found.figures["grown_to_tokens"]) == (TOKENS // 4, TOKENS)
    assert found.figures["gap"]["most"] < 1e-5


def test_where_nothing_failed_nothing_was_tried(judge: ModelJudge, config: ModelJudgeConfig) -> None:
    found = starve(judge, long_battles(config), nullcontext(), patience_s=60.0)
    [fault] = found.faults
    assert "the cap did not hold" in fault


def test_battles_without_an_answer_and_a_budget_that_stays_small_are_faults(
    judge: ModelJudge, config: ModelJudgeConfig
) -> None:
    found = starve(judge, long_battles(config), no_room_for(judge, lambda _: True), patience_s=0.0)
    unanswered, stays = found.faults
    assert unanswered == "16 of 16 battles got no answer"
    assert "did not grow in 0 passes" in stays


def test_long_battles_fill_what_a_judge_reads_and_are_not_alike(judge: ModelJudge, config: ModelJudgeConfig) -> None:
    battles = long_battles(config)
    batch = judge.encode(battles)
    assert len({encoding.sequences for encoding in batch.encodings}) == len(battles)
    assert min(encoding.longest for encoding in batch.encodings) >= LENGTH - 2
