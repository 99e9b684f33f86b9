"""What is told about the judges' trustworthiness: payloads of the board's API, of its tables, and of its metrics."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.evaluation.results import ReliabilityBin

WindowName: TypeAlias = Literal["day", "week"]

StepName: TypeAlias = Literal["hour", "day"]
"""Length of a slice of time."""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AgainstPrior(_Told):
    """Judges against whoever knows no more than how the votes before fell out."""

    prior_log_loss: Estimate
    prior_accuracy: Estimate
    log_loss: Annotated[Estimate, Field(description="The judges' minus the prior's; below 0: better than it.")]
    accuracy: Annotated[Estimate, Field(description="The judges' minus the prior's; above 0: better than it.")]


class AgainstShipped(_Told):
    """Judges against the figures that they were shipped with, which are of other battles and other people."""

    log_loss: Annotated[Estimate, Field(description="Now minus then; above 0: worse than then.")]
    accuracy: Annotated[Estimate, Field(description="Now minus then; below 0: worse than then.")]
    calibration_error: Annotated[Estimate, Field(description="Now minus then; above 0: worse than then.")]


class Quality(_Told):
    """How good forecasts were, by votes that came after them."""

    votes: int
    battles: int
    log_loss: Annotated[Estimate, Field(description="Nats.")]
    accuracy: Annotated[Estimate, Field(description="Equally probable outcomes share the credit.")]
    calibration_error: Annotated[Estimate, Field(description="Expected; top outcome, 10 equal-width bins.")]
    calibration_error_by_chance: Annotated[
        float, Field(description="Mean of what a perfect panel with these probabilities and votes would show.")
    ]
    calibration_error_by_chance_95: Annotated[float, Field(description="Its 95th percentile.")]
    against_prior: AgainstPrior


class LongerWins(_Told):
    """How often the longer answer wins, over votes with a winner on answers of different lengths."""

    votes: int
    people: Annotated[Estimate, Field(description="As people decided.")]
    judges: Annotated[Estimate, Field(description="Mean of P(longer) / (P(A) + P(B)).")]
    excess: Annotated[Estimate, Field(description="Judges minus people; above 0: judges like length more.")]


class LengthBin(_Told):
    """Votes with a winner whose answers differ about as much in length."""

    low: Annotated[float, Field(ge=0, description="Least log2 of the longer answer's length by the shorter's.")]
    high: Annotated[float | None, Field(description="From which on they are of the next bin; None: no end.")]
    mean: Annotated[float, Field(ge=0, description="Of these votes' log2 ratio: where a point stands.")]
    votes: Annotated[int, Field(ge=1)]
    people: Annotated[Estimate, Field(description="How often people preferred the longer answer.")]
    judges: Annotated[float, Field(description="Mean of P(longer) / (P(A) + P(B)).")]


class LengthSlope(_Told):
    """How much the longer answer is preferred, by how much longer it is.

    A slope is what one doubling of the ratio of lengths adds to the log-odds that the longer answer wins, 0 where
    length is worth nothing. What else makes long answers better is in it, too.
    """

    votes: Annotated[int, Field(description="With a winner, on answers of different lengths, none empty.")]
    people: Annotated[Estimate, Field(description="Slope as people decided; no value where the longer always won.")]
    judges: Annotated[Estimate, Field(description="Slope of the judges' P(longer) / (P(A) + P(B)) on these votes.")]
    excess: Annotated[Estimate, Field(description="Judges minus people; above 0: judges like length more.")]
    bins: Annotated[tuple[LengthBin, ...], Field(description="By log2 ratio, the least first; none without votes.")]


class TieRates(_Told):
    """How often it is a tie."""

    people: Annotated[Estimate, Field(description="As people decided.")]
    judges: Annotated[Estimate, Field(description="Mean of P(tie).")]
    excess: Annotated[Estimate, Field(description="Judges minus people.")]


class QualityOf(_Told):
    """The judges on some of the votes."""

    value: Annotated[str, Field(description="What these votes have in common, such as the language.")]
    quality: Quality


class NotCounted(_Told):
    """Votes that were not counted, by why."""

    forecast_not_first: Annotated[int, Field(description="The preference was published after the vote.")] = 0
    without_weight: Annotated[
        int,
        Field(description="Nobody knows how probable it was that they were asked for, and such votes are left out."),
    ] = 0


class TrustWindow(_Told):
    """The judges by the votes of the last day, or week."""

    window: WindowName
    since: AwareDatetime
    until: AwareDatetime
    votes: Annotated[int, Field(description="That are counted: the forecast came first.")]
    not_counted: NotCounted
    why_nothing: Annotated[str | None, Field(description="Why there are no figures; None where there are.")] = None
    panels: Annotated[tuple[str, ...], Field(description="Hashes of the panels that answered.")] = ()
    quality: Quality | None = None
    against_shipped: AgainstShipped | None = None
    reliability: tuple[ReliabilityBin, ...] = ()
    longer_wins: Annotated[LongerWins | None, Field(description="None where no length is known.")] = None
    length: Annotated[
        LengthSlope | None, Field(description="None where too few votes with a winner are on answers of known lengths.")
    ] = None
    ties: TieRates | None = None
    languages: Annotated[tuple[QualityOf, ...], Field(description="Those with enough votes, by their number.")] = ()
    by_review: Annotated[
        tuple[QualityOf, ...],
        Field(description="`asked for` and `not asked for`, unweighted; empty where people were not asked."),
    ] = ()


class TrustSlice(_Told):
    """The judges by the votes of one hour or day."""

    start: AwareDatetime
    end: AwareDatetime
    votes: Annotated[int, Field(description="That are counted: the forecast came first. With few no figure is told.")]
    battles: int
    log_loss: Annotated[Estimate, Field(description="Nats.")]
    accuracy: Annotated[Estimate, Field(description="Equally probable outcomes share the credit.")]
    prior_log_loss: Annotated[Estimate, Field(description="Of whoever knows no more than how votes before fell out.")]
    length_excess: Annotated[
        Estimate | None,
        Field(description="Judges' length slope minus people's; None where too few votes with a winner say so."),
    ]


class TrustTime(_Told):
    """The judges over time."""

    step: StepName
    slices: Annotated[tuple[TrustSlice, ...], Field(description="The oldest first; none without counted votes.")]


class Answers(_Told):
    """What the judges say of all battles of a window, voted on or not."""

    window: WindowName
    battles: int
    disagreement: Annotated[float | None, Field(description="Mean, bits; None without a battle.")] = None
    disagree: Annotated[float | None, Field(description="Share of battles on which they disagree widely.")] = None
    entropy: Annotated[float | None, Field(description="Mean, bits.")] = None
    position_gap: Annotated[
        float | None, Field(description="Mean distance between both orders; None where none was read in both.")
    ] = None
    flipped: Annotated[
        float | None, Field(description="Share of verdicts that the order decides; None where nobody knows.")
    ] = None
    truncated: Annotated[float | None, Field(description="Share of battles of which a judge did not read all.")] = None


class CategoryShares(_Told):
    """How common a category is in two groups."""

    category: str
    one: float
    other: float


class Contrast(_Told):
    """How two groups of battles differ in something, beside what chance gives."""

    what: str
    battles: Annotated[int, Field(description="Of the first group, of which this is known.")]
    other_battles: int
    mean: Annotated[float | None, Field(description="Of the first group; None where it has no mean.")] = None
    other_mean: float | None = None
    distance: Annotated[
        float | None,
        Field(
            description="Total variation: the share of one group that would have to be of other categories for both to "
            "be alike, 0 to 1; None where either has too few battles."
        ),
    ] = None
    by_chance: Annotated[float | None, Field(description="Its mean where both are drawn from the same battles.")] = None
    by_chance_99: Annotated[float | None, Field(description="What it then stays below in 99 of 100 cases.")] = None
    differs: Annotated[
        bool, Field(description="Above what chance stays below, and by a tenth above its mean: enough to matter.")
    ] = False
    most: Annotated[tuple[CategoryShares, ...], Field(description="The categories that differ most.")] = ()


class Drift(_Told):
    """Battles and answers of a window against those of the weeks before."""

    window: WindowName
    since: AwareDatetime
    compared_since: Annotated[AwareDatetime, Field(description="Where the weeks before begin.")]
    inputs: tuple[Contrast, ...]
    answers: tuple[Contrast, ...]

    @property
    def drifted(self) -> tuple[Contrast, ...]:
        """What is another than before."""
        return tuple(each for each in (*self.inputs, *self.answers) if each.differs)


class Selection(_Told):
    """How battles with a vote differ from those without."""

    voted: int
    others: int
    contrasts: tuple[Contrast, ...]

    @property
    def differing(self) -> tuple[Contrast, ...]:
        """In what they differ."""
        return tuple(each for each in self.contrasts if each.differs)


class Shipped(_Told):
    """The figures that a panel was shipped with, as `prefstream evaluate --json` wrote them."""

    file: Annotated[str, Field(description="The labelled file that it was evaluated on.")]
    version: Annotated[str, Field(description="Of prefstream, then.")]
    battles: int
    log_loss: Estimate
    accuracy: Estimate
    calibration_error: Estimate
    calibration_error_by_chance: float
    longer_excess: Annotated[Estimate | None, Field(description="How much more it liked length than people did.")]


class TrustReport(_Told):
    """Whether the judges can be trusted now."""

    at: AwareDatetime
    weighting: Annotated[str, Field(description="How votes are weighted that people were asked for, in words.")]
    windows: tuple[TrustWindow, ...]
    answers: tuple[Answers, ...]
    drift: tuple[Drift, ...]
    selection: Selection
    shipped: Annotated[Shipped | None, Field(description="None where nobody said.")] = None
    warnings: Annotated[tuple[str, ...], Field(description="What a person should know, a sentence each.")] = ()
