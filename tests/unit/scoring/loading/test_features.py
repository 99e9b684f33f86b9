"""Loading a judge of features: record and weights as they were written, or a refusal with place and remedy."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from prefstream import PanelConfig, load_panel
from prefstream.schemas import Battle
from prefstream.scoring.config import FeaturesJudgeConfig
from prefstream.scoring.errors import ConfigError, LoadError, MissingExtraError
from prefstream.scoring.loading import features
from prefstream.scoring.loading.adapter_record import RECORD, WEIGHTS
from prefstream.scoring.loading.features import FeaturesRecord, load_features_judge, read_features_adapter
from tests.support.features_judges import make_features_adapter
from tests.support.models import make_tiny_judge

BATTLE = Battle(id="1", prompt="Is it so?", response_a="correct 1", response_b="wrong 2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_features_adapter(tmp_path_factory.mktemp("adapter") / "lexical")


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(trained, tmp_path / "lexical"))


def config(folder: Path | str, **settings: Any) -> FeaturesJudgeConfig:
    return FeaturesJudgeConfig.model_validate(
        {"name": "lexical", "kind": "features", "adapter": str(folder), **settings}
    )


def edit_record(folder: Path, **changes: Any) -> None:
    path = folder / RECORD
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Other weights, for which the record vouches."""
    content = save(change(load_file(folder / WEIGHTS)))
    (folder / WEIGHTS).write_bytes(content)
    edit_record(folder, weights_hash=hashlib.sha256(content).hexdigest())


def test_a_judge_is_loaded_as_it_was_stored(trained: Path) -> None:
    record, model = read_features_adapter(trained)
    again, _ = read_features_adapter(trained)
    judge = load_features_judge(config(trained, weight=2.0))
    assert record == again == FeaturesRecord.read(trained)
    assert (judge.name, judge.weight, judge.symmetric) == ("lexical", 2.0, True)
    assert judge.provenance.model_dump(exclude_none=True) == {
        "kind": "features",
        "adapter_hash": hashlib.sha256((trained / WEIGHTS).read_bytes()).hexdigest(),
        "template": record.template,
        "template_hash": record.template_hash,
        "mask_identity": True,
        "trained": True,
    }
    assert [model.sides.dtype, model.both.dtype] == [np.float32, np.float32]


def test_what_becomes_of_its_files_later_does_not_matter(folder: Path) -> None:
    judge = load_features_judge(config(folder))
    before = judge.score(judge.encode([BATTLE])).probabilities
    (folder / WEIGHTS).write_bytes(b"\0" * 64)
    shutil.rmtree(folder)
    assert (judge.score(judge.encode([BATTLE])).probabilities == before).all()


def replaced(name: str, tensor: Any) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, lambda tensors: {**tensors, name: tensor(tensors[name])})


def delete(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-4])


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")


def other_weights(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).write_bytes(save({name: tensor + 1 for name, tensor in tensors.items()}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, r"no such folder; give the folder or the hub id"),
        (delete(WEIGHTS), r"holds no \*.safetensors file"),
        (pickled, r"holds pickled weights \(adapter_model.bin\)"),
        (delete(RECORD), r"has no prefstream.json, .*use a folder that `prefstream finetune` wrote"),
        (cut, r"bytes, its header says \d+; fetch or save it again"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"no weights"), r"is no safetensors file"),
        (lambda folder: (folder / WEIGHTS).rename(folder / "other.safetensors"), r"has no adapter_model.safetensors"),
        (other_weights, r"not the weights that .*prefstream.json was written for .*copy the whole folder again"),
        (replaced("sides", lambda tensor: tensor[:-1]), r"both \[\d+\], bounds \[3\], sides \[\d+\], the features .*"),
        (replaced("sides", lambda tensor: tensor.reshape(1, -1)), r"the features that .* need"),
        (lambda folder: rewrite(folder, lambda tensors: {"sides": tensors["sides"]}), r"the features that .* need"),
        (replaced("both", lambda tensor: tensor.astype(np.float64)), r"both holds what is no finite float32 number"),
        (replaced("both", lambda tensor: tensor * np.float32("nan")), r"both holds what is no finite float32 number"),
        (lambda folder: edit_record(folder, template_hash="0" * 64), r"trained on the features .*, or train it again"),
        (lambda folder: edit_record(folder, features={"hash_bits": 9}), r"this version counts"),
        (lambda folder: edit_record(folder, labels=["tie", "model_a", "model_b"]), r"the labels are tie, model_a"),
        (lambda folder: edit_record(folder, kind="pointwise"), r"trained as pointwise, .*set kind: pointwise"),
        (lambda folder: edit_record(folder, format=2), r"format"),
    ],
)  # fmt: skip
def test_a_damaged_adapter_is_refused_with_its_place_and_a_remedy(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder)
    with pytest.raises(LoadError, match=message) as refused:
        load_features_judge(config(folder))
    assert str(folder) in str(refused.value)


def test_a_judge_on_a_base_refuses_the_adapter_of_a_judge_of_features(trained: Path, tmp_path: Path) -> None:
    judge = {**make_tiny_judge(tmp_path / "base", "llama", "pointwise", adapter=False), "adapter": str(trained)}
    with (
        pytest.raises(LoadError, match=r"prefstream\.json: is of a judge of features.*kind: features"),
        load_panel(PanelConfig.model_validate({"judges": [judge]})),
    ):
        pass


def test_an_adapter_of_the_hub_needs_its_commit() -> None:
    with pytest.raises(ConfigError, match="needs adapter_revision, the full commit hash"):
        FeaturesJudgeConfig(name="lexical", kind="features", adapter="someone/lexical")


def test_an_adapter_of_the_hub_needs_the_hubs_client(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(who: str, extra: str) -> None:
        raise MissingExtraError(who, (extra,), "huggingface_hub")

    monkeypatch.setattr(features, "require", missing)
    with pytest.raises(MissingExtraError, match="judge lexical needs prefstream"):
        load_features_judge(config("someone/lexical", adapter_revision="0" * 40))
