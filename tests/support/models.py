"""Tiny judges for tests: real configs, tokenizers, safetensors and adapters, random weights.

`make_tiny_judge` writes a base model and, unless told otherwise, a LoRA adapter with its head into a folder, and
returns the entry that a panel file needs. A forward pass takes about a millisecond.
"""

from __future__ import annotations

import functools
import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pytest
import yaml

Family: TypeAlias = Literal["gemma2", "gemma3", "embeddinggemma", "llama", "chatml", "plain"]
"""`embeddinggemma` is a Gemma 3 that reads both ways. `llama` has Llama 3's special tokens; `chatml` is a Llama with
SmolLM2's, `plain` one with none but bos and eos."""

Pooling: TypeAlias = Literal["last", "mean", "answer"]

Kind: TypeAlias = Literal["pairwise", "pointwise"]

_CORPUS: Final = (
    "The quick brown fox jumps over the lazy dog. Which answer is better, and why?\n"
    "Write a function that returns the sum of two numbers.\n\ndef add(a, b):\n    return a + b\n"
    "Response A is correct; response B is wrong. Neither is good, both are bad, it is a tie.\n"
    "Wie spät ist es? Quelle heure est-il? 今何時ですか。 user assistant model Better response:\n"
) * 4

_GEMMA: Final[tuple[Family, ...]] = ("gemma2", "gemma3", "embeddinggemma")

