"""A recipe: everything that decides what a training run makes of its data, one YAML file per judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, TypeVar

from pydantic import Field, ValidationError, model_validator

from prefstream.scoring.config import DEMO_BASES, Commit, Int8Threshold, Quantization, QuantTypeSetting
from prefstream.scoring.encoding.template import Pooling
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.settings import Settings
from prefstream.scoring.settings_files import read_yaml
from prefstream.scoring.validation_messages import error_lines

RECIPES: Final = Path(__file__).resolve().parent / "recipes"
"""Where the recipes that ship lie."""

LINEAR_LAYERS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""All linear layers of a block, as Gemma and Llama name them."""

Fraction: TypeAlias = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive: TypeAlias = Annotated[float, Field(gt=0.0)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0.0)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
RecipeName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]

_S = TypeVar("_S", bound=Settings)


class LoraRecipe(Settings):
    """What is trained beside the head."""

    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[Positive, Field(description="The update counts alpha / rank times.")] = 32.0
    dropout: Annotated[Fraction, Field(description="Costs 1.6 times the time on a CPU.")] = 0.0
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = LINEAR_LAYERS
    frozen_layers: Annotated[
        int, Field(ge=0, description="Layers from below without LoRA; nothing is propagated back through them.")
    ] = 0


class HeadRecipe(Settings):
    """What the head is before the first step."""

    begin: Annotated[
        Literal["zeros", "fitted"],
        Field(description="fitted: to the states of the base as it is, by a convex fit; pointwise judges only."),
    ] = "zeros"
    penalties: Annotated[
        tuple[Positive, ...],
        Field(
            min_length=1,
            description="Of a fitted head's weights; taken is the best one on prompts that a fit had not seen.",
        ),
    ] = (100.0, 300.0, 1000.0, 3000.0, 10000.0)


class OptimizerRecipe(Settings):
    """How weights move."""

    name: Annotated[str, Field(description="As transformers names it, such as paged_adamw_8bit.")] = "adamw_torch"
    learning_rate: Positive = 2e-4
    head_learning_rate: Annotated[Positive | None, Field(description="Of the head; None for the same.")] = None
    schedule: Annotated[str, Field(description="As transformers names it.")] = "cosine"
    warmup: Annotated[Fraction, Field(description="Share of the steps.")] = 0.05
    weight_decay: NotNegative = 0.0
    beta1: Fraction = 0.9
    beta2: Fraction = 0.98
    max_grad_norm: Positive = 1.0


class StageRecipe(Settings):
    """A part of the run: which pairs, and how often. Stages follow each other under one schedule."""

    tiers: Annotated[tuple[str, ...], Field(description="Tiers of the data; empty for all.")] = ()
    sources: Annotated[tuple[str, ...], Field(description="Sources of the data; empty for all.")] = ()
    max_length_ratio: Annotated[
        float | None,
        Field(ge=1.0, description="Only pairs whose longer answer is at most so many times the shorter; None for all."),
    ] = None
    epochs: Annotated[Positive, Field(description="May be a fraction: a random part of the prompts.")] = 1.0


class DataRecipe(Settings):
    """What of the data counts, and how much."""

    stages: Annotated[tuple[StageRecipe, ...], Field(min_length=1)] = (StageRecipe(),)
    weights: Annotated[
        Mapping[str, NotNegative], Field(description="By tier or source; multiplies a pair's own weight.")
    ] = {}
    prompt_exponent: Annotated[
        float,
        Field(
            ge=0.0,
            le=1.0,
            description="A pair on a prompt with n pairs counts n to the power of minus this: 0 every pair alike, "
            "1 every prompt alike.",
        ),
    ] = 0.5
    soft_labels: Annotated[bool, Field(description="Learn the shares of the votes where there are any.")] = True
    balance_length: Annotated[
        Literal["none", "data", "step"],
        Field(
            description="Weigh decided pairs so that the longer answer wins half of them: over all pairs of a source, "
            "or within each optimiser step."
        ),
    ] = "none"
    shorter_won: Annotated[
        Positive, Field(description="Multiplies the weight of decided pairs that the shorter answer won.")
    ] = 1.0
    teacher: Annotated[
        float,
        Field(gt=0.0, le=1.0, description="Share of the teacher in the target of a pair, where --teacher gives one."),
    ] = 0.5
    swap: Annotated[
        Literal["both", "random"],
        Field(description="Pairwise: each pair and its swap in the same step, or one of both at random."),
    ] = "both"
    consistency: Annotated[
        NotNegative, Field(description="Pairwise with swap both: weight of the divergence between both orders.")
    ] = 0.0
    mask_identity: Annotated[bool, Field(description="Mask phrases in which an answer names its maker.")] = False

    @model_validator(mode="after")
    def _lengths_are_weighed_once(self) -> Self:
        if self.shorter_won != 1 and self.balance_length != "none":
            raise ValueError("shorter_won: balance_length would undo it; leave one of them out")
        return self


class StepRecipe(Settings):
    """How much goes into an optimiser step, and into a forward pass."""

    weight: Annotated[
        Positive, Field(description="Sum of the pairs' weights in a step: their number if all weigh 1.")
    ] = 16.0
    prompt_pairs: Annotated[Count, Field(description="Pairs on one prompt in a step, at most.")] = 16
    micro_batch_tokens: Annotated[
        Count, Field(description="Tokens whose activations are kept for one backward pass: bounds memory.")
    ] = 4096
    pass_tokens: Annotated[Count, Field(description="Padded tokens of one forward pass.")] = 2048
    accumulation: Annotated[Count, Field(description="Steps whose gradients are added up before weights move.")] = 1
    gradient_checkpointing: Annotated[
        bool, Field(description="Compute activations twice instead of keeping them: a third slower, far less memory.")
    ] = False


