"""sentence-transformers' loop: `CrossEncoder.predict` as it stands, around the very classifier of a judge.

A cross-encoder of a checkpoint reads its last token and lays out pairs of texts by itself. Neither is what a judge was
trained on; so the judge is its module, as its documentation has it for models of one's own, and gets the texts that all
sides get. What is measured is its way through them: sorted by their characters, so many at a time, padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import InputModule

from prefstream.scoring.bench.throughput_worker import PlainLoop
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.judges.devices import Placement


class CrossEncoderLoop(PlainLoop):
    """One judge, its adapter merged, and all else as `predict` does it unless told otherwise."""

    def __init__(self, judge: ModelJudgeConfig, placement: Placement) -> None:
        super().__init__(judge, placement, careful=True)
        module = _Reading(self)
        self._predict = CrossEncoder(modules=[module], device=str(placement.device)).predict

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Of each text, in their order."""
        pairs = [[text] for text in texts]  # a list of texts would be one pair
        with self.autocast():
            logits: NDArray[np.float32] = self._predict(
                pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False
            )
        return logits


class _Reading(InputModule):  # type: ignore[misc]  # not installed where types are checked
    """A judge as a module of a cross-encoder."""

    def __init__(self, loop: PlainLoop) -> None:
        super().__init__()
        self.classifier = loop.classifier
        self._loop = loop

    def preprocess(self, inputs: Sequence[Sequence[str]], prompt: str | None = None, **_: Any) -> dict[str, Any]:
        """Texts to token ids, as all sides do it."""
        del prompt
        batch: dict[str, Any] = self._loop.padded(self._loop.token_ids([text for [text] in inputs]))
        return batch

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Token ids to logits."""
        return {"scores": self.classifier(**features).logits}

    def save(self, output_path: str, *_args: Any, **_named: Any) -> None:
        """It is not kept.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(output_path)
