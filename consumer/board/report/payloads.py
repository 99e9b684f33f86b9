"""What the board says: the models of its API, of `board --once`, and of the OpenAPI document.

Nothing of a battle's texts is in them, and nothing of a voter.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from prefstream.consumer.board.report.choices import Method, Step, Window
from prefstream.schemas import Outcome
from prefstream.scoring.trust.results import TrustReport, TrustTime


class Payload(BaseModel):
    """A part of what the board says."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BoardQuery(Payload):
    """What was asked for."""

    method: Annotated[Method, Field(description="What strengths come from.")] = "both"
    style_control: Annotated[
        bool, Field(description="Whether the effect of length and markdown is taken out of the strengths.")
    ] = False
    language: Annotated[
        str | None, Field(max_length=100, description="Only battles of this language, as battles have it.")
    ] = None
    window: Annotated[Window, Field(description="Only what was published in the last day or week.")] = "all"
    step: Annotated[Step, Field(description="Length of a slice of time.")] = "day"


class ModelLine(Payload):
    """A model's line on the board."""

    place: Annotated[int, Field(ge=1, description="Line of the table: by rating, those without one last.")]
    model: Annotated[str, Field(description="Name of the model, as battles have it.")]
    rating: Annotated[
        float | None,
        Field(description="Elo points: 400 are odds of 10 to 1, the mean of all is 1000. Null where there is none."),
    ]
    lower: Annotated[float | None, Field(description="Lower end of the rating's 95 % interval.")]
    upper: Annotated[float | None, Field(description="Upper end.")]
    rank_low: Annotated[int | None, Field(ge=1, description="Best rank that is compatible with the data.")]
    rank_high: Annotated[int | None, Field(ge=1, description="Worst rank, likewise.")]
    battles: Annotated[int, Field(ge=0, description="Battles of this model that count here.")]
    votes: Annotated[float, Field(ge=0, description="Its votes: their weights' sum, where they were asked for.")]
    why_no_interval: Annotated[str | None, Field(description="In words; null where there is an interval.")]


class StyleLine(Payload):
    """What a style is worth by itself, when models are equal."""

    name: str
    coefficient: Annotated[
        float, Field(description="Log-odds for a difference of one standard deviation; above 0: more of it wins.")
    ]
    lower: Annotated[float | None, Field(description="Lower end of its 95 % interval.")]
    upper: Annotated[float | None, Field(description="Upper end.")]


class StrengthTable(Payload):
    """Strengths of models, best first."""

    method: Method
    label: Annotated[str, Field(description="What these strengths are, in words.")]
    style_control: Annotated[bool, Field(description="Whether it was done; where it could not be, notes say why.")]
    models: tuple[ModelLine, ...]
    style: Annotated[tuple[StyleLine, ...], Field(description="Empty without style control.")] = ()
    judges_weight: Annotated[
        float | None,
        Field(description="Of both together, lambda of PPI++: how far the judges are relied upon, from 0: not at all."),
    ] = None
    votes: Annotated[int, Field(ge=0, description="Votes that went in.")]
    preferences: Annotated[int, Field(ge=0, description="Battles with a preference that went in.")]
    notes: Annotated[tuple[str, ...], Field(description="What a reader has to know.")] = ()


class WinRates(Payload):
    """How often one model wins against another; a tie is half a win."""

    models: Annotated[tuple[str, ...], Field(description="Of rows and of columns.")]
    expected: Annotated[
        tuple[tuple[float | None, ...], ...],
        Field(description="Row against column by their ratings, 0 to 1; null on the diagonal and without ratings."),
    ]
    observed: Annotated[
        tuple[tuple[float | None, ...], ...], Field(description="What was seen of it; null where they never met.")
    ]
    meetings: Annotated[tuple[tuple[float, ...], ...], Field(description="How often they met, weighted as votes are.")]


class TieLine(Payload):
    """A model's rating where ties are an outcome of their own."""

    model: Annotated[str, Field(description="Name of the model, as battles have it.")]
    rating: Annotated[float, Field(description="Elo points of the battles that somebody won; the mean of all is 1000.")]


class TieTable(Payload):
    """Davidson's model of votes, beside the table in which a tie is half a win."""

    models: Annotated[tuple[TieLine, ...], Field(description="Best first; only models that votes give a rating.")] = ()
    ties_among_equals: Annotated[
        float | None, Field(description="Predicted share of ties between equal models, 0 to 1; null without votes.")
    ] = None
    log_loss: Annotated[
        float | None, Field(description="Of these votes, which it was fitted to, in nats; null without votes.")
    ] = None
    log_loss_with_ties_apart: Annotated[
        float | None,
        Field(
            description="Likewise, were ties as frequent between any two models: above the other where near models "
            "tie more."
        ),
    ] = None
    votes: Annotated[int, Field(ge=0, description="Votes that went in.")] = 0


