"""Models and adapters that bring code along: none of it runs, and no pickled file is ever opened.

Every trap here is a real one: opened or imported, it leaves a mark.
"""

from __future__ import annotations

import json
import os
import pickle
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch

from prefstream import LoadError, ModelJudgeConfig, PanelConfig
from prefstream.consumer.doctor.judges import inspect
from prefstream.schemas import Battle
from prefstream.scoring.bench.request import Request
from prefstream.scoring.bench.throughput_worker import run_plain
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.loading.base_model import quiet_libraries
from prefstream.scoring.loading.judge import load_judge
from tests.support.models import make_tiny_judge, one_torch_thread

BATTLE: Final = Battle(id="1", prompt=("Which?",), response_a=("This.",), response_b=("That, of course.",))

PICKLES: Final = (
    *("pytorch_model.bin", "pytorch_model-00001-of-00001.bin", "adapter_model.bin", "training_args.bin", "model.pt"),
    *("model.pth", "model.ckpt", "optimizer.pt", "scaler.pt", "rng_state.pth", "head.pkl", "head.pickle"),
    *("tokenizer.pkl", "tokenizer.bin", "vocab.pkl", "vocab.bin", "merges.pkl", "model"),
)
"""Names by which one library or another would open a pickle; the last one is what an index may call a shard."""

_opened: set[Path] = set()


def _note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
        _opened.add(Path(arguments[0]))


sys.addaudithook(_note_opened)  # for good: there is no way to take one away


@dataclass(frozen=True)
class _Bomb:
    """Makes a file when it is unpickled."""

    mark: Path

    def __reduce__(self) -> tuple[Callable[[str], Path], tuple[str]]:
        return _touch, (str(self.mark),)


def _touch(path: str) -> Path:
    Path(path).touch()
    return Path(path)


@dataclass(frozen=True)
class Trapped:
    """A judge's files, with traps in them.

    Attributes:
        folder: of the judge.
        entry: of the panel file.
        mark: what a trap leaves behind.
    """

    folder: Path
    entry: dict[str, Any]
    mark: Path

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter"

    @property
    def code(self) -> str:
        """Python that leaves the mark."""
        return f"from pathlib import Path\nPath({str(self.mark)!r}).touch()\n"

    def lay_pickles(self, folder: Path) -> None:
        """Put pickles beside the weights, in both of the formats that torch reads."""
        for number, name in enumerate(PICKLES):
            torch.save(_Bomb(self.mark), folder / name, _use_new_zipfile_serialization=bool(number % 2))

    def judge(self) -> list[float]:
        """Load the judge, and let it judge one battle."""
        config = ModelJudgeConfig.model_validate(self.entry)
        judge = load_judge(config, place_judges([config])[config.name])
        row: list[float] = judge.score(judge.encode([BATTLE])).probabilities[0].tolist()
        return row

    def inspect(self) -> None:
        """As `prefstream doctor` does it."""
        adapter = self.adapter if self.entry.get("adapter") else None
        inspect(ModelJudgeConfig.model_validate(self.entry), self.base, adapter)

    def plain_loop(self) -> None:
        """As the loop that `prefstream bench` compares with does it."""
        with quiet_libraries():
            run_plain(Request(PanelConfig.model_validate({"judges": [self.entry]}), (BATTLE,), 1, self.folder))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("original")
    return folder, make_tiny_judge(folder, "llama", name="llama")


@pytest.fixture
def trapped(tmp_path: Path, original: tuple[Path, dict[str, Any]]) -> Iterator[Trapped]:
    """A judge whose files a test may spoil; whatever it does, no trap may go off, and no pickle be opened."""
    folder, entry = original
    copy = shutil.copytree(folder, tmp_path / "judge")
    places = {"base": str(copy / "base"), "adapter": str(copy / "adapter")}
    trapped = Trapped(copy, entry | places, tmp_path / "mark")
    with one_torch_thread():
        yield trapped
    assert not trapped.mark.exists()
    assert not [path for path in _opened if path.is_relative_to(tmp_path) and path.name in PICKLES]


WAYS: Final = (Trapped.judge, Trapped.inspect, Trapped.plain_loop)
each_way = pytest.mark.parametrize("way", WAYS, ids=["run", "doctor", "bench"])


def rewrite(path: Path, **changes: Any) -> None:
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**before, **changes}))


