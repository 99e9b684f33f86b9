"""A preference: the published answer. Probabilities, what each judge said, and where both came from.

No prompt or response text is in it. Additive changes only within a schema version.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AwareDatetime, Field, model_validator

from prefstream.schemas.battle import OUTCOMES, Outcome
from prefstream.schemas.models import ContractModel

SCHEMA_VERSION: Final = "1.0"

SUM_TOLERANCE: Final = 1e-6
"""Allowed distance of a probability triple's sum from 1: float32 softmax, averaged in float64, stays below 1e-7."""

Probability: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class Probabilities(ContractModel):
    """Probability of each outcome; they sum to 1 within 1e-6."""

    model_a: Probability
    model_b: Probability
    tie: Probability

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.model_a + self.model_b + self.tie
        if abs(total - 1.0) > SUM_TOLERANCE:
            raise ValueError(f"should sum to 1 within {SUM_TOLERANCE}, not to {total!r}")
        return self

    @property
    def preferred(self) -> Outcome:
        """The most probable outcome; the first in the order model_a, model_b, tie where two are equal."""
        return max(OUTCOMES, key=lambda outcome: getattr(self, outcome))


class Truncation(ContractModel):
    """What a judge did not get to read of this battle, in its own tokens."""

    tokens: Annotated[int, Field(ge=0, description="Tokens read, over all of the judge's sequences.")]
    dropped_prompt: Annotated[int, Field(ge=0, description="Tokens of the prompt that were cut.")]
    dropped_response_a: Annotated[int, Field(ge=0, description="Tokens of response A that were cut.")]
    dropped_response_b: Annotated[int, Field(ge=0, description="Tokens of response B that were cut.")]
    dropped_rounds: Annotated[int, Field(ge=0, description="Whole rounds left out, oldest first.")]


class Provenance(ContractModel):
    """What exactly answered: enough to reproduce a judge's probabilities."""

    kind: Literal["pairwise", "pointwise", "prior"]
    base: Annotated[str | None, Field(description="Hub id or folder name of the base model.")] = None
    revision: Annotated[str | None, Field(description="Pinned revision of a hub model.")] = None
    base_hash: Annotated[
        str | None, Field(description="SHA-256 over the headers and samples of the base's weight files.")
    ] = None
    adapter_hash: Annotated[str | None, Field(description="SHA-256 of the adapter's weights.")] = None
    template: Annotated[str | None, Field(description="Family and version of the layout.")] = None
    template_hash: Annotated[str | None, Field(description="SHA-256 of the layout.")] = None
    dtype: str | None = None
    quantization: Literal["none", "8bit", "4bit"] | None = None
    attention: str | None = None
    device: str | None = None
    max_length: int | None = None
    mask_identity: Annotated[
        bool | None, Field(description="Whether phrases in which a response names its maker or itself were masked.")
    ] = None
    trained: Annotated[
        bool | None,
        Field(
            description="False: the head is random and the probabilities mean nothing. Absent from a prior, which has "
            "nothing to train."
        ),
    ] = None


class JudgeOpinion(ContractModel):
    """What one judge said."""

    name: str
    probabilities: Annotated[Probabilities, Field(description="The judge's answer; the mean of both orders on swap.")]
    as_given: Annotated[
        Probabilities | None, Field(description="With swap: the answer to the battle in its own order.")
    ] = None
    swapped: Annotated[
        Probabilities | None,
        Field(description="With swap: the answer to the exchanged battle, mapped back to this battle's A and B."),
    ] = None
    position_gap: Annotated[
        float | None,
        Field(ge=0.0, le=1.0, description="With swap: total variation distance between both orders."),
    ] = None
    truncation: Truncation | None = None
    provenance: Provenance


class KafkaSource(ContractModel):
    """Position of the battle on its topic."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


class FileSource(ContractModel):
    """Position of the battle in a file; lines count from 1."""

    file: str
    line: Annotated[int, Field(ge=1)]


class Timings(ContractModel):
    """Seconds that the battle's batch spent in each stage."""

    queue_s: Annotated[float, Field(ge=0.0)]
    tokenise_s: Annotated[float, Field(ge=0.0)]
    inference_s: Annotated[float, Field(ge=0.0)]
    scored_at: AwareDatetime


class Preference(ContractModel):
    """How probable it is that a person prefers A, prefers B, or calls it a tie."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    id: Annotated[str, Field(description="Id of the battle, and key of the record.")]
    probabilities: Probabilities
    preferred: Annotated[
        Outcome,
        Field(
            description="The most probable outcome; of equally probable ones the first in the order model_a, model_b, "
            "tie. Where the probabilities of A and B are equal, as for two answers that read the same, it says nothing "
            "about which is better: ask the probabilities."
        ),
    ]
    judges: Annotated[tuple[JudgeOpinion, ...], Field(min_length=1)]
    left_out: Annotated[tuple[str, ...], Field(description="Judges that failed and were left out of this answer.")] = ()
    disagreement: Annotated[
        float,
        Field(ge=0.0, le=1.0, description="Mean Jensen-Shannon divergence over pairs of judges, in bits."),
    ]
    source: KafkaSource | FileSource
    timings: Annotated[Timings | None, Field(description="Absent from `score`, whose output is reproducible.")] = None
