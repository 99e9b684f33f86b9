"""The panel file: who judges, on which device, how their answers are combined.

Every path may be relative to the panel file. Unknown keys are errors. All errors are reported together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from prefstream.schemas import Probabilities
from prefstream.scoring.errors import ConfigError, MisuseError
from prefstream.scoring.settings import Settings
from prefstream.scoring.settings_files import read_yaml
from prefstream.scoring.validation_messages import error_lines, nearest_of

CPU_MICRO_BATCH_TOKENS: Final = 1024
"""Measured best for battles of real lengths on a CPU without AMX: 2048 took 6 to 8 % more CPU seconds."""

CUDA_MICRO_BATCH_TOKENS: Final = 16384
"""Keeps a card busy; one too small for it halves it when memory runs out (`scoring.judges.memory.token_budget`).

The default is this number and not `auto`: the same batch is then cut alike at every start, whatever else is on the
card, and gives the same bits. `auto` takes no more than this: a larger pass pads more."""

DEMO_PANEL: Final = "demo"
"""Names the demo's panel wherever a panel file can be named. A file of this name is meant by its whole path."""

DEMO_BASES: Final = ("demo:gemma", "demo:smollm", "demo:embeddinggemma")
"""Names, wherever a base can be named, of the demo's base models and of one to train on beside them; each is fetched
and converted at its first use."""

_DEMO_PANEL_FILE: Final = Path(__file__).resolve().parent / "demo" / "pretrained" / "panel.yaml"

_DEMO_PREFIX: Final = "demo:"
_FOLDER: Final = "folder"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def _resolve(text: str, info: ValidationInfo) -> str:
    """An absolute path where `text` names something that exists beside the panel file, or is spelt as a path."""
    if text.startswith(_DEMO_PREFIX):
        return text
    folder = (info.context or {}).get(_FOLDER, Path.cwd())
    path = Path(folder, Path(text).expanduser())
    if path.exists() or not _HUB_ID.fullmatch(text):
        return str(path.resolve())
    return text


def _needs_text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


Source: TypeAlias = Annotated[str, BeforeValidator(_needs_text), Field(min_length=1), AfterValidator(_resolve)]
"""A local path, made absolute, or a hub id."""

Commit: TypeAlias = Annotated[str, Field(pattern=_COMMIT.pattern + "$")]
"""A full commit hash: a branch or tag can be moved to other weights."""


def _insist_on_revision(source: str, info: ValidationInfo, key: str) -> str:
    unpinned = key in info.data and info.data[key] is None
    if unpinned and not Path(source).is_absolute():
        raise ValueError(
            f"{source} is no folder, and as a hub id it needs {key}, the full commit hash: "
            "a branch or tag could be other weights tomorrow"
        )
    return source


class _NamedSettings(Settings):
    name: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
            description="Name in preferences, metrics and logs.",
        ),
    ]
    weight: Annotated[float, Field(ge=0.0, description="Share in the panel's mean; need not sum to 1.")] = 1.0


class SharesConfig(Settings):
    """How `max_length` is shared when a battle does not fit; what one part leaves unused goes to the others."""

    prompt: Annotated[float, Field(gt=0.0, description="Part of the prompt.")] = 1.0
    response: Annotated[float, Field(gt=0.0, description="Part of each response.")] = 2.0


Quantization: TypeAlias = Literal["none", "8bit", "4bit"]
"""By bitsandbytes; the head is never quantised."""

INT8_THRESHOLD: Final = 6.0
"""bitsandbytes' own, from the paper on it (Dettmers et al. 2022, "LLM.int8()")."""


def _belongs_to(value: object, info: ValidationInfo, quantization: Quantization) -> None:
    """Refuse a setting that stands beside another quantization than its own."""
    given = info.data.get("quantization", quantization)
    if value is not None and given != quantization:
        raise ValueError(f"is for quantization: {quantization}, and this is {given}; leave it out")


def _of_8_bits(value: float | None, info: ValidationInfo) -> float | None:
    _belongs_to(value, info, "8bit")
    return value


def _of_4_bits(value: str | None, info: ValidationInfo) -> str | None:
    _belongs_to(value, info, "4bit")
    return value


Int8Threshold: TypeAlias = Annotated[
    float | None,
    Field(
        ge=0.0,
        description="With 8bit: an input's columns that reach it in any row of a pass are computed in 16 bits; 0 for "
        f"none, and then an answer does not depend on its neighbours in the pass. Default: {INT8_THRESHOLD:g}.",
    ),
    AfterValidator(_of_8_bits),
]
"""Stands behind `quantization`, which its validation looks at; so does the next one."""

QuantType: TypeAlias = Literal["nf4", "fp4"]
"""The 16 levels of a weight in 4 bits: of a normal distribution, or of a number with an exponent."""

QuantTypeSetting: TypeAlias = Annotated[
    QuantType | None, Field(description="With 4bit: its levels. Default: nf4."), AfterValidator(_of_4_bits)
]


