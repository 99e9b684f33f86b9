"""Predictions: the panel's very answers, as arrays, with and without calibration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefstream.schemas import Battle, Provenance
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import BattleTooLargeError, ConfigError, JudgeFaultError
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.predict import Predictions, load_uncalibrated_panel, predict
from tests.support.growth import CHUNK, bytes_per_row, long_battles
from tests.support.priors import prior_entry, prior_panel

BATTLES = [Battle(id=f"b{n}", prompt=("p",), response_a=("a" * n,), response_b=("b" * 3,)) for n in range(1, 8)]


class LengthJudge:
    """Prefers the longer answer, and what stands first."""

    def __init__(self, name: str = "one", *, symmetric: bool = False, too_large: int | None = None) -> None:
        self.name = name
        self.weight = 2.0
        self.symmetric = symmetric
        self.provenance = Provenance(kind="pairwise")
        self.settings: dict[str, object] = {}
        self.batches: list[int] = []
        self._too_large = too_large
        self._battles: list[Battle] = []

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        self._battles = list(battles)
        self.batches.append(len(battles))
        return JudgeBatch(len(battles), 1)

    def score(self, batch: JudgeBatch) -> Scores:
        lengths = np.array([[len(battle.response_a[0]) + 1, len(battle.response_b[0]), 2] for battle in self._battles])
        too_large = {
            place: BattleTooLargeError("too large")
            for place, battle in enumerate(self._battles)
            if len(battle.response_a[0]) == self._too_large
        }
        return Scores(lengths / lengths.sum(axis=1, keepdims=True), too_large)

    def close(self) -> None:
        pass


def test_rows_are_the_panels_answers_whatever_the_chunks() -> None:
    with Panel([LengthJudge()], swap=True) as panel:
        whole = predict(panel, BATTLES)
        chunked = predict(panel, BATTLES, chunk_battles=3)
    np.testing.assert_array_equal(whole.panel.probabilities, chunked.panel.probabilities)
    assert whole.positions.tolist() == list(range(7))


def test_both_orders_stand_in_terms_of_the_battle_as_given() -> None:
    with Panel([LengthJudge()], swap=True) as panel:
        (judge,) = predict(panel, BATTLES[:1]).judges
    assert judge.swapped is not None
    np.testing.assert_allclose(judge.as_given[0], [2 / 7, 3 / 7, 2 / 7])
    np.testing.assert_allclose(judge.swapped[0], [1 / 7, 4 / 7, 2 / 7])
    np.testing.assert_allclose(judge.probabilities, (judge.as_given + judge.swapped) / 2)
    assert judge.weight == 2.0
    assert not judge.symmetric


def test_without_swap_the_other_order_is_known_of_symmetric_judges_alone() -> None:
    with Panel([LengthJudge("x"), LengthJudge("y", symmetric=True)]) as panel:
        found = predict(panel, BATTLES)
    x, y = found.judges
    assert x.swapped is None
    assert y.swapped is not None
    np.testing.assert_array_equal(y.swapped, y.probabilities)
    assert not found.panel.symmetric


def test_a_panel_is_symmetric_when_all_its_judges_answer_both_orders() -> None:
    with Panel([LengthJudge("x"), LengthJudge("y", symmetric=True)], swap=True) as panel:
        assert predict(panel, BATTLES).panel.symmetric


def test_a_battle_that_is_too_large_is_left_out_with_its_reason() -> None:
    with Panel([LengthJudge(too_large=3)]) as panel:
        found = predict(panel, BATTLES, chunk_battles=2)
    assert found.unanswered == {2: "too large"}
    assert found.positions.tolist() == [0, 1, 3, 4, 5, 6]
    assert found.panel.probabilities.shape == found.judges[0].probabilities.shape == (6, 3)


def test_progress_is_told_after_every_chunk() -> None:
    done: list[int] = []
    with Panel([LengthJudge()]) as panel:
        predict(panel, BATTLES, on_progress=done.append, chunk_battles=3)
    assert done == [3, 6, 7]


def test_no_battles_give_no_rows() -> None:
    with Panel([LengthJudge()]) as panel:
        found = predict(panel, [])
    assert found.panel.probabilities.shape == (0, 3)
    assert found.judges[0].probabilities.shape == (0, 3)


def test_a_panel_that_lost_a_judge_is_not_measured() -> None:
    class Broken(LengthJudge):
        def score(self, batch: JudgeBatch) -> Scores:
            raise JudgeFaultError(self.name, "broke", transient=False)

    with (
        Panel([LengthJudge("x"), Broken("y")], on_judge_failure="degrade") as panel,
        pytest.raises(JudgeFaultError, match=r"y.*measured with all its judges"),
    ):
        predict(panel, BATTLES)


def config_with(tmp_path: Path, calibration: dict[str, Any]) -> PanelConfig:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(calibration))
    return PanelConfig.model_validate(
        {"judges": [prior_entry("x", (0.5, 0.25, 0.25)), prior_entry("y", (0.25, 0.5, 0.25))], "calibration": str(path)}
    )


def test_an_uncalibrated_panel_keeps_its_weights_alone(tmp_path: Path) -> None:
    config = config_with(tmp_path, {"panel": {"tie_bias": 1.0}, "weights": {"x": 3.0}})
    with load_uncalibrated_panel(config) as panel:
        found = predict(panel, BATTLES[:1])
    assert [judge.weight for judge in found.judges] == [3.0, 1.0]
    np.testing.assert_allclose(found.panel.probabilities[0], [0.4375, 0.3125, 0.25])


def test_an_uncalibrated_panel_overrides_what_adapters_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Calibration | None] = {}

    def load_judge(
        config: Any, placement: Any, *, calibration: Calibration | None, say: Any, beside: Any
    ) -> LengthJudge:
        seen[config.name] = calibration
        return LengthJudge(config.name)

    monkeypatch.setattr("prefstream.scoring.loading.judge.load_judge", load_judge)
    judge = {"name": "x", "kind": "pairwise", "base": str(tmp_path), "allow_untrained": True, "device": "cpu"}
    with load_uncalibrated_panel(PanelConfig.model_validate({"judges": [judge]})):
        pass
    assert seen == {"x": Calibration()}


def test_a_calibration_in_hand_takes_the_place_of_the_file(tmp_path: Path) -> None:
    config = config_with(tmp_path, {"panel": {"tie_bias": 1.0}, "weights": {"x": 3.0}})
    with load_panel(config, calibration=CalibrationFile(weights={"y": 0.0})) as panel:
        found = predict(panel, BATTLES[:1])
    np.testing.assert_allclose(found.panel.probabilities[0], [0.5, 0.25, 0.25])


def test_a_calibration_in_hand_must_be_of_this_panel(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="calibrates z"):
        load_panel(config_with(tmp_path, {}), calibration=CalibrationFile(weights={"z": 1.0}))


def test_of_a_battle_that_is_done_only_numbers_stay() -> None:
    def read(count: int) -> Predictions:
        with prior_panel(judges=2) as panel:
            return predict(panel, (one.battle for one in long_battles(count)), chunk_battles=CHUNK)

    assert bytes_per_row(read) < 1_000


def test_no_more_than_a_chunk_of_battles_is_taken_ahead() -> None:
    handed_out: list[int] = []
    done: list[tuple[int, int]] = []

    def battles() -> Iterator[Battle]:
        for number, battle in enumerate(BATTLES, start=1):
            handed_out.append(number)
            yield battle

    with Panel([LengthJudge()]) as panel:
        predict(panel, battles(), on_progress=lambda count: done.append((count, len(handed_out))), chunk_battles=3)
    assert done == [(3, 3), (6, 6), (7, 7)]


def test_where_a_judge_is_recused_it_does_not_count() -> None:
    battles = [
        battle.model_copy(update={"model_a": name})
        for battle, name in zip(BATTLES, ("own-1", None, "both", "other"), strict=False)
    ]
    judges = [LengthJudge("x"), LengthJudge("y", symmetric=True)]
    with Panel(judges, recuse={"x": ["own-*", "both"], "y": ["both"]}) as panel:
        one, other = predict(panel, battles).judges
    assert one.counted is not None
    assert one.counted.tolist() == [False, True, True, True], "where both are recused, both count"
    assert other.counted is not None
    assert other.counted.all()
    with Panel(judges) as panel:
        assert [judge.counted for judge in predict(panel, battles).judges] == [None, None]


def test_a_calibration_is_fitted_to_what_recusal_leaves(tmp_path: Path) -> None:
    config = PanelConfig.model_validate({"judges": [prior_entry("x"), prior_entry("y")], "recuse": {"x": ["own-*"]}})
    battle = BATTLES[0].model_copy(update={"model_a": "own-1"})
    with load_uncalibrated_panel(config) as panel:
        one, _ = predict(panel, [battle]).judges
    assert one.counted is not None
    assert not one.counted.any()


def test_battles_can_be_taken_out_as_if_nobody_had_answered_them() -> None:
    with Panel([LengthJudge(symmetric=True, too_large=3)]) as panel:
        whole = predict(panel, BATTLES)
    part = whole.without({1: "no such id", 2: "no such id", 6: "no such id"})
    assert part.positions.tolist() == [0, 3, 4, 5]
    assert part.unanswered == {1: "no such id", 2: "too large", 6: "no such id"}
    rows = [0, 2, 3, 4]
    for mine, theirs in zip((part.panel, *part.judges), (whole.panel, *whole.judges), strict=True):
        np.testing.assert_array_equal(mine.probabilities, theirs.probabilities[rows])
        assert mine.swapped is not None
        assert theirs.swapped is not None
        np.testing.assert_array_equal(mine.swapped, theirs.swapped[rows])
