"""A judge with weights: tokens in, logits out, read as probabilities, calibrated."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import Battle, Provenance
from prefstream.scoring.encoding.encode import Encoder, Turns
from prefstream.scoring.encoding.template import LABELS
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.forward import Forward
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.judges.microbatch import distinct, plan_micro_batches
from prefstream.scoring.judges.readout import read_pairwise, read_pointwise


class ModelJudge:
    """One model on one device, reading pairwise or pointwise."""

    def __init__(
        self,
        *,
        name: str,
        weight: float,
        provenance: Provenance,
        encoder: Encoder,
        forward: Forward,
        tau: float = 0.0,
        calibration: Calibration | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            name: as in preferences, metrics and logs.
            weight: share in the panel's mean.
            provenance: what exactly answers; its `kind` decides how logits are read.
            encoder: lays battles out as the adapter was trained.
            forward: the model on its device.
            tau: pointwise: offset of the tie's logit.
            calibration: of this judge's probabilities.
        """
        self.name = name
        self.weight = weight
        self.provenance = provenance
        self.symmetric = provenance.kind == "pointwise"
        self._encoder = encoder
        self._forward = forward
        self._tau = tau
        self._calibration = calibration or Calibration()
        self.settings = {
            "tau": tau,
            "shares": dataclasses.asdict(encoder.shares),
            "calibration": self._calibration.model_dump(mode="json"),
        }

    @property
    def budget_tokens(self) -> int:
        """Padded tokens of one forward pass, at most, as of now."""
        return self._forward.budget_tokens

    @property
    def model_config(self) -> Any:
        """Settings of the model's architecture, as transformers has them."""
        return self._forward.model_config

    def limit(self, tokens: int) -> None:
        """Have another budget; to be called before anything is scored.

        Args:
            tokens: padded tokens of one forward pass, at most.
        """
        self._forward.limit(tokens)

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        """Tokenise; callable from any thread."""
        encodings = tuple(self._encoder.encode(battles))
        sequences, _ = distinct(sequence for encoding in encodings for sequence in encoding.sequences)
        plan = plan_micro_batches(list(map(len, sequences)), padded_tokens=self._forward.budget_tokens)
        padded_tokens = sum(planned.padded_tokens for planned in plan)
        return JudgeBatch(len(encodings), padded_tokens, encodings, tuple(battle.id for battle in battles))

    def score(self, batch: JudgeBatch) -> Scores:
        """Judge; called by one thread at a time.

        Raises:
            JudgeFaultError: the device or the model failed.
        """
        if not batch.count:
            return Scores(np.zeros((0, 3)), {})
        logits = self._forward.logits(
            [sequence for encoding in batch.encodings for sequence in encoding.sequences],
            names=[name for name, one in zip(batch.ids, batch.encodings, strict=True) for _ in one.sequences],
        )
        if self.provenance.kind == "pointwise":
            probabilities = read_pointwise(logits.values, tau=self._tau)
        else:
            probabilities = read_pairwise(logits.values)
        sequences_each = len(logits.values) // batch.count
        too_large = {index // sequences_each for index in logits.too_large}
        return Scores(
            self._calibration.apply(probabilities),
            {position: self._too_large(batch.encodings[position].longest) for position in too_large},
            None if self._calibration.changes_nothing else probabilities,
        )

    def warm_up(self) -> None:
        """One pass as large as passes get, of sequences as long as they get; called by the thread that will score.

        The first battle then takes no longer than others, and what does not fit shows before there is one.

        Raises:
            JudgeFaultError: the device or the model failed.
            BattleTooLargeError: a battle of `max_length` tokens does not fit on the device, even alone.
        """
        words = "word " * self._encoder.max_length
        battle = Battle(id="warm-up", prompt=(words,), response_a=(words,), response_b=(words,))
        [encoding] = self._encoder.encode([battle])
        if not self._forward.warm_up(max(encoding.sequences, key=len)):
            raise self._too_large(encoding.longest)

    def encode_answers(self, answers: Sequence[tuple[Turns, Turns]]) -> list[tuple[int, ...]]:
        """Tokenise single answers for `rewards`; callable from any thread.

        Args:
            answers: turns of the prompt and of the response, as many of the one as of the other.
        """
        return self._encoder.encode_answers(answers)

    def rewards(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Each answer's own score, of a pointwise judge; called by one thread at a time.

        Of two answers to one prompt, the difference of their scores is the log-odds that the first is preferred to
        the second, before calibration: log P(A)/P(B).

        Args:
            sequences: what `encode_answers` returned.

        Raises:
            JudgeFaultError: the device or the model failed.
            BattleTooLargeError: a sequence does not fit on the device, even alone.
        """
        logits = self._forward.logits(sequences)
        if logits.too_large:
            raise self._too_large(max(len(sequences[index]) for index in logits.too_large))
        return logits.values[:, LABELS["pointwise"].index("score")].astype(np.float64)

    def close(self) -> None:
        """Free the device's memory."""
        self._forward.close()

    def _too_large(self, tokens: int) -> BattleTooLargeError:
        return BattleTooLargeError(
            f"judge {self.name}: {tokens} tokens do not fit on {self.provenance.device}, even alone; lower the "
            "judge's max_length, quantise it, or give it a larger device"
        )
