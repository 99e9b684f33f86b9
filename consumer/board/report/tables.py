"""Tables of the board as CSV, one at a time, as RFC 4180 has it.

A spreadsheet runs what begins like a formula, and names of models and ids of battles are what others wrote: in CSV such
a text gets an apostrophe before it, by which a spreadsheet shows it as it is. JSON has every text unchanged.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from prefstream.consumer.board.report.payloads import (
    BoardStatus,
    LanguageTables,
    ModelLine,
    ReviewLine,
    ReviewPage,
    StrengthTable,
    TieTable,
    TimeSlices,
    WinRates,
)
from prefstream.consumer.board.report.stream_payloads import StreamMinute, StreamReport
from prefstream.schemas import OUTCOMES
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.evaluation.results import ReliabilityBin
from prefstream.scoring.trust.results import (
    Answers,
    Contrast,
    LengthBin,
    Quality,
    TrustReport,
    TrustSlice,
    TrustTime,
    TrustWindow,
)

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
                          "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip
"""After OWASP, "CSV Injection": with these a spreadsheet begins to calculate, or may after it has cut blanks."""

Cell: TypeAlias = str | float | bool | None

_MODEL_COLUMNS: Final = tuple(ModelLine.model_fields)
_OF_ANSWERS: Final = tuple(name for name in Answers.model_fields if name not in {"window", "battles"})


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Write a table: a head line, comma, quotes where needed, CR LF; nothing for what is not known.

    Args:
        columns: names of ours.
        rows: texts may be anybody's.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def models_csv(table: StrengthTable) -> str:
    """A model a line, the best first."""
    return to_csv(_MODEL_COLUMNS, map(_model_row, table.models))


def languages_csv(tables: LanguageTables) -> str:
    """A model and language a line."""
    rows = ((one.language, *_model_row(line)) for one in tables.languages for line in one.strengths.models)
    return to_csv(("language", *_MODEL_COLUMNS), rows)


def time_csv(slices: TimeSlices) -> str:
    """A model and stretch of time a line."""
    rows = (
        (one.start.isoformat(), one.end.isoformat(), *_model_row(line))
        for one in slices.slices
        for line in one.strengths.models
    )
    return to_csv(("start", "end", *_MODEL_COLUMNS), rows)


def pairs_csv(rates: WinRates) -> str:
    """A pair of models a line, in both directions."""
    return to_csv(("model", "against", "expected", "observed", "meetings"), _pair_rows(rates))


def ties_csv(table: TieTable) -> str:
    """A model a line, the best first, by Davidson's model."""
    return to_csv(("model", "rating"), ((line.model, line.rating) for line in table.models))


def review_csv(page: ReviewPage) -> str:
    """A battle a line; what the panel held for probable under names that no other column has."""
    columns = [name for name in ReviewLine.model_fields if name != "probabilities"]
    rows = ([*(getattr(one, name) for name in columns), *one.probabilities.values()] for one in page.battles)
    shares = (f"probability_{outcome}" for outcome in OUTCOMES)
    return to_csv((*columns, *shares), ([_plain(value) for value in row] for row in rows))


def minutes_csv(stream: StreamReport) -> str:
    """A minute of the last hour a line, the oldest first; the last one is not over."""
    columns = tuple(StreamMinute.model_fields)
    return to_csv(columns, ([_plain(getattr(one, name)) for name in columns] for one in stream.minutes))


def counters_csv(status: BoardStatus) -> str:
    """A counter of the board's own a line."""
    return to_csv(("counter", "records"), status.counters.items())


def lag_csv(stream: StreamReport) -> str:
    """A partition a line; none where nobody knows."""
    partitions = () if stream.lag is None else stream.lag.partitions
    return to_csv(("topic", "partition", "lag"), ((one.topic, one.partition, one.lag) for one in partitions))


def dead_letters_csv(stream: StreamReport) -> str:
    """A reason a line, the most frequent first; none where nobody knows, and where there are no dead letters."""
    reasons = stream.dead_letters.reasons if stream.dead_letters else ()
    rows = (
        (one.reason, one.count, one.newest_at.isoformat(), one.newest.topic, one.newest.partition, one.newest.offset)
        for one in reasons
    )
    return to_csv(("reason", "count", "newest_at", "newest_topic", "newest_partition", "newest_offset"), rows)


def trust_csv(trust: TrustReport) -> str:
    """A figure of a window of time a line, with its interval where it has one.

    What is told of votes has their number beside it, what is told of answers and of drift that of battles. Of drift,
    and of who gets a vote, what is above `..._by_chance_99` is more than chance.
    """
    return to_csv(("window", "figure", "value", "low", "high", "votes", "battles"), _trust_rows(trust))


def trust_time_csv(time: TrustTime) -> str:
    """An hour or day a line, each figure with its interval."""
    return _estimates_csv(TrustSlice, (), (((), one) for one in time.slices))


def trust_slices_csv(trust: TrustReport) -> str:
    """Votes of a window of time that have something in common a line: those of a language, those asked for."""
    of = (("languages", "language"), ("by_review", "review"))
    return to_csv(
        ("window", "by", "value", "votes", "battles", *_ends("log_loss", "accuracy", "log_loss_minus_prior")),
        (
            (window.window, by, one.value, one.quality.votes, one.quality.battles, *_numbers_of(one.quality))
            for window in trust.windows
            for name, by in of
            for one in getattr(window, name)
        ),
    )


