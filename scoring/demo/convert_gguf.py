"""Turn a GGUF file into a folder of safetensors, config and tokenizer, once, in a process of its own.

Reading GGUF takes half a minute and gigabytes; the folder it makes loads in a moment. The process
(`python -m` this module `REQUEST`, a JSON object) gives that memory back when it ends. It exits with 0 when the
folder is complete and checked; else the last line of its stderr says why.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prefstream.scoring.errors import LoadError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_PROBE: Final = "  Two spaces, 12345 digits:\n\n\ttabs, <b>markup</b>, héllo, 世界 🙂"
"""Text on which tokenizers that differ only subtly differ: spaces, digits, line breaks, other scripts."""


@dataclass(frozen=True, slots=True)
class ConversionRequest:
    """What to convert, and what must come out.

    Attributes:
        gguf: the file to read.
        folder: existing empty folder for the result.
        model_type: what transformers must take the result for.
        pad_token: token to pad with, set on tokenizer and model alike.
        special_tokens: tokens that the judge's template relies on.
    """

    gguf: str
    folder: str
    model_type: str
    pad_token: str
    special_tokens: tuple[str, ...]

    def to_json(self) -> str:
        """The request as the process takes it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ConversionRequest:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "special_tokens": tuple(fields["special_tokens"])})


def convert(request: ConversionRequest) -> None:
    """Convert, then load what was written and check it.

    Raises:
        LoadError: the result is not what the request says.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = Path(request.gguf)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    _restore_pre_tokenizer(source, tokenizer)
    # SmolLM2 pads with its end-of-turn token, which pooling over the last real token would then skip.
    tokenizer.pad_token = request.pad_token
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    for config in (model.config, model.generation_config):
        config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(request.folder)
    tokenizer.save_pretrained(request.folder)
    _verify(request, expected_ids=tokenizer(_PROBE)["input_ids"])


def _restore_pre_tokenizer(source: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Split digits as SmolLM2 was trained to: transformers does not read the GGUF field that says so.

    Without it, one text in eleven is tokenised differently around spaces before numbers.
    """
    import gguf
    from tokenizers import pre_tokenizers

    field = gguf.GGUFReader(str(source)).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )


def _verify(request: ConversionRequest, *, expected_ids: list[int]) -> None:
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(request.folder)
    if config.model_type != request.model_type:
        raise LoadError(f"converted to model type {config.model_type}, expected {request.model_type}")
    _verify_weights(Path(request.folder), config)
    tokenizer = AutoTokenizer.from_pretrained(request.folder)
    if tokenizer(_PROBE)["input_ids"] != expected_ids:
        raise LoadError("the saved tokenizer splits text differently from the one it was saved from")
    if tokenizer.pad_token != request.pad_token or config.pad_token_id != tokenizer.pad_token_id:
        raise LoadError(f"tokenizer and model don't both pad with {request.pad_token}")
    added = tokenizer.added_tokens_decoder
    special = {token.content for token in added.values() if token.special}
    missing = sorted(set(request.special_tokens) - special)
    if missing:
        raise LoadError(f"the tokenizer lacks the special tokens {', '.join(missing)}")


def _verify_weights(folder: Path, config: Any) -> None:
    import torch
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        for name in weights.keys():  # noqa: SIM118 - not a mapping
            tensor = weights.get_tensor(name)
            if not torch.isfinite(tensor).all():
                raise LoadError(f"tensor {name} holds values that are not finite")
            if name.endswith("embed_tokens.weight") and tensor.shape[0] != config.vocab_size:
                raise LoadError(f"{tensor.shape[0]} embeddings for a vocabulary of {config.vocab_size}")


def _read_files_once() -> None:
    """Keep readers of GGUF files: transformers opens the same file three times.

    Each time its pure Python reader goes through a vocabulary of 262,144 tokens, which is most of the conversion.
    """
    import gguf

    gguf.GGUFReader = functools.cache(gguf.GGUFReader)  # type: ignore[misc, assignment]


def main() -> None:
    """Convert what the first argument asks for. Changes modules of this process: only for one of its own."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # everything needed is in the file: never ask a hub
    _read_files_once()
    convert(ConversionRequest.from_json(sys.argv[1]))


if __name__ == "__main__":
    main()
