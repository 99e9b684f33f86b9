"""What holding two sets of answers against each other found: what its JSON holds, and what tables and page show.

Every difference is the right side's minus the left one's.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from prefstream.schemas import FileSource, KafkaSource, PanelIdentity, Probabilities
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.evaluation.results import Comparison

Mood: TypeAlias = Literal["better", "worse", "open"]

Counts: TypeAlias = tuple[int, int, int]


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MeanShift(_Result):
    """How much more probable each outcome is on the right, in the mean."""

    model_a: Estimate
    model_b: Estimate
    tie: Estimate


class Change(_Result):
    """How two sets of answers about the same battles differ."""

    battles: int
    prompts: Annotated[
        int, Field(description="What was resampled: a battle counts as one where its prompt is unknown.")
    ]
    changed: Annotated[Estimate, Field(description="Share of battles whose most probable outcome is another one.")]
    verdicts: Annotated[
        tuple[Counts, Counts, Counts],
        Field(description="Battles by the left verdict (rows) and the right one (columns), in the order A, B, tie."),
    ]
    shift: MeanShift
    mean_absolute_difference: Annotated[
        Estimate, Field(description="Of a probability, over battles and outcomes: 0 to 2/3.")
    ]
    divergence: Annotated[Estimate, Field(description="Mean Jensen-Shannon divergence, bits.")]


class JudgeChange(_Result):
    """A judge that both sides have."""

    name: str
    change: Change
    differs: Annotated[
        tuple[str, ...], Field(description="What of its provenance is another one, such as adapter_hash; sorted.")
    ] = ()


class SliceChange(_Result):
    """Some of the battles."""

    dimension: str
    value: str
    change: Change


class ChangedBattle(_Result):
    """A battle on which both sides differ."""

    id: str
    left_source: KafkaSource | FileSource | None
    right_source: KafkaSource | FileSource | None
    left: Probabilities
    right: Probabilities
    divergence: Annotated[float, Field(description="Jensen-Shannon, bits.")]


class SideTold(_Result):
    """What is told of one side."""

    name: str
    answers: Annotated[int, Field(description="That were read or given.")]
    rejected: Annotated[int, Field(description="Rows and records that hold no answer, or whose battle got none.")] = 0
    panels: Annotated[tuple[PanelIdentity, ...], Field(description="That answered, as far as the answers say.")] = ()


class JoinTold(_Result):
    """How both sides came together. Of each side: joined + only + repeated = answers."""

    by: Literal["source", "id"]
    joined: int
    only_left: int
    only_right: int
    repeated_left: Annotated[int, Field(description="Answers in whose place a later one counts.")]
    repeated_right: int
    other_ids: Annotated[int, Field(description="Places at which both sides have another battle; not joined.")] = 0


class VotedComparison(_Result):
    """Both sides held against what people said."""

    votes: int
    battles: Annotated[int, Field(description="That people voted on and both sides answered.")]
    prompts: int
    left_log_loss: Annotated[Estimate, Field(description="Nats.")]
    right_log_loss: Estimate
    left_accuracy: Estimate
    right_accuracy: Estimate
    comparison: Annotated[Comparison, Field(description="Right minus left, vote by vote.")]
    mood: Annotated[Mood, Field(description="Whether the right side is better, by log loss; open: can't be told.")]
    more_votes: Annotated[
        int | None,
        Field(
            description="Where it can't be told: about so many more votes would tell, if the difference is what it "
            "seems to be. None where it can be told, and where no number would do."
        ),
    ] = None


class AnswersReproduced(_Result):
    """Answers of then beside those of now: a judge's, or the panel's."""

    name: Annotated[str, Field(description="Of the judge; `panel` for the panel, which comes last.")]
    answers: int
    alone: Annotated[int, Field(description="That only one side has: the judge was left out, or is not there.")]
    changed: Annotated[int, Field(description="Of which a bit differs.")]
    mean: Annotated[float, Field(description="Absolute difference of a probability, over answers and outcomes.")]
    largest: Annotated[float, Field(description="Of these.")]
    bound: Annotated[
        float,
        Field(
            description="Of the mean; a single probability may be ten times as far off. 0: every bit must be the same."
        ),
    ]
    reproduced: bool


class AnswersDiff(_Result):
    """Everything that was found."""

    format: Literal[1] = 1
    version: Annotated[str, Field(description="Of prefstream, which held them against each other.")]
    left: SideTold
    right: SideTold
    join: JoinTold
    resamples: int
    seed: int
    change: Change
    judges: tuple[JudgeChange, ...]
    slices: tuple[SliceChange, ...]
    most_changed: Annotated[tuple[ChangedBattle, ...], Field(description="By divergence; none that is as it was.")]
    voted: Annotated[VotedComparison | None, Field(description="None where nobody voted.")] = None
    notes: Annotated[tuple[str, ...], Field(description="What should be known of the figures.")] = ()


class ReplayFound(_Result):
    """Whether answers of then are given again now."""

    format: Literal[1] = 1
    reproduced: Annotated[bool, Field(description="Whether all that could be asked again was answered as then.")]
    preferences: Annotated[int, Field(description="Of the range.")]
    compared: int
    gone: Annotated[int, Field(description="Battles that are not on their topic any more.")]
    refused: Annotated[int, Field(description="That are no battle now, or one that is too large.")]
    elsewhere: Annotated[int, Field(description="Answers about a row of a file, or that say no source.")]
    judges: Annotated[tuple[AnswersReproduced, ...], Field(description="The panel's own answers behind theirs.")]
    notes: Annotated[tuple[str, ...], Field(description="What may be why, and what could not be asked.")] = ()
    diff: Annotated[AnswersDiff, Field(description="Then on the left, now on the right.")]
