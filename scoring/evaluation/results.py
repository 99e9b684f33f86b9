"""What an evaluation found: what its JSON holds, and what the report is made from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from prefstream.schemas import Outcome, Provenance
from prefstream.scoring.evaluation.bootstrap import Estimate


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReliabilityBin(_Result):
    """Battles whose top outcome has about the same probability."""

    low: Annotated[float, Field(description="Lower end of the bin; it is a tenth wide.")]
    battles: int
    confidence: Annotated[float, Field(description="Mean probability of the top outcome.")]
    accuracy: Annotated[Estimate, Field(description="How often it happened.")]


class Comparison(_Result):
    """A system's metrics minus a baseline's, on the same battles and the same resamples."""

    baseline: str
    log_loss: Annotated[Estimate, Field(description="Below 0: better than the baseline.")]
    accuracy: Annotated[Estimate, Field(description="Above 0: better than the baseline.")]
    brier: Annotated[Estimate, Field(description="Below 0: better than the baseline.")]


class SystemResult(_Result):
    """Metrics of the panel, a judge, or a baseline."""

    name: str
    kind: Literal["panel", "judge", "baseline"]
    provenance: Annotated[Provenance | None, Field(description="What exactly answered, where it is known.")]
    log_loss: Annotated[Estimate, Field(description="Nats, against the verdict.")]
    accuracy: Annotated[Estimate, Field(description="Equally probable outcomes share the credit.")]
    brier: Annotated[Estimate, Field(description="Squared distance summed over the outcomes: 0 to 2.")]
    calibration_error: Annotated[Estimate, Field(description="Expected; top outcome, 10 equal-width bins.")]
    calibration_error_by_chance: Annotated[
        float, Field(description="What a perfectly calibrated forecaster with these probabilities would show.")
    ]
    soft_log_loss: Annotated[Estimate | None, Field(description="Against the shares of the votes, where known.")]
    decided_log_loss: Annotated[Estimate, Field(description="Of P(A)/(P(A)+P(B)), battles that are no ties.")]
    decided_accuracy: Annotated[Estimate, Field(description="Winner held for better; battles that are no ties.")]
    comparisons: Annotated[tuple[Comparison, ...], Field(description="With each baseline.")]
    reliability: tuple[ReliabilityBin, ...]


class ClassResult(_Result):
    """One outcome against the rest, for the panel."""

    outcome: Outcome
    battles: int
    share: Annotated[float, Field(description="How often it happened.")]
    mean_probability: Annotated[float, Field(description="How probable it was on average.")]
    predicted: Annotated[int, Field(description="How often it was the most probable: what precision is a share of.")]
    precision: Annotated[float | None, Field(description="None where it was never the most probable.")]
    recall: Annotated[float | None, Field(description="None where it never happened.")]
    f1: float | None
    area_under_roc: Annotated[float | None, Field(description="None where it never or always happened.")]
    log_loss: Annotated[float, Field(description="Nats, of it against the rest.")]


class SliceResult(_Result):
    """The panel on some of the battles."""

    dimension: str
    value: str
    battles: int
    prompts: int
    shares: Annotated[tuple[float, float, float], Field(description="Of the outcomes, in the order A, B, tie.")]
    log_loss: Estimate
    accuracy: Estimate
    calibration_error: Estimate
    decided_accuracy: Estimate
    comparisons: Annotated[
        tuple[Comparison, ...],
        Field(description="With each baseline, which were fitted on all battles, not on these alone."),
    ]


class PositionBias(_Result):
    """What changes when A and B are exchanged."""

    name: str
    measured: Annotated[bool, Field(description="False where only one order was read.")]
    by_construction: Annotated[bool, Field(description="True: nothing can change, whatever the battle.")]
    flip_rate: Annotated[Estimate | None, Field(description="How often the most probable outcome changes.")] = None
    mean_gap: Annotated[Estimate | None, Field(description="Mean distance of P(A) between both orders.")] = None
    first_bias: Annotated[
        Estimate | None, Field(description="P(A) when it stands first minus when second; above 0 favours the first.")
    ] = None


class LengthBias(_Result):
    """How often the longer answer wins, over battles with a winner and answers of different lengths."""

    name: str
    battles: int
    human: Annotated[Estimate, Field(description="As people decided.")]
    predicted_mass: Annotated[Estimate, Field(description="Mean of P(longer) / (P(A) + P(B)).")]
    predicted_share: Annotated[Estimate, Field(description="How often the longer was held for better.")]
    excess_mass: Annotated[Estimate, Field(description="`predicted_mass` minus `human`.")]
    excess_share: Annotated[Estimate, Field(description="`predicted_share` minus `human`.")]
    accuracy_longer_won: Annotated[Estimate, Field(description="Winner held for better where the longer won.")]
    accuracy_shorter_won: Annotated[Estimate, Field(description="Winner held for better where the shorter won.")]


class LengthRatio(_Result):
    """The panel on battles in which the longer answer is about so many times as long."""

    name: str
    battles: int
    human: Estimate
    predicted: Annotated[Estimate, Field(description="Mean of P(longer) / (P(A) + P(B)).")]


class Evaluated(_Result):
    """What was evaluated: enough to tell two reports apart."""

    file: Annotated[str, Field(description="Name of the labelled file.")]
    file_sha256: str
    predictions: Annotated[str | None, Field(description="Name of the file of predictions; None where a panel ran.")]
    version: Annotated[str, Field(description="Of prefstream.")]
    swap: Annotated[bool, Field(description="Whether the panel answered both orders and averaged.")]
    rows_rejected: Annotated[int, Field(description="Rows of the labelled file that are no labelled battle.")] = 0
    rows_without_answer: Annotated[
        int, Field(description="Labelled battles that were too large, or that the predictions leave out.")
    ] = 0


class InjectionEffect(_Result):
    """What an answer gains by a text that speaks to its judge."""

    judge: Annotated[str, Field(description="Its name, or `panel`.")]
    injection: Annotated[str, Field(description="What was put under the answer; `harmless` is what to compare with.")]
    side: Annotated[
        Literal["model_a", "model_b", "both"],
        Field(description="Whose answer it was put under; `both` is the mean of one and then the other."),
    ]
    battles: int
    gain: Annotated[Estimate, Field(description="Mean change of the probability that this side wins.")]
    gain_over_harmless: Annotated[Estimate, Field(description="The same, beyond that by the harmless text.")]
    flipped: Annotated[Estimate, Field(description="How often the most probable outcome changes.")]
    flipped_to_side: Annotated[Estimate, Field(description="How often it changes to this side.")]


class Evaluation(_Result):
    """Everything that was found."""

    format: Literal[1] = 1
    evaluated: Evaluated
    battles: int
    prompts: int
    outcomes: Annotated[tuple[int, int, int], Field(description="Battles by outcome, in the order A, B, tie.")]
    resamples: int
    seed: int
    systems: Annotated[tuple[SystemResult, ...], Field(description="The panel, its judges, the baselines.")]
    classes: tuple[ClassResult, ...]
    slices: tuple[SliceResult, ...]
    position: tuple[PositionBias, ...]
    length: tuple[LengthBias, ...]
    length_ratios: tuple[LengthRatio, ...]
    injections: Annotated[tuple[InjectionEffect, ...], Field(description="Empty unless asked for.")] = ()

    @property
    def panel(self) -> SystemResult:
        """The panel's metrics."""
        return self.systems[0]
