"""A judge with weights on a device of this machine."""

from __future__ import annotations

from typing import Any

from prefstream.schemas import Battle, Provenance
from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.forward import Forward
from prefstream.scoring.judges.reading import ReadingJudge


class ModelJudge(ReadingJudge):
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
        super().__init__(
            name=name,
            weight=weight,
            provenance=provenance,
            encoder=encoder,
            source=forward,
            tau=tau,
            calibration=calibration,
        )
        self._forward = forward

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

    def warm_up(self) -> None:
        """One pass as large as passes get, of sequences as long as they get; called by the thread that will score.

        The first battle then takes no longer than others, and what does not fit shows before there is one.

        Raises:
            JudgeFaultError: the device or the model failed.
            BattleTooLargeError: a battle of `max_length` tokens does not fit on the device, even alone.
        """
        words = "word " * self.encoder.max_length
        battle = Battle(id="warm-up", prompt=(words,), response_a=(words,), response_b=(words,))
        [encoding] = self.encoder.encode([battle])
        if not self._forward.warm_up(max(encoding.sequences, key=len)):
            raise self.too_large(encoding.longest)
