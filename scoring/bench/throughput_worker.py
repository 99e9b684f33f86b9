"""One task of the benchmark, in a process of its own: `python -m MODULE TASK REQUEST ANSWER`.

TASK is `adapters` (make random ones), `panel`, `plain` or `careful` (score the battles and take the time). REQUEST and
ANSWER are JSON files. When it fails, the last line of stderr says why.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prefstream.schemas import OUTCOMES, Battle
from prefstream.scoring import runtime
from prefstream.scoring.bench.process import Stopwatch, peak_memory_bytes
from prefstream.scoring.bench.request import WARM_UP_BATTLES, Request
from prefstream.scoring.config import CUDA_MICRO_BATCH_TOKENS, ModelJudgeConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from prefstream.scoring.encoding.template import Template
    from prefstream.scoring.judges.devices import Placement
    from prefstream.scoring.probabilities import Triples

PLAIN_BATCH_SEQUENCES: Final = 8
"""As in the public notebooks."""

CAREFUL_BATCH_TOKENS: Final = {"cpu": 2048, "cuda": CUDA_MICRO_BATCH_TOKENS}
"""Padding included, by device: on a CPU what was fastest of several, on a card what the panel has."""

_RANK: Final = 16

_ALPHA: Final = 1.0
"""Keeps random adapters small beside the base weights: the hidden states stay in a trained model's range."""


def run_panel(request: Request) -> dict[str, Any]:
    """Score the battles as the stream does."""
    from prefstream.scoring.panel.load import load_panel

    with load_panel(request.config) as panel:
        panel.score(request.battles[:WARM_UP_BATTLES])
        encoded = []
        answers = []
        with Stopwatch() as clock:
            for battles in request.batches:
                encoded.append(panel.encode(battles))
                answers += panel.score_encoded(encoded[-1])
        provenances = {judge.name: judge.provenance for judge in panel.judges}
    parts = [part for batch in encoded for part in batch.parts if part is not None]
    return {
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu_seconds,
        "tokens": sum(encoding.tokens for part in parts for encoding in part.encodings),
        "padded_tokens": sum(part.padded_tokens for part in parts),
        "probabilities": [
            [getattr(answer.probabilities, outcome) for outcome in OUTCOMES]
            for answer in answers
            if not isinstance(answer, Exception)
        ],
        "settings": {
            **{name: f"{used.dtype}, {used.attention}, {used.device}" for name, used in provenances.items()},
            **runtime.describe(),
        },
    }


def run_plain(request: Request, *, careful: bool = False) -> dict[str, Any]:
    """Score the battles as a notebook does.

    Args:
        request: what to score.
        careful: as a good one does: adapters merged, texts of like length together.
    """
    return run_loops(request, partial(PlainLoop, careful=careful))


def run_loops(request: Request, make: Callable[[ModelJudgeConfig, Placement], PlainLoop]) -> dict[str, Any]:
    """Score the battles by one judge after the other.

    Args:
        request: what to score.
        make: loads the loop of one judge.
    """
    import numpy as np
    import torch

    from prefstream.scoring.judges.devices import place_judges

    placements = place_judges(request.judges)
    loops = [make(judge, placements[judge.name]) for judge in request.judges]
    for loop in loops:
        loop.score(request.battles[:WARM_UP_BATTLES])
        loop.tokens = loop.padded_tokens = 0
    with Stopwatch() as clock:
        triples = [loop.score(request.battles) for loop in loops]
    weights = [judge.weight for judge in request.judges]
    return {
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu_seconds,
        "tokens": sum(loop.tokens for loop in loops),
        "padded_tokens": sum(loop.padded_tokens for loop in loops),
        "probabilities": np.average(triples, axis=0, weights=weights).tolist(),
        "settings": {
            **{loop.name: loop.description for loop in loops},
            "threads": str(torch.get_num_threads()),
            **runtime.describe(),
        },
    }


