"""What the board says, computed from what it has stored."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final

from prefstream.consumer.board.report import tables
from prefstream.consumer.board.report.choices import Step, TableName, UnknownSelection, Window
from prefstream.consumer.board.report.fresh import freshness
from prefstream.consumer.board.report.links import battle_link
from prefstream.consumer.board.report.payloads import (
    BoardNote,
    BoardQuery,
    BoardReport,
    BoardStatus,
    LanguageTable,
    LanguageTables,
    ReviewLine,
    ReviewPage,
    StrengthTable,
    TieTable,
    TimeSlice,
    TimeSlices,
    WinRates,
)
from prefstream.consumer.board.report.stream import first_shown, stream_report
from prefstream.consumer.board.report.stream_payloads import StreamReport
from prefstream.consumer.board.report.strengths import rank, rank_with_ties, strength_table, tie_table, win_rates
from prefstream.consumer.board.report.surroundings import Surroundings
from prefstream.consumer.board.store.reader import BoardReader, Weighting
from prefstream.consumer.board.trust.build import MOST_SLICES, WINDOWS, build_trust, build_trust_over_time
from prefstream.consumer.board_config import BoardConfig
from prefstream.schemas import OUTCOMES
from prefstream.scoring.moments import EPOCH, milliseconds, moment_of
from prefstream.scoring.strengths.results import Strengths
from prefstream.scoring.strengths.tallies import VotedBattles
from prefstream.scoring.trust.over_time import STEPS
from prefstream.scoring.trust.results import Shipped, TrustReport, TrustTime
from prefstream.scoring.trust.shipped import read_shipped

MOST_LANGUAGES: Final = 12
"""With a table of their own: the most used ones. Any other can be asked for by its name."""

FEWEST_BATTLES: Final = 30
"""Of a language with a table: with fewer every interval spans the whole board."""

_WINDOWS: Final[dict[Window, timedelta | None]] = {"all": None, "week": WINDOWS["week"], "day": WINDOWS["day"]}

_WEIGHTING: Final[dict[UnknownSelection, Weighting]] = {"as-random": "all", "leave-out": "known"}

TRUST_EVERY: Final = timedelta(seconds=30)
"""A report on trust is told again for so long."""

_HOUR: Final = timedelta(hours=1)
_MOST_REMEMBERED: Final = 64
_NOTHING_AROUND: Final = Surroundings()


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """What is the user's to say.

    Attributes:
        unknown_selection: what becomes of votes of which nobody knows how probable it was that they were asked for.
        battle_url: template of links to battles.
        shipped: the figures that the panel was shipped with, where somebody says.
    """

    unknown_selection: UnknownSelection = "as-random"
    battle_url: str | None = None
    shipped: Shipped | None = None

    @classmethod
    def of(cls, config: BoardConfig) -> ReportSettings:
        """Those of the command's settings that are about what is reported.

        Raises:
            FileError: the file of shipped figures is none.
        """
        shipped = None if config.board_shipped is None else read_shipped(config.board_shipped)
        return cls(config.board_unknown_selection, config.board_battle_url, shipped)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in whole hours since the epoch; None: without an end on that side."""

    start: int | None = None
    end: int | None = None


