"""A judge of features: both answers at once through a linear model. No base model, no device, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from prefstream.schemas import Battle, Provenance
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.judges.readout import read_pairwise

if TYPE_CHECKING:
    from prefstream.scoring.features.extract import Extractor, Features
    from prefstream.scoring.features.linear import LinearModel
    from prefstream.scoring.features.strongest import NamedFeature


@dataclass(frozen=True, slots=True)
class FeaturesBatch(JudgeBatch):
    """Battles as a judge of features reads them: counted, and no text of them kept.

    Attributes:
        features: None of no battles.
    """

    features: Features | None = field(default=None, repr=False)


class FeaturesJudge:
    """One linear model over the features of battles; exactly symmetric."""

    symmetric = True

    def __init__(
        self,
        *,
        name: str,
        weight: float,
        adapter_hash: str,
        hub: tuple[str, str] | None = None,
        extractor: Extractor,
        model: LinearModel,
        strongest: Sequence[NamedFeature] = (),
        calibration: Calibration | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            name: as in preferences, metrics and logs.
            weight: share in the panel's mean.
            adapter_hash: of the model's weights.
            hub: id and commit of an adapter of a hub; None for a folder's.
            extractor: counts what the model was trained on.
            model: the weights.
            strongest: features that decide most, the strongest first.
            calibration: of this judge's probabilities.
        """
        spec = extractor.spec
        adapter, revision = hub or (None, None)
        self.name = name
        self.weight = weight
        self.provenance = Provenance(
            kind="features",
            adapter=adapter,
            adapter_revision=revision,
            adapter_hash=adapter_hash,
            template=spec.name,
            template_hash=spec.hash,
            mask_identity=spec.mask_identity,
            trained=True,
        )
        self.strongest = tuple(strongest)
        self._extractor = extractor
        self._model = model
        self._calibration = calibration or Calibration()
        self.settings = {"calibration": self._calibration.model_dump(mode="json")}

    def encode(self, battles: Sequence[Battle]) -> FeaturesBatch:
        """Count; callable from any thread. There are no tokens."""
        if not battles:
            return FeaturesBatch(count=0, padded_tokens=0)
        return FeaturesBatch(len(battles), padded_tokens=0, features=self._extractor.extract(battles))

    def score(self, batch: JudgeBatch) -> Scores:
        """Judge: two products with the weights.

        Raises:
            TypeError: the batch is another judge's.
        """
        if not isinstance(batch, FeaturesBatch):
            raise TypeError(f"judge {self.name} was given a {type(batch).__name__} that it did not encode")
        if batch.features is None:
            return Scores(np.zeros((0, 3)), {})
        probabilities = read_pairwise(self._model.logits(batch.features))
        return Scores(
            self._calibration.apply(probabilities),
            {},
            None if self._calibration.changes_nothing else probabilities,
        )

    def close(self) -> None:
        """Nothing to free."""
