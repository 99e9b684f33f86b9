"""One judge of a panel file, of whatever kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import (
    Field,
    HttpUrl,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from prefstream.schemas import Probabilities
from prefstream.scoring.config.quantization import Int8Threshold, JudgeQuantization, Quantization, QuantTypeSetting
from prefstream.scoring.config.sources import DEMO_BASES, Commit, Revision, Source, pinned
from prefstream.scoring.settings import Settings

CPU_MICRO_BATCH_TOKENS: Final = 1024
"""Measured best for battles of real lengths on a CPU without AMX: 2048 took 6 to 8 % more CPU seconds."""

CUDA_MICRO_BATCH_TOKENS: Final = 16384
"""Keeps a card busy; one too small for it halves it when memory runs out (`scoring.judges.memory.token_budget`).

The default is this number and not `auto`: the same batch is then cut alike at every start, whatever else is on the
card, and gives the same bits. `auto` takes no more than this: a larger pass pads more."""


_DEVICE: Final = re.compile(r"auto|cpu|cuda|cuda:\d+")


_ADAPTER_REVISION: Final = (
    "Of a hub adapter: its commit; or a branch or tag, which is looked up at each start, and told."
)


class _NamedSettings(Settings):
    name: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
            description="Name in preferences, metrics and logs.",
        ),
    ]
    weight: Annotated[float, Field(ge=0.0, description="Share in the panel's mean; need not sum to 1.")] = 1.0


class _WithoutDevice(_NamedSettings):
    why_no_device: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _names_no_device(cls, given: object) -> object:
        """A key that other judges have, and a list of devices that would promise to be faster."""
        if isinstance(given, Mapping) and "device" in given:
            raise ValueError(f"device is for judges with weights here; {cls.why_no_device}; leave it out")
        return given


class SharesConfig(Settings):
    """How `max_length` is shared when a battle does not fit; what one part leaves unused goes to the others."""

    prompt: Annotated[float, Field(gt=0.0, description="Part of the prompt.")] = 1.0
    response: Annotated[float, Field(gt=0.0, description="Part of each response.")] = 2.0


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
    adapter_revision: Annotated[Revision | None, Field(description=_ADAPTER_REVISION)] = None
    adapter: Annotated[Source | None, Field(description="Folder or hub id of the LoRA adapter.")] = None
    allow_untrained: Annotated[
        bool, Field(description="Accept a random head; every preference then says so. For demos and tests.")
    ] = False
    device: Annotated[
        str | tuple[str, ...],
        Field(
            description="auto takes the CUDA cards in turn, or the CPU where there is none. A list: a replica of the "
            "judge on each, which share its work.",
        ),
    ] = "auto"
    dtype: Annotated[
        Literal["auto", "bfloat16", "float16", "float32"],
        Field(description="auto is bfloat16 where the device computes in it, else float16 on CUDA, float32 on CPU."),
    ] = "auto"
    quantization: Annotated[
        JudgeQuantization,
        Field(
            description="8bit and 4bit by bitsandbytes; the head is never quantised. int8-dynamic, on a CPU with VNNI: "
            "the gates alone, input and weights. auto: int8-dynamic where base, dtype and processor allow it, else "
            "none."
        ),
    ] = "none"
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
    packing: Annotated[
        Literal["auto", "none"],
        Field(
            description="auto: with flash_attention_2, where the base looks back alone and is not quantised, the "
            "sequences of a pass lie one behind the other, without padding. none: they are padded."
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
        return source and pinned(source, info)

    @field_validator("device", mode="wrap")
    @classmethod
    def _one_or_several(cls, given: object, validate: ValidatorFunctionWrapHandler) -> object:
        """One error, where pydantic has one for each type that it could have been."""
        with suppress(ValidationError):
            device = validate(given)
            if isinstance(device, str) and _DEVICE.fullmatch(device):
                return device
            if isinstance(device, tuple) and device and all(_DEVICE.fullmatch(one) for one in device):
                if "auto" in device:
                    raise ValueError("auto is for one device; name each device of a list")
                return device
        raise ValueError("should be auto, cpu, cuda, or a card such as cuda:0; or a list of such devices, without auto")

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
        if quantization in ("none", "int8-dynamic", "auto"):
            base = "a base that is not quantised" if quantization == "none" else f"the base of an {quantization} judge"
            raise ValueError(f"{merge} is for quantization: 8bit; into {base} an adapter is merged anyway")
        if "adapter" in info.data and info.data["adapter"] is None:
            raise ValueError(f"{merge} needs an adapter; leave it out")
        return merge

    @property
    def replicas(self) -> tuple[ModelJudgeConfig, ...]:
        """The judge once for each of its devices: the first under its own name, the others under one with a number."""
        if isinstance(self.device, str):
            return (self,)
        return tuple(
            self.model_copy(update={"name": f"{self.name}#{place}" if place > 1 else self.name, "device": device})
            for place, device in enumerate(self.device, start=1)
        )

    @property
    def merges(self) -> bool:
        """Whether the adapter becomes part of the base's weights, and takes no memory of its own."""
        return self.rounding == "none" or self.merge == "before_quantization"

    @property
    def rounding(self) -> Quantization:
        """How bitsandbytes rounds the base while it is loaded; int8-dynamic rounds what has been loaded."""
        by_bitsandbytes: dict[JudgeQuantization, Quantization] = {"8bit": "8bit", "4bit": "4bit"}
        return by_bitsandbytes.get(self.quantization, "none")