class LanguageTable(Payload):
    """Strengths in one language."""

    language: str
    strengths: StrengthTable


class LanguageTables(Payload):
    """Strengths by language, the most used languages first."""

    languages: tuple[LanguageTable, ...]
    left_out: Annotated[int, Field(ge=0, description="Languages with too few battles for a table, or beyond the last.")]


class TimeSlice(Payload):
    """Strengths in one stretch of time."""

    start: AwareDatetime
    end: AwareDatetime
    strengths: StrengthTable


class TimeSlices(Payload):
    """Strengths over time, the oldest first."""

    step: Step
    slices: tuple[TimeSlice, ...]


class BoardNote(Payload):
    """What went otherwise than it should."""

    at: AwareDatetime
    kind: Annotated[str, Field(description="A stable word.")]
    detail: Annotated[str, Field(description="What happened, in words.")]


class Freshness(Payload):
    """Whether the numbers are of now."""

    ok: bool
    why: Annotated[
        str | None,
        Field(
            description="Why not, in words: the board does not read, it is behind, or battles wait that nobody answers."
        ),
    ]


class BoardStatus(Payload):
    """What the board rests on, and how far it has read."""

    version: Annotated[str, Field(description="Of prefstream.")]
    now: Annotated[AwareDatetime, Field(description="Where the last day and week end.")]
    since: Annotated[
        AwareDatetime | None,
        Field(description="When the oldest preference was published that counts here; null: there is none yet."),
    ]
    newest_preference_at: Annotated[AwareDatetime | None, Field(description="When the newest one was published.")]
    newest_vote_at: Annotated[AwareDatetime | None, Field(description="When the newest vote arrived.")]
    behind: Annotated[
        int | None,
        Field(ge=0, description="Records on the topics that are not here yet; null where nobody knows."),
    ]
    obstacle: Annotated[
        str | None, Field(description="Why the board does not read, as /readyz has it; null where it does.")
    ]
    fresh: Freshness
    notice: Annotated[
        str | None,
        Field(description="What whoever runs the board tells who looks at it: that judges are loading, say."),
    ]
    counters: Annotated[
        dict[str, int],
        Field(description="Since then: preferences, votes, and what did not count (too_late, duplicate_battles, ...)."),
    ]
    notes: Annotated[tuple[BoardNote, ...], Field(description="The newest first.")]


class ReviewLine(Payload):
    """A battle that a person should look at."""

    id: str
    why: Annotated[
        str,
        Field(
            description="vote: a person said what the panel held for improbable; disagreement: of the judges; entropy: "
            "the panel does not know; or what a later version has."
        ),
    ]
    score: Annotated[
        float, Field(description="By which it is among the first, in bits; of a vote -log2 of its probability.")
    ]
    said: Annotated[str | None, Field(description="The vote's winner, where that is why.")]
    link: Annotated[str | None, Field(description="Where it can be looked up; null without a template of links.")]
    published_at: AwareDatetime
    model_a: str | None
    model_b: str | None
    language: str | None
    probabilities: Annotated[dict[Outcome, float], Field(description="That the panel gave each outcome.")]
    disagreement: Annotated[float, Field(description="Mean Jensen-Shannon divergence over pairs of judges, bits.")]
    entropy: Annotated[float, Field(description="Of the probabilities, bits.")]
    source: Annotated[str, Field(description="Topic or file of the battle.")]
    partition: Annotated[int | None, Field(description="Of the topic; null in a file.")]
    offset: Annotated[int, Field(description="On the partition; in a file the line.")]


class ReviewPage(Payload):
    """Where a person should look: for each reason the most telling battles first."""

    battles: tuple[ReviewLine, ...]


class BoardReport(Payload):
    """All that the board says, for one query."""

    query: BoardQuery
    status: BoardStatus
    strengths: StrengthTable
    win_rates: WinRates
    ties: Annotated[TieTable, Field(description="By votes alone, whatever the method.")]
    languages: Annotated[LanguageTables, Field(description="Of the query's window; of all languages.")]
    over_time: Annotated[TimeSlices, Field(description="Of the query's language.")]
    trust: TrustReport
    trust_over_time: Annotated[TrustTime, Field(description="Of all languages, by the query's step.")]
    review: ReviewPage