class PlainLoop:
    """One judge of the plain loop: the adapter beside the base, eight texts at a time as they come.

    A careful one merges the adapter, and sorts the texts by length into batches of so many tokens.

    Attributes:
        name: of the judge.
        description: what decides its speed.
        tokens: that were read so far, padding excluded.
        padded_tokens: with padding.
        classifier: transformers' own, with its adapter.
    """

    def __init__(
        self,
        judge: ModelJudgeConfig,
        placement: Placement,
        *,
        careful: bool,
        layers: Callable[[Any], Any] = lambda backbone: backbone,
    ) -> None:
        """Load it.

        Args:
            judge: that it is of.
            placement: its device and dtype.
            careful: whether it is careful.
            layers: of a careful one, gets the backbone, gives what does its work.
        """
        from peft import PeftModel

        from prefstream.scoring.encoding.encode import Encoder
        from prefstream.scoring.judges.pooling import pool
        from prefstream.scoring.loading.adapter import read_lora
        from prefstream.scoring.loading.adapter_record import AdapterRecord
        from prefstream.scoring.loading.sources import local_folder
        from prefstream.scoring.loading.weights import weight_files

        adapter = local_folder(str(judge.adapter), judge.adapter_revision)
        weight_files(adapter)
        read_lora(adapter)
        record = AdapterRecord.read(adapter)
        model, self._tokenizer = _load_base(judge, placement, layers=record.layers)
        self._template = _template(judge, model.config.model_type, self._tokenizer)
        self._max_length = _max_length(judge)
        encoder = Encoder(self._tokenizer, self._template, max_length=self._max_length)
        if careful:
            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().to(placement.device).eval()
            setattr(model, model.base_model_prefix, layers(model.base_model))
            pool(model, record.pooling, encoder)
        else:
            pool(model, record.pooling, encoder)
            model = PeftModel.from_pretrained(model, str(adapter)).to(placement.device).eval()
        self.classifier: Any = model
        self._careful = careful
        self._tau = record.tau
        self._placement = placement
        self.name = judge.name
        self.description = f"{placement.dtype}, {model.config._attn_implementation}, {placement.device}"  # noqa: SLF001
        self.tokens = 0
        self.padded_tokens = 0

    def score(self, battles: Sequence[Battle]) -> Triples:
        """Probabilities of each battle."""
        from prefstream.scoring.judges.readout import read_pairwise, read_pointwise

        logits = self.logits([text for battle in battles for text in _texts(battle, self._template)])
        return read_pairwise(logits) if self._template.kind == "pairwise" else read_pointwise(logits, tau=self._tau)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits of each text, in their order: shape (texts, outputs)."""
        import torch

        ids = self.token_ids(texts)
        read: list[int] = []
        rows = []
        with torch.no_grad(), self.autocast():
            for those in self._batches([len(text) for text in ids]):
                batch = self.padded([ids[place] for place in those])
                rows.append(self.classifier(**batch).logits.float().cpu())
                read += those
        found: NDArray[np.float32] = torch.cat(rows)[torch.tensor(read).argsort()].numpy()
        return found

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut at its end where it is too long."""
        # The template has the special tokens.
        encoded = self._tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=self._max_length)
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def padded(self, ids: Sequence[Sequence[int]]) -> Any:
        """A batch for the classifier, on its device, and counted."""
        batch = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self._placement.device)
        self.tokens += int(batch["attention_mask"].sum())
        self.padded_tokens += batch["input_ids"].numel()
        return batch

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Which texts are read together, by their places."""
        if not self._careful:
            places = range(len(lengths))
            return [list(places[start : start + PLAIN_BATCH_SEQUENCES]) for start in places[::PLAIN_BATCH_SEQUENCES]]
        most = CAREFUL_BATCH_TOKENS[self._placement.device.type]
        batches: list[list[int]] = []
        for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
            if not batches or lengths[batches[-1][0]] * (len(batches[-1]) + 1) > most:
                batches.append([])
            batches[-1].append(place)
        return batches

    def autocast(self) -> AbstractContextManager[None]:
        """In which the classifier computes."""
        import torch

        dtype = self._placement.dtype
        return torch.autocast(self._placement.device.type, dtype=dtype, enabled=dtype != torch.float32)


def make_adapters(request: Request) -> dict[str, Any]:
    """Write a random adapter for every judge that has none; the panel with them."""
    from peft import LoraConfig, TaskType, get_peft_model

    from prefstream.scoring.judges.devices import place_judges
    from prefstream.scoring.loading.adapter_record import AdapterRecord

    placements = place_judges(request.judges)
    judges = []
    for judge in request.judges:
        if judge.adapter is None:
            model, tokenizer = _load_base(judge, placements[judge.name])
            template = _template(judge, model.config.model_type, tokenizer)
            lora = LoraConfig(
                task_type=TaskType.SEQ_CLS,
                r=_RANK,
                lora_alpha=_ALPHA,
                target_modules="all-linear",
                init_lora_weights=False,
            )
            folder = request.folder / judge.name
            get_peft_model(model, lora).save_pretrained(folder)
            AdapterRecord.describe(template, max_length=_max_length(judge)).write(folder)
            judge = judge.model_copy(update={"adapter": str(folder), "allow_untrained": False})  # noqa: PLW2901
        judges.append(judge.model_dump(mode="json"))
    return {**request.config.model_dump(mode="json"), "judges": judges}


def _load_base(judge: ModelJudgeConfig, placement: Placement, *, layers: int | None = None) -> tuple[Any, Any]:
    """Classifier with a random head, and tokenizer, set to pad alike."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    from prefstream.scoring.encoding.template import LABELS
    from prefstream.scoring.judges import block_attention
    from prefstream.scoring.loading.layers import first_layers
    from prefstream.scoring.loading.sources import local_folder
    from prefstream.scoring.loading.weights import base_files

    folder = local_folder(judge.base, judge.revision)
    base_files(folder)
    # A plain loop, but not so plain as to run what a model brings along.
    safely = {"trust_remote_code": False, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right", **safely)
    config = AutoConfig.from_pretrained(folder, num_labels=len(LABELS[judge.kind]), **safely)
    if layers is not None:
        config = first_layers(config, layers)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, config=config, dtype=placement.dtype, use_safetensors=True, **safely
    )
    if judge.attention not in {"auto", block_attention.NAME}:
        model.set_attn_implementation(judge.attention)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def _max_length(judge: ModelJudgeConfig) -> int:
    if judge.max_length is None:
        raise ValueError(f"judge {judge.name} has no max_length; prefstream.scoring.bench.throughput sets one")
    return judge.max_length


