"""GGUF files as llama.cpp writes them, with models of one layer and random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

PAD = "<|endoftext|>"
SPECIALS = (PAD, "<|im_start|>", "<|im_end|>")
HIDDEN, INNER, HEADS, HEAD_SIZE = 32, 64, 2, 32

F32 = gguf.GGMLQuantizationType.F32


def write_tiny_llama(path: Path, *, pre: str = "smollm", leave_out: str = "", **weights: Any) -> Path:
    """A Llama with SmolLM2's kind of tokenizer."""
    from tokenizers.pre_tokenizers import ByteLevel

    vocabulary = [*SPECIALS, *sorted(ByteLevel.alphabet()), "ĠĠ"]
    writer = _writer(path, "llama", len(vocabulary))
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HEAD_SIZE)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary)
    writer.add_token_types([gguf.TokenType.CONTROL] * len(SPECIALS) + [gguf.TokenType.NORMAL] * 257)
    writer.add_token_merges(["Ġ Ġ"])
    _add_special_ids(writer, bos=1, eos=2, unknown=0, pad=2)
    shapes = _shapes(len(vocabulary))
    return _write(writer, path, {name: shape for name, shape in shapes.items() if name != leave_out}, **weights)


def write_tiny_gemma(path: Path, *, pre: str = "default", **weights: Any) -> Path:
    """A Gemma 3 with Gemma's kind of tokenizer: no merges, and runs of spaces as they are."""
    vocabulary = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", "a", "b", "ab", "▁a", "  ", "\n", "<start_of_turn>"]
    writer = _writer(path, "gemma3", len(vocabulary))
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_key_length(HEAD_SIZE)
    writer.add_value_length(HEAD_SIZE)
    writer.add_sliding_window(16)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary)
    writer.add_token_scores([-float(number) for number in range(len(vocabulary))])
    types = [gguf.TokenType.CONTROL] * 4 + [gguf.TokenType.NORMAL] * 7 + [gguf.TokenType.CONTROL]
    writer.add_token_types(types)
    _add_special_ids(writer, bos=2, eos=1, unknown=3, pad=0)
    norms = ("post_attention_norm", "post_ffw_norm")
    shapes = _shapes(len(vocabulary)) | {f"blk.0.{name}": (HIDDEN,) for name in norms}
    shapes |= {f"blk.0.attn_{name}_norm": (HEAD_SIZE,) for name in "qk"}
    return _write(writer, path, shapes, **weights)


def _writer(path: Path, architecture: str, vocabulary: int) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    return writer


def _add_special_ids(writer: gguf.GGUFWriter, *, bos: int, eos: int, unknown: int, pad: int) -> None:
    writer.add_bos_token_id(bos)
    writer.add_eos_token_id(eos)
    writer.add_unk_token_id(unknown)
    writer.add_pad_token_id(pad)
    writer.add_add_bos_token(bos == 2)


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    return {
        "token_embd": (vocabulary, HIDDEN),
        "output_norm": (HIDDEN,),
        "blk.0.attn_norm": (HIDDEN,),
        "blk.0.attn_q": (HEADS * HEAD_SIZE, HIDDEN),
        "blk.0.attn_k": (HEAD_SIZE, HIDDEN),
        "blk.0.attn_v": (HEAD_SIZE, HIDDEN),
        "blk.0.attn_output": (HIDDEN, HEADS * HEAD_SIZE),
        "blk.0.ffn_norm": (HIDDEN,),
        "blk.0.ffn_gate": (INNER, HIDDEN),
        "blk.0.ffn_up": (INNER, HIDDEN),
        "blk.0.ffn_down": (HIDDEN, INNER),
    }


def _write(
    writer: gguf.GGUFWriter,
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    *,
    seed: int = 0,
    packing: gguf.GGMLQuantizationType = F32,
    scale: float = 1.0,
) -> Path:
    """As llama.cpp packs them: matrices; what has one dimension stays float32."""
    random = np.random.default_rng(seed)
    for name, shape in shapes.items():
        values = (random.normal(size=shape) * scale).astype(np.float32)
        if len(shape) == 1 or packing == F32:
            writer.add_tensor(f"{name}.weight", values)
        else:
            writer.add_tensor(f"{name}.weight", gguf.quantize(values, packing), raw_dtype=packing)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
