"""What an evaluation found: what its JSON holds, and what the report is made from."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from prefstream.schemas import Outcome, Provenance
from prefstream.scoring.evaluation.bootstrap import Estimate

SystemKind: TypeAlias = Literal["panel", "judge", "baseline", "reference"]
"""A baseline reads no text; a reference is whatever else the panel is held against."""

BiasName: TypeAlias = Literal["position", "verbosity", "self-enhancement", "formatting", "injection"]


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReliabilityBin(_Result):
    """Battles whose top outcome has about the same probability."""

    low: Annotated[float, Field(description="Lower end of the bin; it is a tenth wide.")]
    battles: int
    confidence: Annotated[float, Field(description="Mean probability of the top outcome.")]
    accuracy: Annotated[Estimate, Field(description="How often it happened.")]


class Comparison(_Result):
    """A system's metrics minus those of a baseline or reference, on the same battles and the same resamples."""

    baseline: str
    log_loss: Annotated[Estimate, Field(description="Below 0: better than the baseline.")]
    accuracy: Annotated[Estimate, Field(description="Above 0: better than the baseline.")]
    brier: Annotated[Estimate, Field(description="Below 0: better than the baseline.")]
    decided_accuracy: Annotated[
        Estimate | None, Field(description="Above 0: better than the baseline. None in files of earlier versions.")
    ] = None


class SystemResult(_Result):
    """Metrics of the panel, a judge, a baseline, or the reference."""

    name: str
    kind: SystemKind
    provenance: Annotated[Provenance | None, Field(description="What exactly answered, where it is known.")]
    log_loss: Annotated[Estimate, Field(description="Nats, against the verdict.")]
    accuracy: Annotated[Estimate, Field(description="Equally probable outcomes share the credit.")]
    brier: Annotated[Estimate, Field(description="Squared distance summed over the outcomes: 0 to 2.")]
    calibration_error: Annotated[Estimate, Field(description="Expected; top outcome, 10 equal-width bins.")]
    calibration_error_by_chance: Annotated[
        float, Field(description="What a perfectly calibrated forecaster with these probabilities would show.")
    ]
    calibration_error_by_chance_95: Annotated[
        float | None, Field(description="Its 95th percentile. None in files of earlier versions.")
    ] = None
    soft_log_loss: Annotated[Estimate | None, Field(description="Against the shares of the votes, where known.")]
    decided_log_loss: Annotated[Estimate, Field(description="Of P(A)/(P(A)+P(B)), battles that are no ties.")]
    decided_accuracy: Annotated[Estimate, Field(description="Winner held for better; battles that are no ties.")]
    comparisons: Annotated[tuple[Comparison, ...], Field(description="With each baseline, and the reference.")]
    reliability: tuple[ReliabilityBin, ...]

    @property
    def calibrated_within_chance(self) -> bool | None:
        """Whether chance alone explains the calibration error; None where that isn't known."""
        return _within(self.calibration_error, self.calibration_error_by_chance_95)


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
    calibration_error_by_chance_95: Annotated[
        float | None,
        Field(
            description="95th percentile of what a perfectly calibrated forecaster with these probabilities would "
            "show. None in files of earlier versions."
        ),
    ] = None
    decided_accuracy: Estimate
    comparisons: Annotated[
        tuple[Comparison, ...],
        Field(description="With each baseline, which were fitted on all battles, not on these alone."),
    ]

    @property
    def calibrated_within_chance(self) -> bool | None:
        """Whether chance alone explains the calibration error; None where that isn't known."""
        return _within(self.calibration_error, self.calibration_error_by_chance_95)


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
    accuracy_nearly_equal: Annotated[
        Estimate | None,
        Field(description="Where the longer one is less than 1.2 times as long. None in files of earlier versions."),
    ] = None


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
    reference: Annotated[str | None, Field(description="Name of what it was held against battle by battle.")] = None
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


class PeopleAgree(_Result):
    """How often two people say the same of a battle: what no judge of single verdicts can be far above."""

    battles: Annotated[int, Field(description="On which several people voted.")]
    share: Annotated[Estimate, Field(description="Mean over these battles, of the pairs of their votes.")]


class BiasRow(_Result):
    """One figure of the table of bias: what a judge does, beside what people do on the same battles."""

    bias: Annotated[BiasName, Field(description="Which part of the table it stands in.")]
    measure: Annotated[str, Field(description="What is measured.")]
    judge: Annotated[str, Field(description="Whose figure it is: `panel`, a judge, or the panel combined otherwise.")]
    battles: Annotated[int, Field(description="That it is measured on.")]
    group: Annotated[str, Field(description="Which battles these are of: `all`, or a tier's name.")] = "all"
    judged: Annotated[Estimate | None, Field(description="The judge's figure; None where only `note` can be said.")] = (
        None
    )
    people: Annotated[Estimate | None, Field(description="People's; None where they have none.")] = None
    excess: Annotated[Estimate | None, Field(description="`judged` minus `people`, on the same resamples.")] = None
    reference: Annotated[Estimate | None, Field(description="The reference's figure in place of `judged`.")] = None
    note: Annotated[str | None, Field(description="What should be known of the figure, or why there is none.")] = None


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
    bias: Annotated[tuple[BiasRow, ...], Field(description="The table of bias; empty unless asked for.")] = ()
    people_agree: Annotated[
        PeopleAgree | None, Field(description="None where fewer than two people voted on every battle.")
    ] = None

    @property
    def panel(self) -> SystemResult:
        """The panel's metrics."""
        return self.systems[0]


def _within(error: Estimate, by_chance: float | None) -> bool | None:
    return None if error.value is None or by_chance is None else error.value <= by_chance