# The traps themselves.


def test_the_traps_would_go_off(tmp_path: Path) -> None:
    """What would come of opening one, and that opening one is noticed."""
    trapped = Trapped(tmp_path, {}, tmp_path / "mark")
    trapped.lay_pickles(tmp_path)
    for name in PICKLES[:2]:
        torch.load(tmp_path / name, weights_only=False)
        assert trapped.mark.exists()
        assert tmp_path / name in _opened
        trapped.mark.unlink()
    pickle.loads(pickle.dumps(_Bomb(trapped.mark)))  # noqa: S301 - the trap
    assert trapped.mark.exists()
    trapped.mark.unlink()
    (tmp_path / "code.py").write_text(trapped.code)
    runpy.run_path(str(tmp_path / "code.py"))
    assert trapped.mark.exists()


# Pickles.


@each_way
def test_pickles_beside_safetensors_are_never_opened(trapped: Trapped, way: Callable[[Trapped], None]) -> None:
    trapped.lay_pickles(trapped.base)
    trapped.lay_pickles(trapped.adapter)
    way(trapped)


def test_pickles_beside_safetensors_change_no_answer(trapped: Trapped) -> None:
    quiet = trapped.judge()
    trapped.lay_pickles(trapped.base)
    trapped.lay_pickles(trapped.adapter)
    np.testing.assert_array_equal(trapped.judge(), quiet)


@each_way
@pytest.mark.parametrize("part", ["base", "adapter"])
def test_pickles_alone_are_refused(trapped: Trapped, part: str, way: Callable[[Trapped], None]) -> None:
    folder = trapped.folder / part
    trapped.lay_pickles(folder)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(LoadError, match=r"holds pickled weights .*convert them to safetensors"):
        way(trapped)


@each_way
@pytest.mark.parametrize("shard", ["pytorch_model.bin", "model", "../adapter/adapter_model.bin", 7])
def test_an_index_that_names_pickles_is_refused(
    trapped: Trapped, shard: object, way: Callable[[Trapped], None]
) -> None:
    """Safetensors lie beside it, so that all looks well."""
    trapped.lay_pickles(trapped.base)
    trapped.lay_pickles(trapped.adapter)
    (trapped.base / "model.safetensors").rename(trapped.base / "other.safetensors")
    rewrite(trapped.base / "model.safetensors.index.json", weight_map={"model.norm.weight": shard})
    with pytest.raises(LoadError, match=r"model.safetensors.index.json: names weights that are no safetensors files"):
        way(trapped)


@each_way
@pytest.mark.parametrize("file", ["adapter_model.bin", "../adapter/adapter_model.safetensors"])
def test_a_config_that_names_its_weights_is_refused(
    trapped: Trapped, file: str, way: Callable[[Trapped], None]
) -> None:
    trapped.lay_pickles(trapped.base)
    rewrite(trapped.base / "config.json", transformers_weights=file)
    with pytest.raises(LoadError, match=r"config.json: names a file of weights"):
        way(trapped)


@each_way
def test_an_adapter_within_a_base_is_refused(trapped: Trapped, way: Callable[[Trapped], None]) -> None:
    """It would be loaded with the base, by its own settings: here pickled, and from elsewhere."""
    trapped.lay_pickles(trapped.base)
    rewrite(trapped.base / "adapter_config.json", peft_type="LORA", base_model_name_or_path=str(trapped.folder), r=4)
    with pytest.raises(LoadError, match="holds an adapter"):
        way(trapped)


# Code.


def test_code_beside_a_known_model_is_ignored(trapped: Trapped) -> None:
    lay_code(trapped)
    rewrite(trapped.base / "config.json", auto_map=AUTO_MAP)
    rewrite(trapped.base / "tokenizer_config.json", auto_map=TOKENIZER_MAP)
    trapped.judge()
    trapped.inspect()
    trapped.plain_loop()


@each_way
def test_a_model_that_is_nothing_but_its_code_is_refused(trapped: Trapped, way: Callable[[Trapped], None]) -> None:
    lay_code(trapped)
    rewrite(trapped.base / "config.json", model_type="hostile", auto_map=AUTO_MAP)
    with pytest.raises((LoadError, ValueError), match=r"trust_remote_code|can't be loaded"):
        way(trapped)


