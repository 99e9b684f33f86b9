"""An adapter whose LoRA was not trained is a head alone: put onto its base without peft, to the same end."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from prefstream.scoring.errors import LoadError
from prefstream.scoring.loading.adapter import apply_adapter, verify_adapter_files
from tests.support.models import make_tiny_judge

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # between transformers and peft

UP = ".lora_B.weight"
Tensors = dict[str, torch.Tensor]


def untrained(tensors: Tensors) -> Tensors:
    """As LoRA begins: what comes up again is nothing."""
    return {name: torch.zeros_like(tensor) if name.endswith(UP) else tensor for name, tensor in tensors.items()}


def without(name: str, tensors: Tensors) -> Tensors:
    return {key: tensor for key, tensor in tensors.items() if name not in key}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    make_tiny_judge(folder, "llama")
    rewrite(folder / "adapter", untrained)
    return folder


@pytest.fixture
def head_alone(tmp_path: Path, original: Path) -> Path:
    """A judge whose adapter a test may spoil."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return tmp_path


def rewrite(adapter: Path, change: Callable[[Tensors], Tensors]) -> None:
    path = adapter / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)


def base_of(folder: Path) -> Any:
    torch.manual_seed(0)  # of the head, which the base lacks
    return AutoModelForSequenceClassification.from_pretrained(folder / "base", num_labels=3, dtype=torch.bfloat16)


def applied(folder: Path, *, merge: bool = True) -> Any:
    shapes = verify_adapter_files(folder / "adapter", frozenset({"score.weight"}))
    return apply_adapter(base_of(folder), folder / "adapter", shapes, merge=merge)


@pytest.fixture
def no_peft(head_alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del head_alone  # which peft makes
    monkeypatch.setitem(sys.modules, "peft", None)


def test_a_head_alone_makes_what_peft_makes_of_it(head_alone: Path) -> None:
    import peft

    ours = applied(head_alone)
    theirs = peft.PeftModel.from_pretrained(base_of(head_alone), str(head_alone / "adapter")).merge_and_unload()
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
    assert not torch.equal(ours.score.weight, base_of(head_alone).score.weight)
    assert not ours.training
    assert not any(parameter.requires_grad for parameter in ours.parameters())


@pytest.mark.usefixtures("no_peft")
def test_a_head_alone_does_without_peft_where_it_is_merged(head_alone: Path) -> None:
    assert type(applied(head_alone)).__name__ == "LlamaForSequenceClassification"
    with pytest.raises(ModuleNotFoundError):
        applied(head_alone, merge=False)


@pytest.mark.usefixtures("no_peft")
@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": "all-linear"},
        {"layers_to_transform": 1},
        {"exclude_modules": ["lm_head"]},
        {"rank_pattern": {"q_proj": 4}},
        {"use_dora": True},
        {"bias": "all"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_is_in_doubt_is_left_to_peft(head_alone: Path, settings: dict[str, Any]) -> None:
    path = head_alone / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **settings}))
    with pytest.raises(ModuleNotFoundError):
        applied(head_alone)


@pytest.mark.usefixtures("no_peft")
def test_a_lora_that_was_trained_in_one_number_is_left_to_peft(head_alone: Path) -> None:
    def train(tensors: Tensors) -> Tensors:
        last = max(name for name in tensors if name.endswith(UP))
        tensors[last][-1, -1] = 1e-6
        return tensors

    rewrite(head_alone / "adapter", train)
    with pytest.raises(ModuleNotFoundError):
        applied(head_alone)


@pytest.mark.parametrize(
    ("spoil", "refused"),
    [
        (lambda tensors: without("layers.1.mlp.up_proj.lora_B", tensors), "missing"),
        (lambda tensors: {**tensors, "base_model.model.model.norm.weight": torch.ones(32)}, "not in this base"),
        (lambda tensors: {name: t[..., :4] if "score" in name else t for name, t in tensors.items()}, "another shape"),
    ],
    ids=["missing", "too many", "another shape"],
)
def test_a_head_alone_that_does_not_fit_is_refused(
    head_alone: Path, spoil: Callable[[Tensors], Tensors], refused: str
) -> None:
    rewrite(head_alone / "adapter", lambda tensors: {name: t.contiguous() for name, t in spoil(tensors).items()})
    with pytest.raises(LoadError, match=refused):
        applied(head_alone)


def test_a_head_alone_of_some_layers_is_told_by_them(head_alone: Path, no_peft: None) -> None:
    """Adapters name layers by their number; those of others have no LoRA then."""
    path = head_alone / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "layers_to_transform": [1]}))
    rewrite(head_alone / "adapter", lambda tensors: without("layers.0.", tensors))
    assert applied(head_alone).score.weight.shape == (3, 32)
    rewrite(head_alone / "adapter", lambda tensors: without("layers.1.mlp", tensors))
    with pytest.raises(ModuleNotFoundError):
        applied(head_alone)
