"""An adapter merged into its base, as a model that other engines serve: a plain sequence classifier of transformers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from prefstream.scoring.encoding.template import LABELS, template_for
from prefstream.scoring.errors import FileError
from prefstream.scoring.loading.adapter import apply_adapter, verify_adapter_files
from prefstream.scoring.loading.adapter_record import RECORD, AdapterRecord
from prefstream.scoring.loading.base_model import load_classifier, open_base, quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Callable

_LICENCES = ("NOTICE", "LICENSE*", "*TERMS_OF_USE*")
"""Of an adapter's folder: what must go with the weights wherever they go."""


def merge_adapter(
    adapter: Path,
    output: Path,
    *,
    base: str,
    revision: str | None = None,
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16",
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Merge an adapter into its base and write the sum as a model of its own.

    Args:
        adapter: its folder.
        output: folder for the model: weights, config, tokenizer, and the adapter's record.
        base: absolute folder, hub id, or a base of the demo.
        revision: commit of a hub base.
        dtype: of the weights, and of the sum.
        force: replace a model that `output` holds.
        say: told what is being done.

    Returns:
        Parameters of the model.

    Raises:
        FileError: `output` holds something else, or a model and `force` is not set.
        LoadError: adapter and base can't be had, or don't belong together.
    """
    _claim(output, force=force)
    record = AdapterRecord.read(adapter)
    with quiet_libraries(), torch.random.fork_rng(devices=[]):
        opened = open_base(base, revision, labels=len(LABELS[record.kind]), layers=record.layers, say=say)
        record.verify(adapter, template_for(opened.config.model_type, record.kind, opened.tokenizer))
        shapes = verify_adapter_files(adapter, opened.head_names)
        say("loading the base")
        model = load_classifier(opened, device=torch.device("cpu"), dtype=getattr(torch, dtype), attention="eager")
        say("merging")
        model = apply_adapter(model, adapter, shapes, merge=True).to(getattr(torch, dtype))
        say("writing")
        output.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(output)
        opened.tokenizer.save_pretrained(output)
    for name in _LICENCES:
        for path in adapter.glob(name):
            shutil.copy2(path, output / path.name)
    shutil.copy2(adapter / RECORD, output / RECORD)  # the last file: with it the folder is whole
    return int(model.num_parameters())


def _claim(output: Path, *, force: bool) -> None:
    """Refuse to write among files that are not ours to replace."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / RECORD).is_file() or not (output / "config.json").is_file():
        raise FileError(f"{output}: is there and holds something else than a merged model; choose another folder")
    if not force:
        raise FileError(f"{output}: holds a merged model already; give --force to replace it")
    shutil.rmtree(output)
