"""What is read from the board's file is what was put into it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from prefstream.consumer.board.report.choices import Method
from prefstream.consumer.board.report.strengths import rank, strength_table
from prefstream.consumer.board.store.candidates import PER_DAY
from prefstream.consumer.board.store.reader import BoardReader
from prefstream.consumer.board.store.records import Note, PreferenceRecord, ReadProgress, VoteRecord
from prefstream.consumer.board.store.store import Store
from prefstream.schemas.vote import Vote
from prefstream.scoring.strengths.tallies import UNKNOWN_STYLE, style_bin, style_differences, tally_forecasts
from tests.support.board import BEGIN_MS, preference_record, vote_record

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def preferences() -> list[PreferenceRecord]:
    rng = random.Random(2)
    named = [preference_record(number, rng, at=BEGIN_MS + number * 60_000) for number in range(400)]
    return [*named, preference_record(400, rng, model_a=None), preference_record(401, rng, model_a="x", model_b="x")]


@pytest.fixture(scope="module")
def store(preferences: list[PreferenceRecord]) -> Iterator[Store]:
    with Store() as store:
        store.apply(preferences, [vote_record(number, "both_bad", at=BEGIN_MS + 10**8) for number in range(0, 402, 2)])
        store.apply(votes=[vote_record(0, "model_b", "ann", at=BEGIN_MS + 10**8 + 1)])
        yield store


def test_votes_are_rows_with_their_battles_facts(store: Store, preferences: list[PreferenceRecord]) -> None:
    votes = store.reader().votes()
    # The battle without a model's name, and that of a model with itself, say nothing of strengths.
    assert len(votes) == 201
    assert list(votes.battles) == [0, 0, *range(1, 200)]
    assert list(votes.outcomes[:3]) == [2, 1, 2]
    for row, number in enumerate(range(2, 400, 2), start=2):
        said = preferences[number].preference
        assert votes.models[votes.model_a[row]] == said.model_a
        assert votes.models[votes.model_b[row]] == said.model_b
        shares = said.probabilities
        assert tuple(votes.forecasts[row]) == (shares.model_a, shares.model_b, shares.tie)
        assert votes.cells[row] == style_bin(said.style)
        np.testing.assert_array_equal(votes.style[row], style_differences(said.style))


def test_without_style_there_is_one_row_a_pair_with_the_sums_of_its_bins(store: Store) -> None:
    apart, together = store.reader().cells(), store.reader().cells(by_style=False)
    pairs = list(zip(together.model_a.tolist(), together.model_b.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) < len(apart)
    assert set(together.cells.tolist()) == {UNKNOWN_STYLE}
    row_of = {pair: row for row, pair in enumerate(pairs)}
    rows = [row_of[pair] for pair in zip(apart.model_a.tolist(), apart.model_b.tolist(), strict=True)]
    for name in ("counts", "sums", "products"):
        expected = np.zeros_like(getattr(together, name))
        np.add.at(expected, rows, getattr(apart, name))
        np.testing.assert_allclose(getattr(together, name), expected, rtol=1e-12)


@pytest.mark.parametrize("method", get_args(Method))
def test_strengths_are_those_of_the_bins_to_the_last_digit_that_is_shown(store: Store, method: Method) -> None:
    reader = store.reader()
    tables = [
        strength_table(rank(reader.votes(), reader.cells(by_style=by_style), method, style_control=False))
        for by_style in (True, False)
    ]
    assert tables[0].models == tables[1].models
    assert tables[0].notes == tables[1].notes


def test_weights_invert_the_probability_of_being_asked(store: Store, preferences: list[PreferenceRecord]) -> None:
    """Those on battles that were not chosen came by themselves."""
    reviews = [preferences[number].preference.review for number in (0, 0, *range(2, 400, 2))]
    asked = [review if review and review.chosen else None for review in reviews]
    known = store.reader().votes(weighting="known").weights
    np.testing.assert_array_equal(known, [1 / review.probability if review else 0 for review in asked])
    every = store.reader().votes(weighting="all").weights
    np.testing.assert_array_equal(every, [1 / review.probability if review else 1 for review in asked])


def test_cells_are_those_that_the_battles_add_up_to(store: Store, preferences: list[PreferenceRecord]) -> None:
    cells = store.reader().cells()
    named = [one.preference for one in preferences if one.preference.model_a not in {None, one.preference.model_b}]
    place = {name: index for index, name in enumerate(cells.models)}
    expected = tally_forecasts(
        cells.models,
        np.array([place[said.model_a or ""] for said in named]),
        np.array([place[said.model_b or ""] for said in named]),
        np.array([style_bin(said.style) for said in named]),
        np.array([[getattr(said.probabilities, name) for name in ("model_a", "model_b", "tie")] for said in named]),
    )
    order = np.lexsort((cells.cells, cells.model_b, cells.model_a))
    found = cells.select(order)
    for name in ("model_a", "model_b", "cells", "counts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.sums, expected.sums, atol=1e-7)
    np.testing.assert_allclose(found.products, expected.products, atol=1e-7)


def test_a_language_and_a_span_of_hours_are_read_alone(store: Store, preferences: list[PreferenceRecord]) -> None:
    reader = store.reader()
    hour = BEGIN_MS // HOUR_MS + 2
    span = [p for p in preferences[:400] if p.at // HOUR_MS == hour]
    assert reader.cells(since_hour=hour, until_hour=hour + 1).counts.sum() == len(span)
    votes = reader.votes(since_ms=hour * HOUR_MS, until_ms=(hour + 1) * HOUR_MS)
    assert len(votes) == sum(p.offset % 2 == 0 for p in span)
    english = [p for p in preferences[:400] if p.preference.language == "English"]
    assert reader.cells(language="English").counts.sum() == len(english)
    assert set(reader.votes(language="English").battles) == set(range(sum(p.offset % 2 == 0 for p in english)))
    assert len(reader.votes(language="Klingon")) == len(reader.cells(language="Klingon")) == 0


def test_judged_votes_stand_beside_what_the_panel_said(store: Store, preferences: list[PreferenceRecord]) -> None:
    judged = store.reader().judged()
    assert len(judged) == 202  # those without names, too
    rows = dict(zip(judged.ids, range(len(judged)), strict=True))
    for name, row in rows.items():
        said = preferences[int(name[1:])].preference
        assert judged.model_names[judged.models[row, 0]] == (said.model_a or "")
        assert judged.language_names[judged.languages[row]] == (said.language or "")
        assert judged.panel_hashes[judged.panels[row]] == "ab" * 32
        assert judged.disagreement[row] == said.disagreement
        expected = [said.style.a.characters, said.style.b.characters] if said.style else [np.nan, np.nan]
        np.testing.assert_array_equal(judged.characters[row], expected)
        gaps = [one.position_gap for one in said.judges if one.position_gap is not None]
        np.testing.assert_allclose(judged.position_gap[row], np.mean(gaps) if gaps else np.nan)
    assert judged.prequential.all()
    assert judged.both_bad.sum() == 201


def test_a_vote_before_its_preference_foretold_nothing() -> None:
    rng = random.Random(3)
    with Store() as store:
        early = VoteRecord(Vote(id="b1", winner="tie"), BEGIN_MS)
        store.apply([preference_record(1, rng)], [early, vote_record(1)])
        judged = store.reader().judged()
        assert list(judged.prequential) == [False, True]
        assert list(store.reader().judged(since_ms=BEGIN_MS + 1).prequential) == [True]


def test_hours_and_bins_count_every_preference(store: Store, preferences: list[PreferenceRecord]) -> None:
    reader = store.reader()
    assert sum(row.battles for row in reader.hours()) == len(preferences)
    total = sum(row.disagreement for row in reader.hours())
    assert total == pytest.approx(sum(one.preference.disagreement for one in preferences), abs=1e-6)
    styled = sum(one.preference.style is not None for one in preferences)
    by_fact: dict[str, int] = {}
    for one in reader.bins():
        by_fact[one.fact] = by_fact.get(one.fact, 0) + one.battles
    assert by_fact["length"] == styled == sum(row.styled for row in reader.hours())
    assert {by_fact[name] for name in ("p_a", "p_b", "p_tie", "entropy", "disagreement")} == {len(preferences)}
    first = BEGIN_MS // HOUR_MS
    assert {row.hour for row in reader.hours(since_hour=first + 1, until_hour=first + 3)} == {first + 1, first + 2}


def test_candidates_are_telling_battles_without_a_vote(store: Store, preferences: list[PreferenceRecord]) -> None:
    found = store.reader().candidates(limit=7)
    assert [one.why for one in found] == ["disagreement"] * 7 + ["entropy"] * 7
    day = 86_400_000
    by_day: dict[int, list[PreferenceRecord]] = {}
    for one in preferences:
        by_day.setdefault(one.at // day, []).append(one)
    kept = [p for those in by_day.values() for p in sorted(those, key=lambda p: -p.preference.disagreement)[:PER_DAY]]
    open_ones = sorted((p for p in kept if p.offset % 2), key=lambda p: -p.preference.disagreement)[:7]
    assert [one.id for one in found[:7]] == [one.preference.id for one in open_ones]
    assert found[0].source == "battles"
    assert found[0].score == open_ones[0].preference.disagreement


def test_the_rest_is_told_in_words(store: Store, preferences: list[PreferenceRecord]) -> None:
    reader = store.reader()
    assert reader.since() == datetime.fromtimestamp(BEGIN_MS / 1000, UTC)
    last = max(one.at for one in preferences)
    assert reader.last_preference() == datetime.fromtimestamp(last / 1000, UTC)
    assert reader.last_vote() == datetime.fromtimestamp((BEGIN_MS + 10**8 + 1) / 1000, UTC)
    assert reader.counters()["preferences"] == len(preferences)
    assert set(reader.languages()) == {"English", "Chinese", "Russian"}
    assert reader.meta("voter_key") is None


def test_an_empty_board_is_read_as_one(tmp_path: Path) -> None:
    with Store(tmp_path / "board.db") as store, store.reader() as reader:
        assert len(reader.votes()) == len(reader.cells()) == len(reader.judged()) == 0
        assert reader.models() == ()
        assert not any((reader.hours(), reader.bins(), reader.candidates(), reader.notes()))
        assert reader.since() is reader.last_vote() is None


def test_a_snapshot_sees_nothing_of_what_is_written_meanwhile(tmp_path: Path) -> None:
    rng = random.Random(4)
    path = tmp_path / "board.db"
    with Store(path) as store, BoardReader.open(path) as reader:
        with reader.snapshot():
            before = reader.counters()
            store.apply([preference_record(1, rng)], progress=ReadProgress(notes=[Note(1, "word", "in words")]))
            assert reader.counters() == before == {}
            assert reader.notes() == []
        assert reader.counters()["preferences"] == 1
        assert reader.notes() == [Note(1, "word", "in words")]


def test_candidates_of_a_month_are_kept_whatever_a_timestamp_says() -> None:
    rng = random.Random(5)
    day, now = 86_400_000, int(time.time() * 1000)
    with Store() as store:
        ages = (40, 29, 0, -1_000_000)  # the last one is of the future
        store.apply([preference_record(number, rng, at=now - age * day) for number, age in enumerate(ages)])
        assert {one.id for one in store.reader().candidates()} == {"b1", "b2", "b3"}