@each_way
def test_a_tokenizer_that_is_nothing_but_its_code_is_refused(trapped: Trapped, way: Callable[[Trapped], None]) -> None:
    lay_code(trapped)
    rewrite(trapped.base / "tokenizer_config.json", tokenizer_class="HostileTokenizer", auto_map=TOKENIZER_MAP)
    with pytest.raises((LoadError, ValueError), match=r"trust_remote_code|can't be loaded"):
        way(trapped)


AUTO_MAP: Final = {
    "AutoConfig": "hostile.HostileConfig",
    "AutoModel": "hostile.HostileModel",
    "AutoModelForSequenceClassification": "hostile.HostileModel",
}
TOKENIZER_MAP: Final = {"AutoTokenizer": ["hostile.HostileTokenizer", "hostile.HostileTokenizer"]}


def lay_code(trapped: Trapped) -> None:
    for folder in (trapped.base, trapped.adapter):
        for name in ("hostile.py", "modeling_llama.py", "__init__.py", "conftest.py", "setup.py"):
            (folder / name).write_text(trapped.code)


def test_a_kernel_from_the_hub_is_not_fetched(trapped: Trapped) -> None:
    """A kernel is compiled code; which attention runs is the panel file's to say."""
    rewrite(trapped.base / "config.json", attn_implementation="kernels-community/hostile")
    trapped.judge()
    trapped.inspect()


def test_a_chat_template_is_not_rendered(trapped: Trapped) -> None:
    """Layouts are prefstream's own; a model's may be any program in Jinja."""
    quiet = trapped.judge()
    gadget = f"cycler.__init__.__globals__.os.mkdir({str(trapped.mark)!r})"
    (trapped.base / "chat_template.jinja").write_text("{{ " + gadget + " }}{{ raise_exception('rendered') }}")
    np.testing.assert_array_equal(trapped.judge(), quiet)
    trapped.plain_loop()


# Adapters whose settings reach beyond LoRA.


@each_way
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"peft_type": "MULTITASK_PROMPT_TUNING", "prompt_tuning_init_state_dict_path": "model.pt"}, "peft_type is"),
        ({"peft_type": "PROMPT_TUNING", "tokenizer_kwargs": {"trust_remote_code": True}}, "peft_type is"),
        ({"peft_type": "XLORA", "adapters": {"0": "elsewhere"}}, "peft_type is"),
        ({"peft_type": None}, "peft_type is None"),
        ({"peft_type": ["LORA"]}, "peft_type is"),
        ({"megatron_config": {"a": 1}, "megatron_core": "hostile"}, "sets megatron_config"),
        ({"corda_config": {"cache_file": "model.pt"}}, "sets corda_config"),
        ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}}, "sets loftq_config"),
        ({"layer_replication": [[0, 9]]}, "sets layer_replication"),
        ({"a_setting_of_tomorrow": "hostile.py"}, "sets a_setting_of_tomorrow"),
    ],
    ids=lambda value: value.split()[-1] if isinstance(value, str) else str(next(iter(value.values())))[:20],
)
def test_only_plain_lora_is_loaded(
    trapped: Trapped, settings: dict[str, Any], told: str, way: Callable[[Trapped], None]
) -> None:
    trapped.lay_pickles(trapped.adapter)
    rewrite(trapped.adapter / "adapter_config.json", **settings)
    with pytest.raises(LoadError, match=rf"adapter_config.json: {told}"):
        way(trapped)


@each_way
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000], ids=["empty", "list", "bytes", "deep"])
def test_settings_that_are_no_json_object_are_refused(
    trapped: Trapped, content: bytes, way: Callable[[Trapped], None]
) -> None:
    (trapped.adapter / "adapter_config.json").write_bytes(content)
    with pytest.raises(LoadError, match=r"adapter_config.json: is no JSON object"):
        way(trapped)


def test_settings_that_say_nothing_are_no_obstacle(trapped: Trapped) -> None:
    """As other versions of peft write them, and whatever base was the one in training."""
    quiet = trapped.judge()
    rewrite(
        trapped.adapter / "adapter_config.json",
        a_setting_of_tomorrow=None,
        another={},
        base_model_name_or_path="/nowhere/else",
        revision="main",
        auto_mapping={"base_model_class": "Hostile", "parent_library": "hostile"},
        megatron_core="hostile",
    )
    np.testing.assert_array_equal(trapped.judge(), quiet)
