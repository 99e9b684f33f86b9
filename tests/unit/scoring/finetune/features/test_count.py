"""Counting pairs: as all at once would be counted, and no text stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prefstream.scoring.errors import FileError
from prefstream.scoring.features.extract import Extractor
from prefstream.scoring.features.spec import FeatureSpec
from prefstream.scoring.finetune.data import pairs
from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.data.parts import DataPart
from prefstream.scoring.finetune.features import count
from prefstream.scoring.finetune.features.count import ChosenPairs, CountedPairs, count_pairs
from tests.support.growth import CHUNK, TEXT_CHARS, bytes_per_row, write_long_battles
from tests.support.labelled_pairs import make_rows, read_rows, write_rows

EXTRACTOR = Extractor(FeatureSpec(hash_bits=8, max_chars=200))


def chosen_of(path: Path, *, but_every: int | None = None) -> ChosenPairs:
    def chosen(read: Pairs) -> NDArray[np.bool_]:
        return np.ones(len(read), np.bool_) if but_every is None else np.arange(len(read)) % but_every > 0

    return ChosenPairs.read(DataPart(path), chosen, soft_labels=True)


def test_a_pair_adds_its_features_whatever_its_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count, "MOST_EXAMPLES", 10)
    monkeypatch.setattr(count, "_CHUNK_BATTLES", CHUNK)
    monkeypatch.setattr(pairs, "_CHUNK_BATTLES", CHUNK)

    def read(rows: int) -> CountedPairs:
        return count_pairs(chosen_of(write_long_battles(tmp_path / "train.jsonl", rows)), EXTRACTOR)

    assert bytes_per_row(read) < TEXT_CHARS / 4


def test_counted_by_chunks_pairs_have_the_features_of_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count, "_CHUNK_BATTLES", 7)
    path = write_rows(tmp_path / "train.jsonl", make_rows(40, prompts=8))
    told: list[tuple[int, int]] = []
    counted = count_pairs(chosen_of(path, but_every=4), EXTRACTOR, lambda done, of: told.append((done, of)))
    rows = [one for number, one in enumerate(read_rows(path)) if number % 4]
    whole = EXTRACTOR.extract([one.battle for one in rows])
    assert not counted.alike.any()
    np.testing.assert_array_equal(counted.features.sides.toarray(), whole.sides.toarray())
    np.testing.assert_array_equal(counted.features.both.toarray(), whole.both.toarray())
    assert (told[0], told[1], told[-1]) == ((0, 30), (7, 30), (30, 30))


def test_examples_are_spread_evenly_and_never_more_than_their_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count, "_CHUNK_BATTLES", 7)
    monkeypatch.setattr(count, "MOST_EXAMPLES", 6)
    path = write_rows(tmp_path / "train.jsonl", make_rows(40, prompts=8))
    assert count_pairs(chosen_of(path), EXTRACTOR).examples == read_rows(path)[::7]


def test_what_reads_the_same_on_both_sides_is_left_out_where_somebody_was_preferred(tmp_path: Path) -> None:
    rows = make_rows(10, prompts=5)
    for row, winner in ((rows[2], "model_a"), (rows[5], "tie")):
        row.update(response_a=["same"], response_b=["same"], winner=winner)
        row.pop("votes", None)
    counted = count_pairs(chosen_of(write_rows(tmp_path / "train.jsonl", rows)), EXTRACTOR)
    assert np.flatnonzero(counted.alike).tolist() == [2]
    assert counted.features.sides.shape[0] == counted.features.both.shape[0] == 9
    assert counted.features.sides[[4]].nnz == 0


def test_a_file_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    chosen = chosen_of(write_rows(tmp_path / "train.jsonl", make_rows(10, prompts=5)))
    write_rows(tmp_path / "train.jsonl", make_rows(10, prompts=5, seed=1))
    with pytest.raises(FileError, match=r"train.jsonl changed while it was read"):
        count_pairs(chosen, EXTRACTOR)