class DevRecipe(Settings):
    """When the run looks at the dev pairs, and what follows."""

    evaluations: Annotated[Count, Field(description="How often, evenly spread; the last is at the end.")] = 4
    tiers: Annotated[tuple[str, ...], Field(description="Tiers of the dev data; empty for all.")] = ()
    max_battles: Annotated[Count | None, Field(description="A random part of the prompts, until so many.")] = None
    patience: Annotated[Count | None, Field(description="Stop after so many evaluations without a lower log loss.")] = (
        None
    )


class Recipe(Settings):
    """A training run, but for its data."""

    name: RecipeName
    base: Annotated[str, Field(description=f"Folder, hub id, or {' or '.join(DEMO_BASES)}: the demo's.")]
    revision: Annotated[Commit | None, Field(description="Commit of a hub base.")] = None
    kind: Literal["pairwise", "pointwise"]
    max_length: Annotated[int, Field(ge=1, description="Tokens of one sequence, at most.")] = 1024
    pooling: Annotated[
        Pooling,
        Field(
            description="The head reads the last token's state; the mean of all tokens', for embedding models; or, "
            "pointwise, the mean of the answer's tokens' and half the last one's, for bases that learn little more."
        ),
    ] = "last"
    layers: Annotated[
        Count | None,
        Field(
            description="Of the base, from below, that the judge has; None for all. The middle of a base knows more of "
            "what it reads than its end, which is about the next token, and takes half the time."
        ),
    ] = None
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    quantization: Quantization = "none"
    int8_threshold: Int8Threshold = None
    quant_type: QuantTypeSetting = None
    attention: Literal["auto", "eager", "sdpa", "causal_blocks", "flash_attention_2", "flex_attention"] = "auto"
    lora: LoraRecipe = LoraRecipe()
    head: HeadRecipe = HeadRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    data: DataRecipe = DataRecipe()
    step: StepRecipe = StepRecipe()
    dev: DevRecipe = DevRecipe()
    max_steps: Annotated[
        int | None,
        Field(ge=0, description="Only the first so many steps, for a try; None for all; 0 for a fitted head alone."),
    ] = None
    checkpoints: Annotated[Count, Field(description="How many are written over the run.")] = 10
    store: Annotated[
        Literal["bfloat16", "float32"], Field(description="What the adapter is stored in, and evaluated as.")
    ] = "bfloat16"
    seed: int = 0
    licence: Annotated[str, Field(description="Of the base, for the model card.")] = ""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.kind == "pointwise" and self.data.consistency:
            raise ValueError("data.consistency: a pointwise judge is consistent by construction; leave it out")
        if self.data.consistency and self.data.swap != "both":
            raise ValueError("data.consistency: needs data.swap: both")
        if self.kind == "pairwise" and self.head.begin == "fitted":
            raise ValueError("head.begin: only a pointwise judge's head can be fitted; leave it at zeros")
        if self.max_steps == 0 and self.head.begin != "fitted":
            raise ValueError("max_steps: without a step nothing is learnt, unless head.begin is fitted")
        return self


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that ship."""
    return tuple(sorted(path.stem for path in RECIPES.glob("*.yaml")))


def load_recipe(source: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe of a judge with LoRA.

    Args:
        source: name of one that ships, or path of a YAML file.
        overrides: dotted key to value, such as `optimizer.learning_rate`; stronger than the file.

    Raises:
        ConfigError: there is no such recipe, or it holds errors.
    """
    return read_recipe(source, overrides).validate_as(Recipe)


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """What a recipe's file says, not held against any kind of judge yet.

    Attributes:
        path: of the file.
        fields: what it says, with what was changed of it.
        overrides: what was changed, by dotted key.
    """

    path: Path
    fields: dict[str, Any]
    overrides: dict[str, Any]

    def validate_as(self, kind: type[_S]) -> _S:
        """The recipe, of that kind of judge.

        Raises:
            ConfigError: it holds errors.
        """
        try:
            return kind.model_validate(self.fields)
        except ValidationError as error:
            lines = tuple(_with_override(line, self.overrides) for line in error_lines(error, kind))
            raise ConfigError(str(self.path), lines) from None


def read_recipe(source: str, overrides: dict[str, Any] | None = None) -> RecipeFile:
    """Find a recipe and read it, whatever judge it is of.

    Args:
        source: as for `load_recipe`.
        overrides: likewise.

    Raises:
        ConfigError: there is no such recipe, or it is no mapping.
    """
    path = RECIPES / f"{source}.yaml" if source in shipped_recipes() else Path(source)
    if not path.is_file():
        raise ConfigError(source, (f"no such recipe; give a YAML file, or one of {', '.join(shipped_recipes())}",))
    fields = read_yaml(path)
    if not isinstance(fields, dict):
        raise ConfigError(str(path), ("the file: must be a mapping of keys to values",))
    for key, value in (overrides or {}).items():
        _set(fields, key.split("."), value)
    return RecipeFile(path, fields, overrides or {})


def _with_override(line: str, overrides: dict[str, Any]) -> str:
    """An error of a setting that was changed is not the file's."""
    place = line.partition(":")[0]
    return f"{line} (given by --set {place})" if place in overrides else line


def _set(fields: dict[str, Any], keys: list[str], value: Any) -> None:
    *above, last = keys
    for key in above:
        inner = fields.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(".".join(keys), (f"{key} is no group of settings",))
        fields = inner
    fields[last] = value
