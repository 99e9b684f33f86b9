"""An adapter merged into its base: a plain model of transformers that answers alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from prefstream import Battle, FileError, LoadError
from prefstream.scoring.adapters.merge import merge_adapter
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.judges.readout import read_pairwise
from prefstream.scoring.loading.judge import load_judge
from tests.support.models import make_tiny_adapter, make_tiny_base, make_tiny_judge, one_torch_thread

BATTLES = [Battle(id="1", prompt=("Which?",), response_a=("This.",), response_b=("That, of course.",))]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.mark.parametrize("kept_layers", [None, 1])
def test_transformers_loads_it_and_it_answers_as_the_judge(tmp_path: Path, kept_layers: int | None) -> None:
    from transformers import AutoModelForSequenceClassification

    entry = make_tiny_judge(tmp_path, "gemma2", "pairwise", kept_layers=kept_layers)
    parameters = merge_adapter(tmp_path / "adapter", tmp_path / "merged", base=entry["base"], dtype="float32")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    config = ModelJudgeConfig.model_validate(entry)
    judge = load_judge(config, place_judges([config])[config.name])
    batch = judge.encode(BATTLES)
    with torch.inference_mode():
        logits = model(torch.tensor([batch.encodings[0].sequences[0]])).logits.numpy()
    np.testing.assert_allclose(read_pairwise(logits), judge.score(batch).probabilities, atol=1e-5)
    assert parameters == model.num_parameters()


def test_its_weights_are_of_the_dtype_asked_for(tmp_path: Path) -> None:
    from prefstream.scoring.loading.weights import read_shapes

    entry = make_tiny_judge(tmp_path, "llama")
    sizes = {}
    for dtype in ("bfloat16", "float32"):
        merge_adapter(tmp_path / "adapter", tmp_path / dtype, base=entry["base"], dtype=dtype)
        assert read_shapes(tmp_path / dtype / "model.safetensors")["score.weight"] == (3, 32)
        sizes[dtype] = (tmp_path / dtype / "model.safetensors").stat().st_size
    assert sizes["float32"] == pytest.approx(2 * sizes["bfloat16"], rel=0.1)


def test_licences_go_with_the_weights(tmp_path: Path) -> None:
    entry = make_tiny_judge(tmp_path, "llama")
    (tmp_path / "adapter" / "NOTICE").write_text("whose it is")
    merge_adapter(tmp_path / "adapter", tmp_path / "merged", base=entry["base"])
    assert (tmp_path / "merged" / "NOTICE").read_text() == "whose it is"


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    entry = make_tiny_judge(tmp_path, "llama")
    make_tiny_base(tmp_path / "wider", "llama", hidden_size=64)
    make_tiny_adapter(tmp_path / "other", tmp_path / "wider")
    with pytest.raises(LoadError, match="does not fit this base"):
        merge_adapter(tmp_path / "other", tmp_path / "merged", base=entry["base"])
    assert not (tmp_path / "merged").exists()


def test_what_lies_there_is_replaced_by_force_alone(tmp_path: Path) -> None:
    entry = make_tiny_judge(tmp_path, "llama")
    merge_adapter(tmp_path / "adapter", tmp_path / "merged", base=entry["base"])
    with pytest.raises(FileError, match="holds a merged model already; give --force"):
        merge_adapter(tmp_path / "adapter", tmp_path / "merged", base=entry["base"])
    merge_adapter(tmp_path / "adapter", tmp_path / "merged", base=entry["base"], force=True)


def test_other_files_are_never_replaced(tmp_path: Path) -> None:
    entry = make_tiny_judge(tmp_path, "llama")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(FileError, match="holds something else than a merged model"):
        merge_adapter(tmp_path / "adapter", tmp_path / "mine", base=entry["base"], force=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
