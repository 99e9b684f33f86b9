"""Submissions: what is written can be read, by us and by others."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prefstream.scoring.evaluation.prediction_files import read_predictions
from prefstream.scoring.files.submission import SUBMISSION_COLUMNS, encode_submission
from tests.support.samples import ids

IDS = st.lists(ids, min_size=1, max_size=5, unique=True)


@given(IDS)
@example(["a\rb"])
@example(["a\r\nb", 'say "x"', "a,b", "\ufeffx", "x\0y", "\u2028x"])
def test_what_is_written_can_be_read(tmp_path_factory: pytest.TempPathFactory, battle_ids: list[str]) -> None:
    path = tmp_path_factory.mktemp("submission") / "out.csv"
    rows = np.random.default_rng(1).dirichlet([1.0] * 3, len(battle_ids))
    path.write_bytes(encode_submission(battle_ids, rows))
    read = read_predictions(path, battle_ids)
    assert (read.rejected, read.unknown_ids) == ({}, 0)
    assert read.predictions.positions.tolist() == list(range(len(battle_ids)))
    assert np.allclose(read.predictions.panel.probabilities, rows)


@given(IDS.filter(lambda names: not any("\0" in name for name in names)))
@example(["a\rb"])
def test_others_read_the_same_ids(battle_ids: list[str]) -> None:
    """The standard library and pandas, whose parser takes a bare carriage return for the end of a row."""
    content = encode_submission(battle_ids, np.full((len(battle_ids), 3), 1 / 3))
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["id"] for row in rows] == battle_ids
    frame = pd.read_csv(io.BytesIO(content), dtype={"id": str}, keep_default_na=False)
    assert list(frame.columns) == list(SUBMISSION_COLUMNS)
    assert frame["id"].tolist() == battle_ids