class FeaturesJudgeConfig(_WithoutDevice):
    """A linear model over what can be counted of both answers; no base, no device."""

    why_no_device = "features are counted on the CPU, faster than any judge with weights reads"

    kind: Literal["features"]
    adapter_revision: Annotated[Revision | None, Field(description=_ADAPTER_REVISION)] = None
    adapter: Annotated[
        Source, Field(description="Folder or hub id that `prefstream finetune` wrote with a recipe of this kind.")
    ]

    @field_validator("adapter")
    @classmethod
    def _pinned(cls, source: str, info: ValidationInfo) -> str:
        return pinned(source, info)


class RemoteJudgeConfig(_WithoutDevice):
    """A judge whose model runs on an engine of its own, behind HTTP; how it reads is decided here."""

    why_no_device = "where this one runs, and how often, is its server's to say"

    kind: Literal["remote"]
    url: Annotated[HttpUrl, Field(description="Of the server, such as http://judge:8000; its API is below.")]
    api: Annotated[
        Literal["vllm-classify"],
        Field(description="vllm-classify: vLLM's /classify, of a sequence classifier; token ids in, raw logits out."),
    ] = "vllm-classify"
    model: Annotated[
        str | None, Field(min_length=1, description="Name under which the server has it. Default: its first one.")
    ] = None
    layout: Annotated[
        Literal["pairwise", "pointwise"],
        Field(description="pairwise reads both answers together, pointwise each one alone."),
    ]
    # Revisions stand before their sources, whose validation looks at them.
    revision: Annotated[Commit | None, Field(description="Commit of a hub base.")] = None
    base: Annotated[
        Source, Field(description="As for a judge with weights; of it only config and tokenizer are read here.")
    ]
    adapter_revision: Annotated[Revision | None, Field(description=_ADAPTER_REVISION)] = None
    adapter: Annotated[
        Source, Field(description="Folder or hub id of the LoRA adapter; of it only its record is read here.")
    ]
    token_variable: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
            description="Variable of the environment that holds the token which the server wants.",
        ),
    ] = None
    timeout_s: Annotated[float, Field(gt=0.0, description="For an answer to one request.")] = 60.0
    patience_s: Annotated[
        float,
        Field(
            ge=0.0,
            description="How long a request is tried again where the server does not answer or can't just now; then "
            "the judge has failed (on_judge_failure). A process that is told to end waits for that, too.",
        ),
    ] = 30.0
    connections: Annotated[int, Field(ge=1, le=64, description="Requests at a time.")] = 4
    max_length: Annotated[int, Field(ge=1, description="Tokens of one sequence, at most.")] = 2048
    shares: SharesConfig = SharesConfig()

    @field_validator("base", "adapter")
    @classmethod
    def _pinned(cls, source: str, info: ValidationInfo) -> str:
        return pinned(source, info)

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, url: HttpUrl) -> HttpUrl:
        if url.username or url.password:
            raise ValueError("holds a name or a password, which a panel file must not; use token_variable")
        return url


class SimulateConfig(Settings):
    """Cost that a prior judge pretends to have."""

    seconds_per_batch: Annotated[float, Field(ge=0.0)] = 0.0
    seconds_per_1k_tokens: Annotated[
        float, Field(ge=0.0, description="Tokens are estimated as a quarter of the characters.")
    ] = 0.0


class PriorJudgeConfig(_WithoutDevice):
    """A judge without weights: fixed probabilities at a simulated cost."""

    why_no_device = "a prior computes nothing"

    kind: Literal["prior"]
    probabilities: Probabilities
    simulate: SimulateConfig = SimulateConfig()


JudgeConfig: TypeAlias = Annotated[
    ModelJudgeConfig | FeaturesJudgeConfig | RemoteJudgeConfig | PriorJudgeConfig, Field(discriminator="kind")
]
