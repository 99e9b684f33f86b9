"""What trust asks of the store: sums of hours together, pairs, and votes that nobody expected."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from prefstream.consumer.board.store.hours import BINS, divergence_bin, length_bin, tenth
from prefstream.consumer.board.store.reading import ReviewCandidate
from prefstream.consumer.board.store.store import Store
from prefstream.schemas.preference import FileSource, Probabilities
from tests.support.board import BEGIN_MS, preference_record, vote_record

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """200 battles a minute apart; people voted on every fourth, each against the panel."""
    rng = random.Random(4)
    records = [preference_record(number, rng, at=BEGIN_MS + 60_000 * number) for number in range(200)]
    votes = []
    for number in range(0, 200, 4):
        shares = records[number].preference.probabilities
        least = min(("model_a", "model_b", "tie"), key=lambda name: getattr(shares, name))
        winner = "both_bad" if least == "tie" else least
        votes.append(vote_record(number, winner, at=records[number].at + HOUR_MS, offset=number))
    with Store() as store:
        store.apply(records, votes)
        yield store


def test_histograms_are_bins_over_all_languages_and_panels(store: Store) -> None:
    reader = store.reader()
    first = BEGIN_MS // HOUR_MS
    expected: Counter[tuple[int, str, int]] = Counter()
    for one in reader.bins(since_hour=first + 1):
        expected[one.hour, one.fact, one.bin] += one.battles
    found = {row[:3]: row[3] for row in reader.histograms(since_hour=first + 1)}
    assert found == dict(expected)
    assert min(hour for hour, _, _ in found) == first + 1


def test_pairs_are_counted_once_whoever_stood_first(store: Store) -> None:
    reader = store.reader()
    cells = reader.cells()
    expected: Counter[tuple[str, str]] = Counter()
    for one, other, count in zip(cells.model_a, cells.model_b, cells.counts, strict=True):
        expected[cells.models[one], cells.models[other]] += int(count)
    assert reader.pairs() == dict(expected)
    assert all(one < other for one, other in expected)


def test_bins_begin_at_their_edges() -> None:
    assert [tenth(share) for share in (0.0, 0.0999, 0.1, 0.99, 1.0)] == [0, 0, 1, BINS - 1, BINS - 1]
    assert [divergence_bin(bits) for bits in (0.0, 0.0099, 0.0101, 0.0899, 0.0901, 1.0)] == [0, 0, 1, 2, 3, BINS - 1]
    assert [length_bin(characters) for characters in (0, 1, 3, 1_023)] == [0, 2, 4, 20]


def test_votes_stand_out_by_how_little_the_panel_expected_them(store: Store) -> None:
    found = store.reader().surprises(limit=100)
    assert len(found) == 50
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        held = one.forecast[("model_a", "model_b", "both_bad").index(one.said or "")]
        assert one.why == "vote"
        assert 2.0**-one.score == pytest.approx(held)
        assert held == min(one.forecast)


def test_only_the_votes_of_a_time_and_as_many_as_wanted(store: Store) -> None:
    reader = store.reader()
    assert len(reader.surprises(limit=7)) == 7
    later = reader.surprises(since_ms=BEGIN_MS + HOUR_MS + 60_000 * 100)
    assert {int(one.id[1:]) for one in later} == set(range(100, 200, 4))


def test_of_several_votes_on_a_battle_the_most_surprising_one_is_told() -> None:
    rng = random.Random(1)
    said = Probabilities(model_a=0.7, model_b=0.2, tie=0.1)
    votes = [vote_record(0, winner, voter=winner, offset=n) for n, winner in enumerate(("tie", "model_b", "model_a"))]
    with Store() as store:
        store.apply([preference_record(0, rng, probabilities=said, preferred="model_a")], votes)
        (found,) = store.reader().surprises()
    assert (found.said, found.forecast) == ("tie", (0.7, 0.2, 0.1))


def test_a_vote_before_the_forecast_surprises_nobody() -> None:
    with Store() as store:
        store.apply([preference_record(0, random.Random(1))], [vote_record(0, "tie", at=BEGIN_MS - 1)])
        assert store.reader().surprises() == []


def test_what_was_held_for_impossible_is_no_infinite_surprise() -> None:
    sure = Probabilities(model_a=1.0, model_b=0.0, tie=0.0)
    source = FileSource(file="battles.jsonl", line=7)
    record = preference_record(0, random.Random(1), probabilities=sure, preferred="model_a", source=source)
    with Store() as store:
        store.apply([record], [vote_record(0, "tie")])
        (found,) = store.reader().surprises()
    assert isinstance(found, ReviewCandidate)
    assert found.score == pytest.approx(52.0)
    assert (found.source, found.source_partition, found.source_offset) == ("battles.jsonl", None, 7)