_SPECIALS: Final[dict[Family, tuple[str, ...]]] = {
    **dict.fromkeys(_GEMMA, ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>")),
    "llama": (
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|finetune_right_pad_id|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    ),
    "chatml": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "plain": ("<s>", "</s>", "<pad>"),
}

# As in the families' own files: Llama 3 comes without a pad token, SmolLM2 pads with its end of turn.
_ROLES: Final[dict[Family, dict[str, str]]] = {
    "llama": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    "chatml": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"},
    "plain": {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
}

_UNKNOWN: Final = "<unk>"

MAX_LENGTH: Final = 256
"""Of a judge made here, unless told otherwise."""


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Compute on one thread: on models this small, threads that wait for one another take most of the time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_tiny_judge(
    folder: Path,
    family: Family = "gemma2",
    kind: Kind = "pairwise",
    seed: int = 0,
    *,
    name: str | None = None,
    adapter: bool = True,
    hidden_size: int = 32,
    layers: int = 2,
    rank: int = 4,
    pooling: Pooling = "last",
    kept_layers: int | None = None,
    **entry: Any,
) -> dict[str, Any]:
    """Write a judge into a folder.

    Args:
        folder: gets the subfolders `base` and, with an adapter, `adapter`.
        family: architecture and special tokens.
        kind: how the judge reads; decides the size of its head.
        seed: of the random weights.
        name: of the judge; by default the folder's name.
        adapter: write a LoRA adapter with a head; without one the entry says `allow_untrained`.
        hidden_size: width; at least 64 for `quantization: 4bit`, which works on blocks of 64.
        layers: number of layers.
        rank: of the adapter.
        pooling: of the adapter.
        kept_layers: of the base, by the adapter; all if None.
        entry: further keys of the entry, such as `weight` or `quantization`.

    Returns:
        The judge's entry for a panel file, on the CPU in float32 unless `entry` says otherwise.
    """
    base = folder / "base"
    if not base.exists():
        make_tiny_base(base, family, seed=seed, hidden_size=hidden_size, layers=layers)
    judge: dict[str, Any] = {
        "name": name or folder.name,
        "kind": kind,
        "base": str(base),
        "device": "cpu",
        "dtype": "float32",
        "max_length": MAX_LENGTH,
    }
    if adapter:
        reading: dict[str, Any] = {"pooling": pooling, "layers": kept_layers}
        make_tiny_adapter(folder / "adapter", base, kind, seed=seed, rank=rank, **reading)
        judge["adapter"] = str(folder / "adapter")
    else:
        judge["allow_untrained"] = True
    return {**judge, **entry}


def make_tiny_panel(folder: Path, kind: Kind = "pairwise", *, seed: int = 0, **panel: Any) -> Path:
    """Write a panel of a Gemma 2 and a Llama judge.

    Args:
        folder: gets the judges and `panel.yaml`.
        kind: how both read.
        seed: of the random weights.
        panel: further keys of the panel file, such as `swap`.

    Returns:
        The path of the panel file.
    """
    judges = [
        make_tiny_judge(folder / "gemma", "gemma2", kind, seed),
        make_tiny_judge(folder / "llama", "llama", kind, seed + 1),
    ]
    path = folder / "panel.yaml"
    path.write_text(yaml.safe_dump({"judges": judges, **panel}), encoding="utf-8")
    return path


def make_tiny_base(folder: Path, family: Family, *, seed: int = 0, hidden_size: int = 32, layers: int = 2) -> None:
    """Write a language model with its tokenizer, as a hub would hold it; of EmbeddingGemma that is no causal one."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    tokenizer = tiny_tokenizer(family)
    config = _config(family, len(tokenizer), hidden_size=hidden_size, layers=layers)
    config.eos_token_id = tokenizer.eos_token_id
    config.bos_token_id = tokenizer.bos_token_id
    config.pad_token_id = tokenizer.pad_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind = AutoModel if family == "embeddinggemma" else AutoModelForCausalLM
        model = kind.from_config(config, dtype=torch.float32)
    with _quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tiny_adapter(
    folder: Path,
    base: Path,
    kind: Kind = "pairwise",
    *,
    seed: int = 0,
    rank: int = 4,
    pooling: Pooling = "last",
    layers: int | None = None,
) -> None:
    """Write a LoRA adapter whose every weight is random, with its head and its record."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    from prefstream.scoring.encoding.template import LABELS, template_for
    from prefstream.scoring.loading.adapter_record import AdapterRecord
    from prefstream.scoring.loading.layers import first_layers

    with torch.random.fork_rng(devices=[]), _quiet():
        import peft

        torch.manual_seed(seed + 1000)
        config = AutoConfig.from_pretrained(base, num_labels=len(LABELS[kind]))
        config = first_layers(config, layers or config.num_hidden_layers)
        model = AutoModelForSequenceClassification.from_pretrained(base, config=config)
        lora = peft.LoraConfig(
            task_type=peft.TaskType.SEQ_CLS,
            r=rank,
            lora_alpha=2 * rank,
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
            init_lora_weights=False,  # a fresh adapter multiplies by zero and would hide what loading gets wrong
        )
        adapted = peft.get_peft_model(model, lora)
        for name, weight in adapted.named_parameters():
            if "modules_to_save" in name:
                # Hidden states have unit scale: answers that differ from battle to battle.
                torch.nn.init.normal_(weight.data, std=2.0 / model.config.hidden_size**0.5)
        adapted.save_pretrained(folder)
    template = template_for(model.config.model_type, kind, AutoTokenizer.from_pretrained(base))
    AdapterRecord.describe(template, max_length=MAX_LENGTH, pooling=pooling, layers=layers).write(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars, reports of the random head, and deprecations between libraries."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()


@functools.cache
def _tokenizer_json(family: Family) -> str:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    if family in _GEMMA:
        tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN, byte_fallback=True, fuse_unk=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        specials = [*_SPECIALS[family], *(f"<0x{byte:02X}>" for byte in range(256))]
        alphabet: list[str] = []
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        specials = list(_SPECIALS[family])
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=480, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([_CORPUS], trainer)
    content = json.loads(tokenizer.to_str())
    # Bytes are ordinary tokens of the vocabulary; the trainer knew no other way to reserve them.
    content["added_tokens"] = [token for token in content["added_tokens"] if not token["content"].startswith("<0x")]
    return json.dumps(content)


def tiny_tokenizer(family: Family) -> Any:
    """A fast tokenizer with about 480 tokens and the family's special tokens."""
    from tokenizers import Tokenizer
    from transformers import GemmaTokenizer, PreTrainedTokenizerFast

    content = _tokenizer_json(family)
    if family in _GEMMA:
        model = json.loads(content)["model"]
        return GemmaTokenizer(
            vocab=model["vocab"],
            merges=[tuple(merge) for merge in model["merges"]],
            additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
        )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(content), **_ROLES[family])
    tokenizer.add_special_tokens({"additional_special_tokens": list(_SPECIALS[family])})
    return tokenizer


def _config(family: Family, vocab_size: int, *, hidden_size: int, layers: int) -> Any:
    from transformers import Gemma2Config, Gemma3TextConfig, LlamaConfig

    shape: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "intermediate_size": 2 * hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": hidden_size // 2,
        "max_position_embeddings": 4096,
    }
    if family == "gemma2":
        return Gemma2Config(**shape, sliding_window=64, query_pre_attn_scalar=hidden_size // 2)
    if family in ("gemma3", "embeddinggemma"):
        return Gemma3TextConfig(
            **shape,
            sliding_window=64,
            query_pre_attn_scalar=hidden_size // 2,
            use_bidirectional_attention=family == "embeddinggemma",
        )
    return LlamaConfig(**shape, tie_word_embeddings=family == "chatml")


def put_into_the_demos_cache(base: Path, name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a base model stand for one of the demo's, as if it had been fetched and converted.

    Args:
        base: folder of the model.
        name: of the demo's, such as `demo:gemma`.
        cache: the folder that becomes the demo's cache.
        monkeypatch: of the test.
    """
    from prefstream.scoring.demo.convert import RECIPE
    from prefstream.scoring.demo.judges import BASES
    from prefstream.scoring.demo.model_cache import CACHE_VARIABLE, model_folder

    model = BASES[name]
    folder = shutil.copytree(base, model_folder(model, cache))
    (folder / RECIPE).touch()
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    receipt = {"conversion": 1, "gguf_sha256": model.sha256, "files": sizes}
    (folder / "prefstream.json").write_text(json.dumps(receipt), encoding="utf-8")
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