def _template(judge: ModelJudgeConfig, model_type: str, tokenizer: Any) -> Template:
    from prefstream.scoring.encoding.template import template_for

    return template_for(model_type, judge.kind, tokenizer)


def _texts(battle: Battle, template: Template) -> list[str]:
    """The battle as the template lays it out, as text: one per sequence."""
    answers = [battle.response_a, battle.response_b] if template.kind == "pointwise" else [battle.response_a]
    texts = []
    for answer in answers:
        slots = {
            "{prompt}": battle.prompt,
            "{answer}": answer,
            "{response_a}": battle.response_a,
            "{response_b}": battle.response_b,
        }
        rounds = []
        for number in range(len(battle.prompt)):
            text = template.each_round
            for slot, turns in slots.items():
                text = text.replace(slot, turns[number])
            rounds.append(text)
        texts.append(template.opening + "".join(rounds) + template.closing)
    return texts


_TASKS: Final[dict[str, Callable[[Request], dict[str, Any]]]] = {
    "adapters": make_adapters,
    "panel": run_panel,
    "plain": run_plain,
    "careful": partial(run_plain, careful=True),
}


def main() -> None:
    """Do the task that the arguments name."""
    task, request, answer = sys.argv[1:]
    if task in {"panel", "careful"}:
        runtime.ensure_fast_process()
    fields = _TASKS[task](Request.read(Path(request)))
    if task != "adapters":
        fields["peak_memory_bytes"] = peak_memory_bytes()
    Path(answer).write_text(json.dumps(fields), encoding="utf-8")


if __name__ == "__main__":
    main()
