"""A judge that reads: battles to tokens, and logits to probabilities, wherever the model between them runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import Battle, Provenance
from prefstream.scoring.encoding.encode import Encoder, Turns
from prefstream.scoring.encoding.template import LABELS
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.judges.logits import LogitsSource, Passes
from prefstream.scoring.judges.microbatch import distinct
from prefstream.scoring.judges.readout import read_pairwise, read_pointwise

_S = TypeVar("_S", bound=LogitsSource)


class ReadingJudge(Generic[_S]):
    """One model, reading pairwise or pointwise."""

    def __init__(
        self,
        *,
        name: str,
        weight: float,
        provenance: Provenance,
        encoder: Encoder,
        source: _S,
        tau: float = 0.0,
        calibration: Calibration | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            name: as in preferences, metrics and logs.
            weight: share in the panel's mean.
            provenance: what exactly answers; its `kind` decides how logits are read.
            encoder: lays battles out as the adapter was trained.
            source: the model, where it runs.
            tau: pointwise: offset of the tie's logit.
            calibration: of this judge's probabilities.
        """
        self.name = name
        self.weight = weight
        self.provenance = provenance
        self.symmetric = provenance.kind == "pointwise"
        self.encoder = encoder
        self._source = source
        self._tau = tau
        self._calibration = calibration or Calibration()
        self.settings = {
            "tau": tau,
            "shares": dataclasses.asdict(encoder.shares),
            "calibration": self._calibration.model_dump(mode="json"),
        }

    @property
    def budget_tokens(self) -> int:
        """Padded tokens that are read at once, at most, as of now."""
        return self._source.budget_tokens

    def passes(self, batch: JudgeBatch) -> Passes | None:
        """Which of a batch's different sequences are read together, as of now; None where others decide that.

        Args:
            batch: what `encode` returned.
        """
        sequences, _ = distinct(sequence for encoding in batch.encodings for sequence in encoding.sequences)
        return self._source.passes([len(sequence) for sequence in sequences])

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        """Tokenise; callable from any thread."""
        encodings = tuple(self.encoder.encode(battles))
        sequences, _ = distinct(sequence for encoding in encodings for sequence in encoding.sequences)
        padded_tokens = self._source.padded_tokens([len(sequence) for sequence in sequences])
        return JudgeBatch(len(encodings), padded_tokens, encodings, tuple(battle.id for battle in battles))

    def score(self, batch: JudgeBatch) -> Scores:
        """Judge; called by one thread at a time.

        Raises:
            JudgeFaultError: the device or the model failed.
        """
        if not batch.count:
            return Scores(np.zeros((0, 3)), {})
        logits = self._source.logits(
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
            {position: self.too_large(batch.encodings[position].longest) for position in too_large},
            None if self._calibration.changes_nothing else probabilities,
            logits.lost,
        )

    def encode_answers(self, answers: Sequence[tuple[Turns, Turns]]) -> list[tuple[int, ...]]:
        """Tokenise single answers for `rewards`; callable from any thread.

        Args:
            answers: turns of the prompt and of the response, as many of the one as of the other.
        """
        return self.encoder.encode_answers(answers)

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
        logits = self._source.logits(sequences)
        if logits.too_large:
            raise self.too_large(max(len(sequences[index]) for index in logits.too_large))
        return logits.values[:, LABELS["pointwise"].index("score")].astype(np.float64)

    def close(self) -> None:
        """Give back what the model holds."""
        self._source.close()

    def too_large(self, tokens: int) -> BattleTooLargeError:
        """What to say of a sequence that does not fit, even alone.

        Args:
            tokens: of it.
        """
        return BattleTooLargeError(
            f"judge {self.name}: {tokens} tokens do not fit on {self.provenance.device}, even alone; lower the "
            "judge's max_length, quantise it, or give it a larger device"
        )