class ModelJudgeConfig(_NamedSettings):
    """A judge with weights: base model, adapter, device."""

    kind: Annotated[
        Literal["pairwise", "pointwise"],
        Field(description="pairwise reads both answers together, pointwise each one alone."),
    ]
    # Revisions stand before their sources, whose validation looks at them.
    revision: Annotated[Commit | None, Field(description="Commit of a hub base.")] = None
    base: Annotated[
        Source, Field(description=f"Folder or hub id of the base model, or {' or '.join(DEMO_BASES)}: the demo's.")
    ]
    adapter_revision: Annotated[Commit | None, Field(description="Commit of a hub adapter.")] = None
    adapter: Annotated[Source | None, Field(description="Folder or hub id of the LoRA adapter.")] = None
    allow_untrained: Annotated[
        bool, Field(description="Accept a random head; every preference then says so. For demos and tests.")
    ] = False
    device: Annotated[
        str,
        Field(
            pattern=r"^(auto|cpu|cuda|cuda:\d+)$",
            description="auto takes the CUDA cards in turn, or the CPU where there is none.",
        ),
    ] = "auto"
    dtype: Annotated[
        Literal["auto", "bfloat16", "float16", "float32"],
        Field(description="auto is bfloat16 where the device computes in it, else float16 on CUDA, float32 on CPU."),
    ] = "auto"
    quantization: Annotated[Quantization, Field(description="By bitsandbytes; the head is never quantised.")] = "none"
    int8_threshold: Int8Threshold = None
    quant_type: QuantTypeSetting = None
    merge: Annotated[
        Literal["auto", "before_quantization"],
        Field(
            description="auto merges an adapter into a base that is not quantised, and leaves it beside one that is. "
            "before_quantization, with 8bit: it is merged in the machine's memory, which holds the whole base in 16 "
            "bits for that, and the sum is rounded."
        ),
    ] = "auto"
    attention: Annotated[
        Literal["auto", "eager", "sdpa", "causal_blocks", "flash_attention_2", "flex_attention"],
        Field(
            description="auto is causal_blocks in bfloat16 on CPU where the base looks back alone; for Gemma 2 on CUDA "
            "flash_attention_2 where flash-attn (2.6 or newer) is installed and the card has bfloat16, else "
            "causal_blocks; for the rest sdpa, and eager for Gemma 2."
        ),
    ] = "auto"
    max_length: Annotated[int, Field(ge=1, description="Tokens of one sequence, at most.")] = 2048
    micro_batch_tokens: Annotated[
        int | Literal["auto"] | None,
        Field(
            description="Padded tokens of one forward pass, at most. "
            f"Default: {CPU_MICRO_BATCH_TOKENS} on CPU, {CUDA_MICRO_BATCH_TOKENS} on CUDA. auto: of these as many as "
            "the card has room for beside its judges' weights, which its judges share.",
        ),
    ] = None
    shares: SharesConfig = SharesConfig()

    @field_validator("base", "adapter")
    @classmethod
    def _pinned(cls, source: str | None, info: ValidationInfo) -> str | None:
        if source is not None and source.startswith(_DEMO_PREFIX):
            known = DEMO_BASES if info.field_name == "base" else ()
            if source not in known:
                raise ValueError(f"{source} is unknown; the demo's bases are {', '.join(DEMO_BASES)}")
            return source
        key = "revision" if info.field_name == "base" else "adapter_revision"
        return source and _insist_on_revision(source, info, key)

    @field_validator("micro_batch_tokens", mode="wrap")
    @classmethod
    def _tokens_or_auto(cls, given: object, validate: ValidatorFunctionWrapHandler) -> object:
        """One error, where pydantic has one for each type that it could have been."""
        with suppress(ValidationError):
            tokens = validate(given)
            if not isinstance(tokens, int) or tokens > 0:
                return tokens
        raise ValueError("should be a whole number, at least 1, or auto")

    @field_validator("merge")
    @classmethod
    def _mergeable(cls, merge: str, info: ValidationInfo) -> str:
        if merge == "auto":
            return merge
        quantization = info.data.get("quantization", "8bit")
        if quantization == "4bit":
            raise ValueError(
                f"{merge} is for quantization: 8bit; 16 levels are too few for what an adapter adds, which rounding "
                "would undo; leave it out"
            )
        if quantization == "none":
            raise ValueError(
                f"{merge} is for quantization: 8bit; into a base that is not quantised an adapter is merged anyway"
            )
        if "adapter" in info.data and info.data["adapter"] is None:
            raise ValueError(f"{merge} needs an adapter; leave it out")
        return merge

    @property
    def merges(self) -> bool:
        """Whether the adapter becomes part of the base's weights, and takes no memory of its own."""
        return self.quantization == "none" or self.merge == "before_quantization"