def reliability_csv(trust: TrustReport) -> str:
    """A bin of a window of time a line: how often the most probable outcome happened, by how probable it was."""
    return _estimates_csv(
        ReliabilityBin, ("window",), (((one.window,), each) for one in trust.windows for each in one.reliability)
    )


def length_csv(trust: TrustReport) -> str:
    """A bin of a window of time a line: how often the longer answer won, by how much longer it was."""
    return _estimates_csv(
        LengthBin,
        ("window",),
        (((one.window,), each) for one in trust.windows if one.length is not None for each in one.length.bins),
    )


def _numbers_of(quality: Quality) -> Iterator[float | None]:
    """Three of its figures with their ends."""
    for found in (quality.log_loss, quality.accuracy, quality.against_prior.log_loss):
        yield from (found.value, found.low, found.high)


def _ends(*names: str) -> Iterator[str]:
    """Columns of figures, each with those of its interval's ends."""
    for name in names:
        yield from (name, f"{name}_low", f"{name}_high")


def _estimates_csv(
    kind: type[BaseModel], before: Sequence[str], lines: Iterable[tuple[Sequence[Cell], BaseModel]]
) -> str:
    """A payload a line; of an estimate its value under the field's name, and its ends behind it.

    Args:
        kind: of the payloads.
        before: columns that lines have before the payload's.
        lines: what stands in these, and the payload.
    """
    columns = list(before)
    for name, field in kind.model_fields.items():
        columns += _ends(name) if _holds_estimate(field) else [name]
    rows = []
    for first, line in lines:
        row = list(first)
        for name, field in kind.model_fields.items():
            value = getattr(line, name)
            if _holds_estimate(field):
                row += [None] * 3 if value is None else [value.value, value.low, value.high]
            else:
                row.append(_plain(value))
        rows.append(row)
    return to_csv(columns, rows)


def _holds_estimate(field: FieldInfo) -> bool:
    return field.annotation in {Estimate, Estimate | None}


def _trust_rows(trust: TrustReport) -> Iterator[Sequence[Cell]]:
    for window in trust.windows:
        for name, found in _figures(window).items():
            yield window.window, name, found.value, found.low, found.high, window.votes, None
    for answers in trust.answers:
        known = ((name, getattr(answers, name)) for name in _OF_ANSWERS)
        yield from (
            (answers.window, name, value, None, None, None, answers.battles)
            for name, value in known
            if value is not None
        )
    for drift in trust.drift:
        for of, contrasts in (("inputs", drift.inputs), ("answers", drift.answers)):
            yield from _contrast_rows(drift.window, f"drift_of_{of}", contrasts)
    yield from _contrast_rows(None, "voted_and_others", trust.selection.contrasts)


def _contrast_rows(window: str | None, of: str, contrasts: Iterable[Contrast]) -> Iterator[Sequence[Cell]]:
    """Each with what chance gives below it; nothing of what is not known."""
    for one in contrasts:
        if one.distance is None:
            continue
        name = f"{of}_{one.what.replace(' ', '_')}"
        yield window, name, one.distance, None, None, None, one.battles
        yield window, f"{name}_by_chance_99", one.by_chance_99, None, None, None, one.battles


def _figures(window: TrustWindow) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    if (quality := window.quality) is not None:
        prior = quality.against_prior
        found |= {
            "log_loss": quality.log_loss,
            "accuracy": quality.accuracy,
            "calibration_error": quality.calibration_error,
            "calibration_error_by_chance": _exact(quality.calibration_error_by_chance),
            "calibration_error_by_chance_95": _exact(quality.calibration_error_by_chance_95),
            "prior_log_loss": prior.prior_log_loss,
            "prior_accuracy": prior.prior_accuracy,
            "log_loss_minus_prior": prior.log_loss,
            "accuracy_minus_prior": prior.accuracy,
        }
    if (shipped := window.against_shipped) is not None:
        found |= {
            "log_loss_minus_shipped": shipped.log_loss,
            "accuracy_minus_shipped": shipped.accuracy,
            "calibration_error_minus_shipped": shipped.calibration_error,
        }
    if (longer := window.longer_wins) is not None:
        found |= {"longer_wins_people": longer.people, "longer_wins_judges": longer.judges}
    if (length := window.length) is not None:
        found |= {
            "length_slope_people": length.people,
            "length_slope_judges": length.judges,
            "length_slope_excess": length.excess,
        }
    if (ties := window.ties) is not None:
        found |= {"ties_people": ties.people, "ties_judges": ties.judges}
    return found


def _exact(value: float) -> Estimate:
    return Estimate(value=value, low=None, high=None)


def _plain(value: object) -> Cell:
    return value.isoformat() if isinstance(value, datetime) else value  # type: ignore[return-value]


def _pair_rows(rates: WinRates) -> Iterator[Sequence[Cell]]:
    for row, model in enumerate(rates.models):
        for column, against in enumerate(rates.models):
            if row != column:
                yield (
                    model,
                    against,
                    rates.expected[row][column],
                    rates.observed[row][column],
                    rates.meetings[row][column],
                )


def _model_row(line: ModelLine) -> list[Cell]:
    return [getattr(line, name) for name in _MODEL_COLUMNS]


def _cell(value: Cell) -> Cell:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
