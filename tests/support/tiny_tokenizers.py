"""Small real fast tokenizers, trained on a few sentences, with the special tokens of the families."""

# ruff: noqa: S106 - tokens of a vocabulary are no passwords

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SENTENCES = (
    "The better answer is short, right and kind; the other one is long and wrong.",
    "What is two plus two? Two plus two is four. user response A response B assistant model",
    "def area(width, height):\n    return width * height\n\n",
    "Straße, naïve café, données; Привет, как дела? こんにちは、元気ですか。 你好，世界！ 🦄🎉",
)

GEMMA_SPECIALS = ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")
LLAMA3_SPECIALS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|finetune_right_pad_id|>",
)
CHATML_SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>")
SPECIAL_TEXTS = (*GEMMA_SPECIALS, *LLAMA3_SPECIALS, *CHATML_SPECIALS, "<unk>", "[multimodal]")


def _byte_level(specials: Sequence[str], **wrapper: str) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **wrapper)


@cache
def chatml() -> Any:
    """Like SmolLM2's: byte level, no bos in front, pad apart from the end of a turn."""
    return _byte_level(CHATML_SPECIALS, eos_token="<|im_end|>", pad_token="<|endoftext|>")


@cache
def llama3() -> Any:
    """Like Llama 3's: byte level, whole words before merges, special tokens after the vocabulary, bos in front."""
    trained = _byte_level(()).backend_tokenizer
    state = json.loads(trained.to_str())
    state["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens(list(LLAMA3_SPECIALS))
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|finetune_right_pad_id|>",
    )


@cache
def gemma(*, turns_special: bool = True) -> Any:
    """Like Gemma's: no split into words, bytes for unknown characters, added tokens that are not special.

    Args:
        turns_special: False for a tokenizer that does not flag the tokens of turns as special.
    """
    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    learner.normalizer = normalizers.Replace(" ", "▁")
    learner.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_previous")
    learner.train_from_iterator(
        SENTENCES[:3], trainers.BpeTrainer(vocab_size=250, special_tokens=["<unk>"], show_progress=False)
    )
    model = json.loads(learner.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for byte in range(256):
        vocabulary.setdefault(f"<0x{byte:02X}>", len(vocabulary))
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", *GEMMA_SPECIALS[:3]])
    turns = [AddedToken(text, normalized=False, special=turns_special) for text in GEMMA_SPECIALS[3:]]
    if turns_special:
        tokenizer.add_special_tokens(turns)
    else:
        tokenizer.add_tokens(turns)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("[multimodal]", "\n\n", "<h1>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


@cache
def plain() -> Any:
    """Byte level without tokens for turns."""
    return _byte_level(("<pad>",), pad_token="<pad>")


@cache
def words() -> Any:
    """A vocabulary of words that has the tokens for turns as ordinary words, so that the model itself writes them."""
    known = ["<unk>", "<pad>", *GEMMA_SPECIALS[2:], "user", "model", "response", "A", "B", "Better", ":", "…", "four"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(known)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(":", "isolated")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