class Reports:
    """Builds payloads. May be called from several threads.

    Args:
        reader: what is stored.
        settings: what is the user's to say.
        around: what the process knows beside that.
        prompt_reader: reads for `status` and `stream`, which then wait for no long query; None: `reader` does.
        now: the time.
    """

    def __init__(
        self,
        reader: BoardReader,
        settings: ReportSettings,
        *,
        around: Surroundings = _NOTHING_AROUND,
        prompt_reader: BoardReader | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reader = reader
        self._prompt_reader = prompt_reader or reader
        self._settings = settings
        self._around = around
        self._now = now
        self._remembered: OrderedDict[tuple[object, ...], Strengths] = OrderedDict()
        self._lock = threading.Lock()
        self._trust: TrustReport | None = None
        self._trust_over_time: dict[Step, tuple[datetime, TrustTime]] = {}
        self._trust_lock = threading.Lock()
        self._trust_over_time_lock = threading.Lock()

    @property
    def file_key(self) -> str:
        """What tells the board's file from all others."""
        return str(self._reader.meta("file_key"))

    def board(self, query: BoardQuery) -> BoardReport:
        """All of it in one; while the topics are being read, its parts may be of moments that lie apart."""
        return BoardReport(
            query=query,
            status=self.status(),
            strengths=self.models(query),
            win_rates=self.pairs(query),
            ties=self.ties(query),
            languages=self.languages(query),
            over_time=self.time(query),
            trust=self.trust(),
            trust_over_time=self.trust_over_time(query),
            review=self.review(),
        )

    def status(self) -> BoardStatus:
        """What the board rests on, and how far it has read."""
        reader, around = self._prompt_reader, self._around
        obstacle, behind, stream = around.obstacle(), around.behind(), around.stream()
        fresh = freshness(
            obstacle=obstacle,
            behind=behind,
            behind_s=around.behind_s(),
            lag=stream.lag.total if stream.lag else None,
            unanswered_s=stream.unanswered_s,
        )
        with reader.snapshot():
            return BoardStatus(
                version=version("prefstream"),
                now=self._now(),
                since=reader.since(),
                newest_preference_at=reader.last_preference(),
                newest_vote_at=reader.last_vote(),
                behind=behind,
                obstacle=obstacle,
                fresh=fresh,
                notice=around.notice(),
                counters=reader.counters(),
                notes=tuple(
                    BoardNote(at=moment_of(note.at), kind=note.kind, detail=note.detail) for note in reader.notes()
                ),
            )

    def stream(self) -> StreamReport:
        """What the stream does, as far as the file and the watch know."""
        now = self._now()
        minutes = self._prompt_reader.minutes(milliseconds(first_shown(now)))
        ever = self._prompt_reader.last_preference() is not None
        return stream_report(minutes, self._around.stream(), now, ever=ever)

    def models(self, query: BoardQuery) -> StrengthTable:
        """Strengths of models, best first."""
        return strength_table(self._strengths(query, self._span(query)))

    def pairs(self, query: BoardQuery) -> WinRates:
        """How often one model wins against another."""
        return win_rates(self._strengths(query, self._span(query)))

    def ties(self, query: BoardQuery) -> TieTable:
        """Ties as an outcome of their own, by votes."""
        return tie_table(rank_with_ties(self._votes(query, self._span(query))))

    def languages(self, query: BoardQuery) -> LanguageTables:
        """Strengths by language, the most used first."""
        span = self._span(query)
        counts = self._battles_by_language(span)
        chosen = [name for name, battles in counts.most_common(MOST_LANGUAGES) if battles >= FEWEST_BATTLES]
        return LanguageTables(
            languages=tuple(
                LanguageTable(
                    language=name,
                    strengths=strength_table(self._strengths(query.model_copy(update={"language": name}), span)),
                )
                for name in chosen
            ),
            left_out=len(counts) - len(chosen),
        )

    def time(self, query: BoardQuery) -> TimeSlices:
        """Strengths by hour or day, the oldest first; only slices with battles, and none of the future.

        One of the future comes of a clock that is wrong; it would take the place of one that is right.
        """
        hours = STEPS[query.step] // _HOUR
        until = int((self._now() - EPOCH) / _HOUR) + 1
        there = sorted({facts.hour // hours for facts in self._reader.hours(until_hour=until)})
        return TimeSlices(
            step=query.step,
            slices=tuple(
                TimeSlice(
                    start=EPOCH + number * STEPS[query.step],
                    end=EPOCH + (number + 1) * STEPS[query.step],
                    strengths=strength_table(self._strengths(query, Span(number * hours, (number + 1) * hours))),
                )
                for number in there[-MOST_SLICES[query.step] :]
            ),
        )

    def trust(self) -> TrustReport:
        """Whether the judges can be trusted now; of at most half a minute ago, for it takes a second or two."""
        with self._trust_lock:
            now = self._now()
            if self._trust is None or not timedelta() <= now - self._trust.at < TRUST_EVERY:
                self._trust = build_trust(
                    self._reader,
                    now,
                    shipped=self._settings.shipped,
                    weighting=_WEIGHTING[self._settings.unknown_selection],
                )
            return self._trust

    def trust_over_time(self, query: BoardQuery) -> TrustTime:
        """How good the judges were in each of the last hours or days, likewise of at most half a minute ago."""
        with self._trust_over_time_lock:
            now = self._now()
            at, told = self._trust_over_time.get(query.step, (None, None))
            if at is None or told is None or not timedelta() <= now - at < TRUST_EVERY:
                weighting = _WEIGHTING[self._settings.unknown_selection]
                told = build_trust_over_time(self._reader, now, query.step, weighting=weighting)
                self._trust_over_time[query.step] = now, told
            return told

    def review(self) -> ReviewPage:
        """Where a person should look."""
        return ReviewPage(
            battles=tuple(
                ReviewLine(
                    id=one.id,
                    why=one.why,
                    score=one.score,
                    link=battle_link(self._settings.battle_url, one.id),
                    published_at=moment_of(one.at),
                    model_a=one.model_a,
                    model_b=one.model_b,
                    language=one.language,
                    probabilities=dict(zip(OUTCOMES, one.forecast, strict=True)),
                    disagreement=one.disagreement,
                    entropy=one.entropy,
                    source=one.source,
                    partition=one.source_partition,
                    offset=one.source_offset,
                    said=one.said,
                )
                for one in (*self._reader.surprises(), *self._reader.candidates())
                if one.score > 0  # a panel of one judge has no disagreement
            )
        )

    def review_lines(self) -> str:
        """The same as JSON, a battle a line."""
        return "".join(f"{one.model_dump_json()}\n" for one in self.review().battles)

    def csv(self, table: TableName, query: BoardQuery) -> str:
        """One table as CSV."""
        return _TABLES[table](self, query)

    def _span(self, query: BoardQuery) -> Span:
        length = _WINDOWS[query.window]
        if length is None:
            return Span()
        # Whole hours, as the sums are: the first one is in part beyond the window.
        return Span(int((self._now() - length - EPOCH) / _HOUR))

    def _battles_by_language(self, span: Span) -> Counter[str]:
        counts: Counter[str] = Counter()
        for facts in self._reader.hours(since_hour=span.start, until_hour=span.end):
            if facts.language:
                counts[facts.language] += facts.battles
        return counts

    def _strengths(self, query: BoardQuery, span: Span) -> Strengths:
        """Computed, or remembered while nothing new was read."""
        reader = self._reader
        key = (query.method, query.style_control, query.language, span, *reader.counters().items())
        with self._lock:
            if (found := self._remembered.get(key)) is not None:
                self._remembered.move_to_end(key)
                return found
        with reader.snapshot():
            votes = self._votes(query, span)
            cells = reader.cells(
                since_hour=span.start, until_hour=span.end, language=query.language, by_style=query.style_control
            )
        found = rank(votes, cells, query.method, style_control=query.style_control)
        with self._lock:
            self._remembered[key] = found
            while len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return found

    def _votes(self, query: BoardQuery, span: Span) -> VotedBattles:
        """Those that count, weighted as the user says."""
        votes = self._reader.votes(
            since_ms=_hour_ms(span.start),
            until_ms=_hour_ms(span.end),
            language=query.language,
            weighting=_WEIGHTING[self._settings.unknown_selection],
        )
        return votes.select(votes.weights > 0)


def _hour_ms(hour: int | None) -> int | None:
    return None if hour is None else hour * (_HOUR // timedelta(milliseconds=1))


_TABLES: Final[Mapping[TableName, Callable[[Reports, BoardQuery], str]]] = {
    "models": lambda reports, query: tables.models_csv(reports.models(query)),
    "pairs": lambda reports, query: tables.pairs_csv(reports.pairs(query)),
    "ties": lambda reports, query: tables.ties_csv(reports.ties(query)),
    "languages": lambda reports, query: tables.languages_csv(reports.languages(query)),
    "time": lambda reports, query: tables.time_csv(reports.time(query)),
    "trust": lambda reports, _: tables.trust_csv(reports.trust()),
    "trust-time": lambda reports, query: tables.trust_time_csv(reports.trust_over_time(query)),
    "trust-slices": lambda reports, _: tables.trust_slices_csv(reports.trust()),
    "reliability": lambda reports, _: tables.reliability_csv(reports.trust()),
    "length": lambda reports, _: tables.length_csv(reports.trust()),
    "review": lambda reports, _: tables.review_csv(reports.review()),
    "minutes": lambda reports, _: tables.minutes_csv(reports.stream()),
    "counters": lambda reports, _: tables.counters_csv(reports.status()),
    "lag": lambda reports, _: tables.lag_csv(reports.stream()),
    "dead-letters": lambda reports, _: tables.dead_letters_csv(reports.stream()),
}
