"""What the board says of what is stored."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefstream.consumer.board.ingest.decode import LATEST_MS
from prefstream.consumer.board.report import strengths
from prefstream.consumer.board.report.choices import Method, Step
from prefstream.consumer.board.report.payloads import BoardQuery
from prefstream.consumer.board.report.reports import Reports, ReportSettings
from prefstream.consumer.board.store.records import PreferenceRecord
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.board.trust.build import MOST_SLICES
from prefstream.schemas.preference import Review
from tests.support.board import BEGIN_MS, preference_record, vote_record

NOW = datetime.fromtimestamp(BEGIN_MS / 1000, UTC) + timedelta(minutes=1)
HOUR_MS = 3_600_000


@pytest.mark.parametrize("step", ["hour", "day"])
def test_a_clock_that_is_wrong_takes_no_slice_of_time_from_one_that_is_right(step: Step) -> None:
    rng = random.Random(1)
    of_the_future = [BEGIN_MS + number * 24 * HOUR_MS for number in range(2, 2 + MOST_SLICES[step])] + [LATEST_MS]
    moments = [BEGIN_MS - 48 * HOUR_MS, BEGIN_MS, *of_the_future]
    with Store() as store:
        store.apply([preference_record(number, rng, at=at) for number, at in enumerate(moments)])
        slices = Reports(store.reader(), ReportSettings(), now=lambda: NOW).time(BoardQuery(step=step)).slices
    assert [one.strengths.preferences for one in slices] == [1, 1]
    assert slices[0].start < slices[1].start <= NOW < slices[1].end


def test_how_far_it_has_read_is_told_beside_a_long_query(tmp_path: Path) -> None:
    with Store(tmp_path / "board.sqlite") as store, store.reader() as reader, store.reader() as prompt_reader:
        reports = Reports(reader, ReportSettings(), prompt_reader=prompt_reader, now=lambda: NOW)
        with ThreadPoolExecutor(1) as pool, reader.snapshot():
            assert pool.submit(reports.status).result(timeout=60).counters == {}
            assert pool.submit(reports.stream).result(timeout=60).per_s is None


def told_of(store: Store, settings: ReportSettings | None = None) -> Reports:
    return Reports(store.reader(), settings or ReportSettings(), now=lambda: NOW)


def some(count: int, *, first: int, days_ago: float, language: str) -> list[PreferenceRecord]:
    """Battles of two models in turns, a second apart, that a vote may be asked for with probability 1/4."""
    rng = random.Random(first)
    at = BEGIN_MS - int(days_ago * 24 * HOUR_MS)
    return [
        preference_record(
            first + number,
            rng,
            at=at + 1000 * number,
            language=language,
            model_a="x",
            model_b="y",
            review=Review(probability=0.25, chosen=True) if number % 2 else None,
        )
        for number in range(count)
    ]


def voted(battles: Sequence[PreferenceRecord], winners: Sequence[str]) -> Sequence[tuple[PreferenceRecord, str]]:
    return [(one, winners[place % len(winners)]) for place, one in enumerate(battles)]


@pytest.fixture(scope="module")
def store() -> Store:
    """40 English battles of a month ago, 60 German ones of three days ago, 80 English ones of two hours ago."""
    old = some(40, first=0, days_ago=30, language="English")
    week = some(60, first=100, days_ago=3, language="German")
    today = some(80, first=200, days_ago=1 / 12, language="English")
    store = Store(vote_window=timedelta(days=60))
    store.apply([*old, *week, *today])
    # Votes that were asked for are all for A; of the others three in four are for B.
    said = [
        *voted(old, ["model_b", "model_a"]),
        *voted(week, ["model_b", "model_a", "model_a", "model_a"]),
        *voted(today, ["model_b", "model_a", "model_b", "model_a", "model_b", "model_a", "model_a", "model_a"]),
    ]
    store.apply(votes=[vote_record(int(one.preference.id[1:]), winner, at=one.at + 60_000) for one, winner in said])
    return store


@pytest.mark.parametrize("method", ["votes", "judges", "both"])
def test_a_window_and_a_language_count_their_own_battles_alone(store: Store, method: Method) -> None:
    reports = told_of(store)

    def battles(**query: str | None) -> int:
        [one, other] = reports.models(BoardQuery(method=method, **query)).models
        assert one.battles == other.battles
        return one.battles

    assert battles() == 180
    assert battles(window="week") == 140
    assert battles(window="day") == 80
    assert battles(language="German") == 60
    assert battles(language="English", window="week") == 80
    assert reports.models(BoardQuery(method=method, language="German", window="day")).models == ()


def test_languages_have_a_table_each_the_most_used_first(store: Store) -> None:
    told = told_of(store).languages(BoardQuery(method="votes"))
    assert [(one.language, one.strengths.votes) for one in told.languages] == [("English", 120), ("German", 60)]
    week = told_of(store).languages(BoardQuery(method="votes", window="week"))
    assert [(one.language, one.strengths.votes) for one in week.languages] == [("English", 80), ("German", 60)]


def test_slices_of_time_are_those_with_battles(store: Store) -> None:
    told = told_of(store).time(BoardQuery(method="votes", step="day"))
    assert [one.strengths.votes for one in told.slices] == [40, 60, 80]
    english = told_of(store).time(BoardQuery(method="votes", step="day", language="English"))
    assert [one.strengths.votes for one in english.slices if one.strengths.models] == [40, 80]


def test_votes_of_which_nobody_knows_how_they_came_count_or_not_by_the_switch(store: Store) -> None:
    """One that was asked for with 1/4 stands for four."""
    votes = BoardQuery(method="votes", language="German")
    random_ones = told_of(store).models(votes)
    assert random_ones.votes == 60
    assert [line.votes for line in random_ones.models] == [30 + 4 * 30] * 2
    assert random_ones.models[0].model == "x"
    asked_for = told_of(store, ReportSettings(unknown_selection="leave-out")).models(votes)
    assert asked_for.votes == 30
    assert all(line.rating is None and line.why_no_interval for line in asked_for.models)  # all are for A


def test_what_comes_in_is_told_at_once() -> None:
    with Store() as fresh:
        reports = told_of(fresh)
        assert reports.models(BoardQuery()).models == ()
        battles = some(30, first=0, days_ago=0.1, language="English")
        fresh.apply(battles)
        assert reports.models(BoardQuery()).votes == 0
        said = [vote_record(n, "tie", voter="v", at=one.at + 1) for n, one in enumerate(battles)]
        fresh.apply(votes=said)
        assert reports.models(BoardQuery()).votes == 30
        before = reports.models(BoardQuery(method="votes"))
        assert {line.rating for line in before.models} == {1000.0}
        changed = [vote_record(n, "model_a", voter="v", at=one.at + 2, offset=1) for n, one in enumerate(battles[:9])]
        fresh.apply(votes=changed)
        after = reports.models(BoardQuery(method="votes"))
        assert after.votes == 30
        assert after.models[0].model == "x"
        assert (after.models[0].rating or 0) > 1000


def test_where_judges_are_of_no_use_the_table_is_called_what_it_is(store: Store) -> None:
    """Every battle has a vote: what judges say of others is nothing."""
    told = told_of(store).models(BoardQuery(method="both"))
    assert told.judges_weight == 0
    assert told.label == told_of(store).models(BoardQuery(method="votes")).label


def test_csv_of_trust_has_drift_and_who_gets_a_vote_beside_what_chance_gives() -> None:
    month = timedelta(days=60)
    with Store(vote_window=month) as store:
        old = some(400, first=0, days_ago=20, language="English")
        new = some(300, first=1000, days_ago=0.5, language="German")
        store.apply([*old, *new])
        store.apply(votes=[vote_record(int(one.preference.id[1:]), "tie", at=one.at + 1) for one in new[:100]])
        trust = told_of(store).trust()
        rows = csv.DictReader(io.StringIO(told_of(store).csv("trust", BoardQuery()), newline=""))
    found = {(row["window"], row["figure"]): row for row in rows}
    [language] = [one for one in trust.drift[1].inputs if one.what == "language"]
    assert language.distance == 1.0
    assert float(found["week", "drift_of_inputs_language"]["value"]) == 1.0
    assert float(found["week", "drift_of_inputs_language_by_chance_99"]["value"]) == language.by_chance_99
    assert found["week", "drift_of_inputs_language"]["battles"] == "300"
    assert float(found["", "voted_and_others_language"]["value"]) > 0.5
    assert all(row["value"] for row in found.values())


@pytest.mark.parametrize("method", ["votes", "judges", "both"])
def test_of_names_without_end_those_with_most_battles_are_ranked(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strengths, "MOST_MODELS", 3)
    rng = random.Random(2)
    pairs = [("a", "b"), ("b", "c"), ("c", "a")] * 20 + [(f"x{number}", "b") for number in range(50)]
    with Store() as store:
        store.apply(
            [preference_record(n, rng, model_a=one, model_b=other) for n, (one, other) in enumerate(pairs)],
            [vote_record(n, rng.choice(("model_a", "model_b", "tie"))) for n in range(len(pairs))],
        )
        reports = Reports(store.reader(), ReportSettings())
        table, ties = reports.models(BoardQuery(method=method)), reports.ties(BoardQuery(method=method))
    assert {line.model for line in table.models} == {line.model for line in ties.models} == {"a", "b", "c"}
    assert all(line.rating is not None for line in table.models)
    assert any("of 53 models those 3 with the most battles" in note for note in table.notes)