class FeaturesJudgeConfig(_NamedSettings):
    """A linear model over what can be counted of both answers; no base, no device."""

    kind: Literal["features"]
    adapter_revision: Annotated[Commit | None, Field(description="Commit of a hub adapter.")] = None
    adapter: Annotated[
        Source, Field(description="Folder or hub id that `prefstream finetune` wrote with a recipe of this kind.")
    ]

    @field_validator("adapter")
    @classmethod
    def _pinned(cls, source: str, info: ValidationInfo) -> str:
        return _insist_on_revision(source, info, "adapter_revision")


class SimulateConfig(Settings):
    """Cost that a prior judge pretends to have."""

    seconds_per_batch: Annotated[float, Field(ge=0.0)] = 0.0
    seconds_per_1k_tokens: Annotated[
        float, Field(ge=0.0, description="Tokens are estimated as a quarter of the characters.")
    ] = 0.0


class PriorJudgeConfig(_NamedSettings):
    """A judge without weights: fixed probabilities at a simulated cost."""

    kind: Literal["prior"]
    probabilities: Probabilities
    simulate: SimulateConfig = SimulateConfig()


JudgeConfig: TypeAlias = Annotated[
    ModelJudgeConfig | FeaturesJudgeConfig | PriorJudgeConfig, Field(discriminator="kind")
]


class PanelConfig(Settings):
    """Who judges, and what becomes of their answers."""

    judges: tuple[JudgeConfig, ...]
    swap: Annotated[
        bool, Field(description="Score every battle in both orders and average; free for pointwise judges.")
    ] = False
    calibration: Annotated[
        Source | None,
        Field(
            description="JSON file that `prefstream calibrate` writes: temperature and tie bias of each judge and of "
            "their mean, and weights, which take the place of those here."
        ),
    ] = None
    recuse: Annotated[
        Mapping[str, tuple[Annotated[str, Field(min_length=1)], ...]],
        Field(
            description="By judge, shell patterns for names of models (`model_a` or `model_b` of a battle) that may be "
            "of its own family: where one fits, the judge does not count. Upper and lower case are alike."
        ),
    ] = {}
    on_judge_failure: Annotated[
        Literal["stop", "degrade"],
        Field(description="What to do when a judge fails for good: stop, or go on without it and say so."),
    ] = "stop"

    @model_validator(mode="after")
    def _judges_fit_together(self) -> Self:
        errors = _joint_errors([(judge.name, judge.weight) for judge in self.judges], self.recuse)
        if errors:
            raise ValueError("; ".join(errors))
        return self


def load_panel_config(source: Path | str) -> PanelConfig:
    """Read a panel file.

    Args:
        source: the YAML file, or `demo` for the demo's panel; relative paths in it are relative to its folder.

    Raises:
        ConfigError: the file can't be read or holds errors; all of them are in the message.
        MisuseError: `source` is no path.
    """
    if not isinstance(source, Path | str):
        wanted = "the path of its file, demo, or PanelConfig(**settings)"
        raise MisuseError(f"a panel is {wanted}, not {type(source).__name__}")
    path = _DEMO_PANEL_FILE if str(source) == DEMO_PANEL else Path(source)
    fields = read_yaml(path, absent="no such file; give the path of a panel file, or demo for the one that is built in")
    try:
        return PanelConfig.model_validate(fields, context={_FOLDER: path.resolve().parent})
    except ValidationError as error:
        errors = error_lines(error, PanelConfig)
        # pydantic skips checks of the whole when a part is wrong; the reader wants them all.
        judges, recuse = (fields.get("judges"), fields.get("recuse")) if isinstance(fields, Mapping) else (None, None)
        if isinstance(judges, list):
            joint = _joint_errors([_name_and_weight(judge) for judge in judges], recuse)
            errors += tuple(line for line in joint if not any(line in known for known in errors))
        raise ConfigError(str(path), errors) from None


def _name_and_weight(judge: object) -> tuple[object, object]:
    return (judge.get("name"), judge.get("weight")) if isinstance(judge, Mapping) else (None, None)


def _joint_errors(judges: Sequence[tuple[object, object]], recuse: object) -> list[str]:
    """Errors that no single judge shows.

    Args:
        judges: name and weight of each, as far as they can be read.
        recuse: what the file says of recusal, whatever that is.
    """
    names = Counter(name for name, _ in judges if isinstance(name, str))
    errors = [
        f"judges: {count} judges are named {name}; names must differ" for name, count in names.items() if count > 1
    ]
    if not judges:
        errors.append("judges: is empty; a panel needs at least one judge")
    elif all(weight == 0 for _, weight in judges):
        errors.append("judges: every weight is 0; at least one judge must count")
    if isinstance(recuse, Mapping):
        errors += _recusal_errors(recuse, list(names))
    return errors


def _recusal_errors(recuse: Mapping[object, object], judges: Sequence[str]) -> Iterator[str]:
    for name, globs in recuse.items():
        if isinstance(name, str) and judges and name not in judges:
            yield f"recuse.{name}: no judge has this name; {nearest_of(name, judges)}"
        if isinstance(globs, Sized) and not globs:
            yield f"recuse.{name}: is empty; give patterns for names of models, or leave the judge out"
