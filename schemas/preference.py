"""A preference: the published answer. Probabilities, what each judge said, and where both came from.

No prompt or response text is in it. Additive changes only within a major schema version: every later message of it
validates against the committed schema of 1.1, and a reader of a later version reads the messages of an earlier one.
"""

from __future__ import annotations

from typing import Annotated, Final, Self, TypeAlias

from pydantic import AwareDatetime, Field, model_validator

from prefstream.schemas.battle import OUTCOMES, Outcome
from prefstream.schemas.models import ContractModel

SCHEMA_VERSION: Final = "1.1"

SUM_TOLERANCE: Final = 1e-6
"""Allowed distance of a probability triple's sum from 1: float32 softmax, averaged in float64, stays below 1e-7."""

MAX_ENTROPY_BITS: Final = 1.584962500721156
"""log2(3): three equally probable outcomes."""

Probability: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Bits: TypeAlias = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


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

    kind: Annotated[
        str, Field(description="pairwise, pointwise, features, prior, or a kind of a later version; readers keep it.")
    ]
    base: Annotated[str | None, Field(description="Hub id or folder name of the base model.")] = None
    revision: Annotated[str | None, Field(description="Pinned revision of a hub model.")] = None
    base_hash: Annotated[
        str | None, Field(description="SHA-256 over the headers and samples of the base's weight files.")
    ] = None
    adapter: Annotated[str | None, Field(description="Hub id of the adapter. Absent: a local folder.")] = None
    adapter_revision: Annotated[
        str | None,
        Field(description="Commit of a hub adapter, also where the panel file names a branch or tag."),
    ] = None
    adapter_hash: Annotated[str | None, Field(description="SHA-256 of the adapter's weights.")] = None
    template: Annotated[str | None, Field(description="Family and version of the layout.")] = None
    template_hash: Annotated[str | None, Field(description="SHA-256 of the layout.")] = None
    dtype: str | None = None
    quantization: Annotated[str | None, Field(description="none, 8bit, 4bit, or what a later version has.")] = None
    int8_threshold: Annotated[
        float | None,
        Field(description="Of 8bit: from where on columns of an input are computed in 16 bits. Absent: 6."),
    ] = None
    quant_type: Annotated[
        str | None,
        Field(description="Of 4bit: its levels, fp4. Absent: nf4. Readers keep what a later version has."),
    ] = None
    merge: Annotated[
        str | None,
        Field(
            description="before_quantization: the adapter was merged into the base, and the sum was quantised. Absent: "
            "it was merged into a base that is not quantised, or left beside one that is. Readers keep what a later "
            "version has."
        ),
    ] = None
    attention: str | None = None
    device: Annotated[
        str | None,
        Field(
            description="Of this process, as torch names it; of a judge with replicas, all of theirs, with commas "
            "between them; of a served model, where its server is."
        ),
    ] = None
    engine: Annotated[
        str | None,
        Field(description="What served the model, by name and version as it says itself. Absent: this process did."),
    ] = None
    served_model: Annotated[
        str | None,
        Field(description="Name of the model there. Which weights these are is the server's word, not checked here."),
    ] = None
    max_length: int | None = None
    mask_identity: Annotated[
        bool | None, Field(description="Whether phrases in which a response names its maker or itself were masked.")
    ] = None
    pooling: Annotated[
        str | None,
        Field(
            description="mean: the head read the mean of all tokens' states; answer: of the answer's tokens, and half "
            "the last one's. Absent: the last token's. Readers keep what a later version has."
        ),
    ] = None
    layers: Annotated[
        int | None, Field(description="How many of the base's layers the judge has, from below. Absent: all.")
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
    weight: Annotated[
        float | None,
        Field(
            ge=0.0,
            le=1.0,
            allow_inf_nan=False,
            description="Share in this answer's mean; over all judges 1. 0 for a judge that does not count.",
        ),
    ] = None
    uncalibrated: Annotated[
        Probabilities | None,
        Field(description="What the judge said before its temperature and tie bias; absent where it has none."),
    ] = None
    truncation: Truncation | None = None
    provenance: Provenance


class StyleCounts(ContractModel):
    """What one response looks like, counted over all its turns; none of its text."""

    characters: Count
    lines: Annotated[int, Field(ge=0, description="Lines that are not blank.")]
    headings: Count
    list_items: Count
    bold: Count
    code_blocks: Count
    tables: Count
    links: Count
    digits: Count


class Style(ContractModel):
    """What both responses look like."""

    a: StyleCounts
    b: StyleCounts


class Uncertainty(ContractModel):
    """How little the panel knows about this battle, and how much of that is its judges' disagreement."""

    entropy: Annotated[float, Field(ge=0.0, le=MAX_ENTROPY_BITS, description="Of the panel's probabilities, in bits.")]
    between_judges: Annotated[
        float,
        Field(
            ge=0.0,
            le=MAX_ENTROPY_BITS,
            description="Entropy of the judges' weighted mean less the weighted mean of their entropies, in bits, "
            "before the panel's calibration: what they disagree about, rather than doubt alike.",
        ),
    ]


class PanelIdentity(ContractModel):
    """Which panel answered: two answers with the same hash are the same judges', combined and calibrated alike.

    Where a judge failed and was left out, `left_out` says so; the hash stays the panel's.
    """

    hash: Annotated[
        str,
        Field(
            description="SHA-256 over all that decides an answer: judges (weights, settings), their order, swap, "
            "recusal, calibration. The same on whatever device, and in whatever version of prefstream."
        ),
    ]
    calibration: Annotated[
        str | None,
        Field(description="Version of the calibration: the first digits of its SHA-256; absent without one."),
    ] = None
    version: Annotated[str, Field(description="Version of prefstream that answered.")]
    name: Annotated[
        str | None,
        Field(
            description="As the operator chose it on the panels topic; absent for the one that a process began with."
        ),
    ] = None
    canary: Annotated[
        bool | None, Field(description="True where it answered a share of the battles, on trial; else absent.")
    ] = None


class Review(ContractModel):
    """Whether a person is asked to look at this battle. The draw does not depend on anything but id and probability."""

    probability: Annotated[
        float,
        Field(
            gt=0.0,
            le=1.0,
            allow_inf_nan=False,
            description="With which the battle was chosen; a vote that came by this way weighs its inverse.",
        ),
    ]
    chosen: bool


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

    schema_version: Annotated[
        str, Field(pattern=r"^1\.[0-9]+$", description="Of the contract; what 1.0 has, every 1.x has.")
    ] = SCHEMA_VERSION
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
    recused: Annotated[
        tuple[str, ...] | None,
        Field(
            description="Judges that did not count, because a response may be of their own family; absent where there "
            "are none. Where no other judge was left, they counted all the same, and their weight is above 0."
        ),
    ] = None
    disagreement: Annotated[
        float,
        Field(
            ge=0.0,
            le=1.0,
            description="Mean Jensen-Shannon divergence over pairs of judges, in bits; judges that are recused and do "
            "not count are not in it.",
        ),
    ]
    uncertainty: Uncertainty | None = None
    adjusted: Annotated[
        Probabilities | None,
        Field(
            description="The probabilities with the panel's fitted length slope taken out: how it compares the "
            "responses as if they were equally long. The tie keeps its probability, and an empty response changes "
            "nothing. For comparing responses or models, and no better forecast: people prefer longer responses, too. "
            "Absent where no slope was fitted."
        ),
    ] = None
    model_a: Annotated[
        str | None, Field(description="Who wrote response A, as the battle says; absent with `publish_models: false`.")
    ] = None
    model_b: Annotated[str | None, Field(description="Who wrote response B.")] = None
    language: Annotated[str | None, Field(description="Of the prompt, as the battle says.")] = None
    occurred_at: Annotated[AwareDatetime | None, Field(description="When the battle took place, as it says.")] = None
    style: Style | None = None
    panel: PanelIdentity | None = None
    review: Annotated[Review | None, Field(description="Absent where nobody is asked to review.")] = None
    source: KafkaSource | FileSource
    timings: Annotated[Timings | None, Field(description="Absent from `score`, whose output is reproducible.")] = None
