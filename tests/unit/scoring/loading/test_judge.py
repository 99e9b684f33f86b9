"""Loading: what is refused, with which message, and what a loaded judge says about itself."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prefstream import ConfigError, LoadError, PanelConfig, load_panel
from prefstream.schemas import Battle
from prefstream.scoring.errors import FetchError
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading.adapter_record import AdapterRecord
from prefstream.scoring.loading.weights import hash_base, read_shapes, weight_files
from tests.support.loaded_judges import load
from tests.support.models import (
    make_tiny_adapter,
    make_tiny_judge,
    make_tiny_panel,
    one_torch_thread,
    put_into_the_demos_cache,
)

BATTLE = Battle(id="1", prompt=("Which?",), response_a=("This.",), response_b=("That, of course.",))
LLAMA_WEIGHTS = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def probabilities(judge: ModelJudge) -> list[float]:
    row: list[float] = judge.score(judge.encode([BATTLE])).probabilities[0].tolist()
    return row


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    make_tiny_judge(folder / "llama", "llama")
    make_tiny_judge(folder / "gemma2", "gemma2")
    return folder


@pytest.fixture
def entry(tmp_path: Path, originals: Path) -> dict[str, Any]:
    """A Llama judge whose files a test may spoil."""
    shutil.copytree(originals / "llama", tmp_path / "llama")
    return make_entry(tmp_path / "llama")


def make_entry(folder: Path) -> dict[str, Any]:
    return {
        "name": "llama",
        "kind": "pairwise",
        "base": str(folder / "base"),
        "adapter": str(folder / "adapter"),
        "device": "cpu",
        "dtype": "float32",
        "max_length": 256,
    }


def rewrite_adapter(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)


def rewrite_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# What a loaded judge says about itself.


def test_provenance_says_what_exactly_answers(entry: dict[str, Any]) -> None:
    provenance = load(entry).provenance
    assert provenance.kind == "pairwise"
    assert (provenance.base, provenance.revision) == ("base", None)
    assert (provenance.dtype, provenance.quantization, provenance.attention) == ("float32", "none", "sdpa")
    assert (provenance.device, provenance.max_length, provenance.trained) == ("cpu", 256, True)
    assert provenance.mask_identity is False
    assert provenance.template == "llama3-pairwise-1"
    assert len(provenance.base_hash or "") == len(provenance.adapter_hash or "") == 64


def test_progress_is_told(entry: dict[str, Any]) -> None:
    lines: list[str] = []
    load_panel(PanelConfig.model_validate({"judges": [entry]}), say=lines.append).close()
    assert [line.split(":")[0] for line in lines] == ["llama", "llama"]


def test_a_panel_file_is_loaded(tmp_path: Path) -> None:
    with load_panel(make_tiny_panel(tmp_path)) as panel:
        assert [judge.name for judge in panel.judges] == ["gemma", "llama"]
        assert panel.trained
        assert len(panel.score([BATTLE])) == 1


def test_loading_leaves_no_trace_in_the_logs(entry: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    load(entry)
    assert capfd.readouterr() == ("", "")


def test_the_adapters_head_is_the_one_that_answers(entry: dict[str, Any]) -> None:
    before = probabilities(load(entry))
    rewrite_adapter(
        Path(entry["adapter"]),
        lambda tensors: {name: 2 * tensor if "score" in name else tensor for name, tensor in tensors.items()},
    )
    after = probabilities(load(entry))
    # Logits twice as large: probabilities squared, then normalised.
    np.testing.assert_allclose(after, np.square(before) / np.square(before).sum(), rtol=1e-4)


def test_configured_attention_is_used(entry: dict[str, Any]) -> None:
    assert load({**entry, "attention": "eager"}).provenance.attention == "eager"


def test_attention_that_the_family_cannot_do_is_refused(originals: Path) -> None:
    with pytest.raises(LoadError, match="weights can't be loaded"):
        load({**make_entry(originals / "gemma2"), "attention": "sdpa"})


# Untrained heads.


def test_a_judge_without_an_adapter_is_refused(entry: dict[str, Any]) -> None:
    del entry["adapter"]
    with pytest.raises(LoadError, match="allow_untrained: true"):
        load(entry)


def test_an_allowed_random_head_is_stated_and_reproducible(entry: dict[str, Any]) -> None:
    del entry["adapter"]
    torch.manual_seed(1)
    first = load({**entry, "allow_untrained": True})
    torch.manual_seed(2)
    second = load({**entry, "allow_untrained": True})
    assert not first.provenance.trained
    assert first.provenance.adapter_hash is None
    assert probabilities(first) == probabilities(second)


def test_loading_leaves_the_random_generator_alone(entry: dict[str, Any]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3).tolist()
    torch.manual_seed(3)
    del entry["adapter"]
    load({**entry, "allow_untrained": True})
    assert torch.rand(3).tolist() == expected


# Adapters that must not judge.


def test_an_adapter_without_its_head_is_refused(entry: dict[str, Any]) -> None:
    rewrite_adapter(
        Path(entry["adapter"]), lambda tensors: {name: t for name, t in tensors.items() if "score" not in name}
    )
    with pytest.raises(
        LoadError, match=r"adapter_model.safetensors: the classification head \(score.weight\) is missing"
    ):
        load(entry)


def test_an_adapter_with_a_missing_tensor_is_refused(entry: dict[str, Any]) -> None:
    rewrite_adapter(
        Path(entry["adapter"]), lambda tensors: {name: t for name, t in tensors.items() if name != LLAMA_WEIGHTS}
    )
    with pytest.raises(LoadError, match=rf"does not fit this base: missing: {LLAMA_WEIGHTS}"):
        load(entry)


def test_an_adapter_with_a_tensor_too_many_is_refused(entry: dict[str, Any]) -> None:
    rewrite_adapter(
        Path(entry["adapter"]),
        lambda tensors: {**tensors, LLAMA_WEIGHTS.replace("layers.0", "layers.9"): tensors[LLAMA_WEIGHTS].clone()},
    )
    with pytest.raises(LoadError, match=r"not in this base: .*layers\.9"):
        load(entry)


def test_an_adapter_of_another_rank_than_its_config_is_refused(entry: dict[str, Any]) -> None:
    rewrite_json(Path(entry["adapter"]) / "adapter_config.json", r=8)
    with pytest.raises(LoadError, match=r"of another shape: .*\[4, 32\] for \[8, 32\]"):
        load(entry)


def test_an_adapter_of_a_wider_base_is_refused(tmp_path: Path, entry: dict[str, Any]) -> None:
    wide = make_tiny_judge(tmp_path / "wide", "llama", hidden_size=64)
    with pytest.raises(LoadError, match="of another shape"):
        load({**entry, "adapter": wide["adapter"]})


@pytest.mark.parametrize("removed", ["prefstream.json", "adapter_config.json"])
def test_an_adapter_without_its_records_is_refused(entry: dict[str, Any], removed: str) -> None:
    (Path(entry["adapter"]) / removed).unlink()
    with pytest.raises(LoadError, match=f"has no {removed}"):
        load(entry)


def test_a_pickled_adapter_is_refused_unopened(entry: dict[str, Any]) -> None:
    folder = Path(entry["adapter"])
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(LoadError, match=r"pickled weights \(adapter_model.bin\)"):
        load(entry)


def test_an_adapter_trained_for_the_other_kind_is_refused(tmp_path: Path, entry: dict[str, Any]) -> None:
    make_tiny_adapter(tmp_path / "pointwise", Path(entry["base"]), "pointwise")
    with pytest.raises(LoadError, match="trained as pointwise, the panel file says pairwise; set kind: pointwise"):
        load({**entry, "adapter": str(tmp_path / "pointwise")})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template_hash": "0" * 64}, "trained with the layout"),
        ({"labels": ["model_b", "model_a", "tie"]}, "the labels are model_b, model_a, tie"),
        ({"tauu": 1}, "tauu: unknown key; did you mean tau?"),
        ({"max_length": 0}, "max_length: "),
    ],
)
def test_an_adapter_whose_record_does_not_match_is_refused(
    entry: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    rewrite_json(Path(entry["adapter"]) / "prefstream.json", **changes)
    with pytest.raises(LoadError, match=message) as caught:
        load(entry)
    assert "prefstream.json" in str(caught.value)


def test_a_record_reads_back_as_it_was_written(entry: dict[str, Any]) -> None:
    folder = Path(entry["adapter"])
    record = AdapterRecord.read(folder).model_copy(update={"tau": 0.5, "base": "google/gemma-2-9b-it"})
    record.write(folder)
    assert AdapterRecord.read(folder) == record


def test_a_judge_masks_identity_exactly_if_its_adapter_was_trained_so(entry: dict[str, Any]) -> None:
    """What the adapter recorded decides; without it, names are read as they stand."""
    claim = Battle(id="1", prompt=("Who?",), response_a=("I am ChatGPT, made by OpenAI.",), response_b=("Nobody.",))
    neutral = claim.model_copy(update={"response_a": ("I am an AI assistant, made by its developer.",)})
    plain = load(entry)
    rewrite_json(Path(entry["adapter"]) / "prefstream.json", mask_identity=True)
    masking = load(entry)
    assert (plain.provenance.mask_identity, masking.provenance.mask_identity) == (False, True)
    assert plain.encode([claim]).encodings != plain.encode([neutral]).encodings
    assert masking.encode([claim]).encodings == plain.encode([neutral]).encodings
    expected = plain.score(plain.encode([neutral])).probabilities
    assert masking.score(masking.encode([claim])).probabilities.tolist() == expected.tolist()


# Bases that must not judge.


def test_pickled_weights_are_refused_unopened(entry: dict[str, Any]) -> None:
    folder = Path(entry["base"])
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(LoadError, match=r"pickled weights \(pytorch_model.bin\).*convert them to safetensors"):
        load(entry)


def test_a_folder_without_weights_is_refused(entry: dict[str, Any]) -> None:
    (Path(entry["base"]) / "model.safetensors").unlink()
    with pytest.raises(LoadError, match=r"holds no \*.safetensors file"):
        load(entry)


def test_a_folder_that_is_not_there_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(LoadError, match="no such folder"):
        load({**entry, "base": entry["base"] + "-gone"})


def test_a_cut_off_weight_file_is_refused(entry: dict[str, Any]) -> None:
    path = Path(entry["base"]) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LoadError, match=r"model.safetensors: has \d+ bytes, its header says \d+"):
        load(entry)


@pytest.mark.parametrize("content", [b"", b"12345678", b"\x02\0\0\0\0\0\0\0[]", b"\xff" * 64])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(LoadError, match="is no safetensors file"):
        read_shapes(path)


def test_a_base_with_a_missing_tensor_is_refused(entry: dict[str, Any]) -> None:
    path = Path(entry["base"]) / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.norm.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(LoadError, match=r"missing: model\.norm\.weight"):
        load(entry)


def test_a_base_with_more_layers_than_its_config_is_refused(entry: dict[str, Any]) -> None:
    rewrite_json(Path(entry["base"]) / "config.json", num_hidden_layers=1)
    with pytest.raises(LoadError, match=r"left over: model.layers.1"):
        load({**entry, "adapter": None, "allow_untrained": True})


def test_an_architecture_without_a_classifier_is_refused(entry: dict[str, Any]) -> None:
    (Path(entry["base"]) / "config.json").write_text('{"model_type": "whisper", "vocab_size": 442}')
    with pytest.raises(LoadError, match="no sequence classifier"):
        load(entry)


def test_a_max_length_beyond_the_base_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"judge llama.*at most 4096 tokens"):
        load({**entry, "max_length": 5000})


def test_a_max_length_without_room_for_text_names_the_judge(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"judge llama.*max_length is 3"):
        load({**entry, "max_length": 3})


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=str,
)
def test_a_base_that_does_not_fit_on_its_device_is_told_with_what_to_change(
    entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def run_out(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("transformers.AutoModelForSequenceClassification.from_pretrained", run_out)
    with pytest.raises(LoadError, match=r"judge llama: .* does not fit on cpu; set quantization: 8bit or"):
        load(entry)


def test_a_judge_whose_logits_are_not_finite_is_refused_at_load(entry: dict[str, Any]) -> None:
    path = Path(entry["base"]) / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"].fill_(float("nan"))
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(LoadError, match=r"logits .*are not finite.*can't judge"):
        load(entry)


# The hub.

COMMIT = "11c9b309abf73637e4b6f9a3fa1e92e615547819"


@pytest.fixture
def offline_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_cached_hub_model_is_found_by_its_pinned_revision(entry: dict[str, Any], offline_hub: Path) -> None:
    shutil.copytree(entry["base"], offline_hub / "models--someone--model" / "snapshots" / COMMIT)
    judge = load({**entry, "base": "someone/model", "revision": COMMIT})
    assert (judge.provenance.base, judge.provenance.revision) == ("someone/model", COMMIT)
    assert probabilities(judge) == probabilities(load(entry))


@pytest.mark.usefixtures("offline_hub")
def test_a_hub_that_is_away_may_be_asked_again(entry: dict[str, Any]) -> None:
    with pytest.raises(FetchError, match=r"someone/model at 11c9b.*: can't be fetched from the hub"):
        load({**entry, "base": "someone/model", "revision": COMMIT})


@pytest.mark.parametrize("code", ["RepoNotFound", "GatedRepo", "RevisionNotFound"])
def test_what_the_hub_refuses_is_not_asked_for_again(
    entry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if code.endswith("NotFound") else 403)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
        with pytest.raises(LoadError, match="can't be fetched from the hub") as caught:
            load({**entry, "base": "someone/model", "revision": COMMIT})
        hub.shutdown()
    assert not isinstance(caught.value, FetchError)


def test_a_base_of_the_demo_is_taken_from_its_cache(
    entry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name that a recipe gives it, and that the adapter it makes records."""
    put_into_the_demos_cache(Path(entry["base"]), "demo:smollm", tmp_path / "cache", monkeypatch)
    judge = load({**entry, "base": "demo:smollm"})
    assert judge.provenance.base == "demo:smollm"
    assert probabilities(judge) == probabilities(load(entry))


def test_a_missing_tokenizer_is_refused(entry: dict[str, Any]) -> None:
    for path in Path(entry["base"]).glob("token*"):
        path.unlink()
    with pytest.raises(LoadError, match="tokenizer"):
        load(entry)


# Hashes.


def test_the_base_hash_knows_the_weights_not_their_place(tmp_path: Path, entry: dict[str, Any]) -> None:
    copied = shutil.copytree(entry["base"], tmp_path / "copy")
    before = hash_base(weight_files(Path(entry["base"])))
    assert hash_base(weight_files(copied)) == before
    tensors = load_file(copied / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, copied / "model.safetensors")
    assert hash_base(weight_files(copied)) != before
