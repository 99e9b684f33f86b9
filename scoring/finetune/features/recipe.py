"""A recipe of a judge of features: what is counted, which data counts how much, and how far weights may go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from prefstream.scoring.encoding.template import LABELS
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.features.spec import FeatureSpec
from prefstream.scoring.finetune.recipe import DataRecipe, Positive, Recipe, RecipeName, read_recipe
from prefstream.scoring.settings import Settings


class PenaltyRecipe(Settings):
    """How strongly weights are pulled to 0: one over the variance that they are expected to have, in nats squared.

    Measures are scaled to a standard deviation of 1 first, counts are 0 or 1.
    """

    measures: Annotated[Positive, Field(description="Of what is measured, for who wins.")] = 3.0
    words: Annotated[Positive, Field(description="Of words, for who wins.")] = 10.0
    characters: Annotated[Positive, Field(description="Of runs of characters, for who wins.")] = 30.0
    tie_measures: Annotated[Positive, Field(description="Of what is measured, for ties.")] = 3.0
    tie_words: Annotated[Positive, Field(description="Of the prompt's words, for ties.")] = 30.0


class DevTiers(Settings):
    """What of the dev pairs is looked at, at the end."""

    tiers: Annotated[tuple[str, ...], Field(description="Tiers of the dev data; empty for all.")] = ()


class FeaturesRecipe(Settings):
    """The fit of a judge of features, but for its data. It draws nothing at random."""

    name: RecipeName
    kind: Literal["features"]
    features: FeatureSpec = FeatureSpec()
    penalties: PenaltyRecipe = PenaltyRecipe()
    data: DataRecipe = DataRecipe()
    dev: DevTiers = DevTiers()
    most_iterations: Annotated[int, Field(ge=1, description="Of the optimiser, if it does not end before.")] = 500
    licence: Annotated[str, Field(description="Of the weights, for the model card.")] = ""

    @model_validator(mode="after")
    def _data_can_be_followed(self) -> Self:
        errors = list(self._unused_settings())
        if errors:
            raise ValueError("; ".join(errors))
        return self

    def _unused_settings(self) -> Iterator[str]:
        data = self.data
        if any(stage.epochs != 1 for stage in data.stages):
            yield "data.stages: has epochs, but all pairs are fitted at once; give a tier its weight in data.weights"
        if data.balance_length == "step":
            yield "data.balance_length: step needs steps, and there are none; use data"
        if data.swap != "both":
            yield "data.swap: a judge of features learns the same from both orders; leave it out"
        if data.consistency:
            yield "data.consistency: a judge of features is consistent by construction; leave it out"
        if data.mask_identity:
            yield "data.mask_identity: is features.mask_identity here, and on unless it is switched off"


AnyRecipe: TypeAlias = Recipe | FeaturesRecipe


def load_any_recipe(source: str, overrides: dict[str, Any] | None = None) -> AnyRecipe:
    """Read a recipe of whatever kind of judge, as `load_recipe` reads those with LoRA.

    Args:
        source: name of one that ships, or path of a YAML file.
        overrides: dotted key to value, such as `penalties.words`; stronger than the file.

    Raises:
        ConfigError: there is no such recipe, or it holds errors.
    """
    read = read_recipe(source, overrides)
    models: dict[object, type[AnyRecipe]] = {**dict.fromkeys(LABELS, Recipe), "features": FeaturesRecipe}
    kind = read.fields.get("kind")
    if not isinstance(kind, str) or kind not in models:
        raise ConfigError(str(read.path), (f"kind: unknown, or missing; give one of {', '.join(map(str, models))}",))
    return read.validate_as(models[kind])
