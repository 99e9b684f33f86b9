"""Turn what was fetched into a folder of safetensors in bfloat16, config and tokenizer, once, in a process of its own.

Reading GGUF, or float32, takes seconds and gigabytes; the folder it makes loads in a moment. The process
(`python -m` this module `REQUEST`, a JSON object) gives that memory back when it ends. It exits with 0 when the
folder is complete and checked; else the last line of its stderr says why.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from prefstream.scoring.demo.gguf_file import GgufFile
from prefstream.scoring.demo.gguf_model import read_model, read_tokenizer
from prefstream.scoring.demo.merges import keep_needed_merges
from prefstream.scoring.errors import LoadError

_PROBE: Final = "  Two spaces, 12345 digits:\n\n\ttabs, <b>markup</b>, héllo, 世界 🙂"
"""Text on which tokenizers that differ only subtly differ: spaces, digits, line breaks, other scripts."""


_RECIPE_OF: Final = "recipe-"

RECIPE: Final = f"{_RECIPE_OF}2"
"""An empty file in what is converted: by which recipe it was. A later number stands for the same weights with a
tokenizer that is read sooner; what is of an older recipe is converted out of itself, without fetching anything."""

_TOKENIZER_SHARE: Final = 0.3
_WEIGHTS_SHARE: Final = 0.5
"""Of the time that a conversion takes; the rest is writing, and the check."""


@dataclass(frozen=True, slots=True)
class ConversionRequest:
    """What to convert, and what must come out.

    Attributes:
        source: a GGUF file, or a folder as transformers' `save_pretrained` writes it.
        folder: existing empty folder for the result.
        model_type: what transformers must take the result for.
        pad_token: token to pad with, set on tokenizer and model alike.
        special_tokens: tokens that the judge's template relies on.
        converted: names of the files of a folder that an earlier `convert` made, where the source is one: the weights
            are taken over as they are, to the bit.
    """

    source: str
    folder: str
    model_type: str
    pad_token: str
    special_tokens: tuple[str, ...]
    converted: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The request as the process takes it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ConversionRequest:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        lists = {name: tuple(fields[name]) for name in ("special_tokens", "converted")}
        return cls(**{**fields, **lists})


def convert(request: ConversionRequest, on_progress: Callable[[float], None] = lambda _share: None) -> None:
    """Convert, then load what was written and check it.

    Args:
        request: what, and into which folder.
        on_progress: hears the share that is done, 0 to 1.

    Raises:
        LoadError: the result is not what the request says.
    """
    tokenizer = _take_over(request) if request.converted else _write_anew(request, on_progress)
    _list_added_tokens(Path(request.folder, "tokenizer_config.json"), tokenizer)
    keep_needed_merges(Path(request.folder, "tokenizer.json"))
    _verify(request, expected_ids=tokenizer(_PROBE)["input_ids"])
    Path(request.folder, RECIPE).touch()


def _take_over(request: ConversionRequest) -> Any:
    """Copy what was converted; returns its tokenizer."""
    from transformers import AutoTokenizer

    for name in request.converted:
        if name.startswith(_RECIPE_OF):
            continue
        shutil.copyfile(Path(request.source, name), Path(request.folder, name))
    return AutoTokenizer.from_pretrained(request.source, trust_remote_code=False, local_files_only=True)


def _write_anew(request: ConversionRequest, on_progress: Callable[[float], None]) -> Any:
    """Read the source, and write model and tokenizer; returns the tokenizer."""
    source = Path(request.source)
    tokenizer, model = (_read_folder if source.is_dir() else _read_gguf)(source, on_progress)
    # SmolLM2 pads with its end-of-turn token, which pooling over the last real token would then skip.
    tokenizer.pad_token = request.pad_token
    for config in filter(None, (model.config, getattr(model, "generation_config", None))):
        config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(request.folder)
    tokenizer.save_pretrained(request.folder)
    return tokenizer


def _list_added_tokens(path: Path, tokenizer: Any) -> None:
    """Name the added tokens in the tokenizer's settings, as hubs do.

    Where they are not named, transformers looks them up in tokenizer.json whenever the tokenizer is loaded, and decodes
    all of it: .6 s for Gemma's 33 MB. All are named, since it may also build the tokenizer anew from what is named.
    """
    settings = json.loads(path.read_bytes())
    settings["added_tokens_decoder"] = {
        index: token.__getstate__() for index, token in tokenizer.added_tokens_decoder.items()
    }
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _read_gguf(path: Path, on_progress: Callable[[float], None]) -> tuple[Any, Any]:
    """Tokenizer and model of a GGUF file."""
    file = GgufFile.open(path)
    tokenizer = read_tokenizer(file)
    on_progress(_TOKENIZER_SHARE)
    return tokenizer, read_model(file, lambda share: on_progress(_TOKENIZER_SHARE + share * _WEIGHTS_SHARE))


def _read_folder(folder: Path, on_progress: Callable[[float], None]) -> tuple[Any, Any]:
    """Tokenizer and model of a folder of safetensors, whose every tensor must have its place."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    safely = {"trust_remote_code": False, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(folder, **safely)
    on_progress(_TOKENIZER_SHARE)
    model, report = AutoModel.from_pretrained(
        folder, dtype=torch.bfloat16, use_safetensors=True, output_loading_info=True, **safely
    )
    wrong = {what: sorted(map(str, names)) for what, names in report.items() if names}
    if wrong:
        raise LoadError(f"weights and config don't belong together ({wrong})")
    if not all(torch.isfinite(tensor).all() for tensor in model.parameters()):
        raise LoadError("the weights hold values that are not finite")
    on_progress(_TOKENIZER_SHARE + _WEIGHTS_SHARE)
    return tokenizer, model


def _verify(request: ConversionRequest, *, expected_ids: list[int]) -> None:
    from safetensors import safe_open
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(request.folder)
    if config.model_type != request.model_type:
        raise LoadError(f"converted to model type {config.model_type}, expected {request.model_type}")
    with safe_open(Path(request.folder, "model.safetensors"), framework="np") as weights:
        [rows] = [weights.get_slice(name).get_shape()[0] for name in weights.keys() if _is_vocabulary(name)]  # noqa: SIM118
    if rows != config.vocab_size:
        raise LoadError(f"{rows} embeddings for a vocabulary of {config.vocab_size}")
    tokenizer = AutoTokenizer.from_pretrained(request.folder)
    if tokenizer(_PROBE)["input_ids"] != expected_ids:
        raise LoadError("the saved tokenizer splits text differently from the one it was saved from")
    if tokenizer.pad_token != request.pad_token or config.pad_token_id != tokenizer.pad_token_id:
        raise LoadError(f"tokenizer and model don't both pad with {request.pad_token}")
    added = tokenizer.added_tokens_decoder
    special = {token.content for token in added.values() if token.special}
    beyond = {token for token, index in tokenizer.get_vocab().items() if index >= config.vocab_size} - special
    if beyond:
        raise LoadError(f"{len(beyond)} tokens of the tokenizer have no embedding")
    missing = sorted(set(request.special_tokens) - special)
    if missing:
        raise LoadError(f"the tokenizer lacks the special tokens {', '.join(missing)}")


def _is_vocabulary(name: str) -> bool:
    return name.endswith("embed_tokens.weight")


def main() -> None:
    """Convert what the first argument asks for, and write the share that is done to standard output, a line each."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # everything needed is in the file: never ask a hub
    convert(ConversionRequest.from_json(sys.argv[1]), lambda share: print(f"{share:.3f}", flush=True))  # noqa: T201


if __name__ == "__main__":
    main()
