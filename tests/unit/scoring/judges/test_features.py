"""The judge of features in a panel: exactly symmetric, calibrated like any other, and without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream import PanelConfig, load_panel
from prefstream.schemas import Battle, decode_preference, encode_preference
from prefstream.scoring.config import FeaturesJudgeConfig
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.features import FeaturesJudge
from prefstream.scoring.judges.judge import JudgeBatch
from prefstream.scoring.loading.features import load_features_judge, read_features_adapter
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.probabilities import exchange
from tests.support.features_judges import make_features_adapter
from tests.support.priors import prior_entry
from tests.support.samples import USER_TEXT, battles

RIGHT = Battle(id="1", prompt="Is it so?", response_a="correct 1", response_b="wrong 2")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_features_adapter(tmp_path_factory.mktemp("adapter") / "lexical")


@pytest.fixture(scope="module")
def judge(adapter: Path) -> FeaturesJudge:
    return load_features_judge(FeaturesJudgeConfig(name="lexical", kind="features", adapter=str(adapter)))


def entry(adapter: Path, **settings: Any) -> dict[str, Any]:
    return {"name": "lexical", "kind": "features", "adapter": str(adapter), **settings}


def panel_of(*judges: dict[str, Any], **settings: Any) -> PanelConfig:
    return PanelConfig.model_validate({"judges": judges, **settings})


@given(given_battles=st.lists(battles(), min_size=1, max_size=4))
def test_exchanging_the_answers_exchanges_the_probabilities_to_the_last_bit(
    judge: FeaturesJudge, given_battles: list[Battle]
) -> None:
    said = judge.score(judge.encode(given_battles)).probabilities
    of_swap = judge.score(judge.encode([one.swap() for one in given_battles])).probabilities
    assert (of_swap == exchange(said)).all()


def test_it_prefers_what_it_learnt_to_prefer(judge: FeaturesJudge) -> None:
    a, b, tie = judge.score(judge.encode([RIGHT])).probabilities[0].tolist()
    assert a > 0.6 > b + tie


def shout(count: int) -> str:
    return "correct " * count


def test_it_is_no_surer_than_it_ever_was_of_a_battle_that_it_learnt_from(judge: FeaturesJudge, adapter: Path) -> None:
    _, model = read_features_adapter(adapter)
    furthest, lowest, highest = model.bounds.tolist()
    extreme = [Battle(id=str(count), prompt="?", response_a=shout(count), response_b="") for count in (1, 100, 10_000)]
    blank = Battle(id="blank", prompt="", response_a="", response_b=" ")
    logs = np.log(judge.score(judge.encode([*extreme, blank])).probabilities)
    odds, over_both = logs[:, 0] - logs[:, 1], logs[:, 2] - (logs[:, 0] + logs[:, 1]) / 2
    assert np.abs(odds).max() == pytest.approx(furthest, rel=1e-3)
    assert (over_both >= lowest - 1e-3).all()
    assert (over_both <= highest + 1e-3).all()


def test_no_battles_are_no_answers(judge: FeaturesJudge) -> None:
    assert judge.score(judge.encode([])).probabilities.shape == (0, 3)


def test_it_scores_nothing_that_it_did_not_encode(judge: FeaturesJudge) -> None:
    with pytest.raises(TypeError, match="JudgeBatch that it did not encode"):
        judge.score(JudgeBatch(count=1, padded_tokens=0))


def test_a_batch_shows_and_keeps_no_text(judge: FeaturesJudge) -> None:
    batch = judge.encode([Battle(id="1", prompt=USER_TEXT, response_a=USER_TEXT, response_b="no")])
    assert USER_TEXT.split()[-1] not in repr(batch)
    assert batch.padded_tokens == 0


def test_it_votes_in_a_panel_that_swaps_and_its_preference_can_be_published(adapter: Path) -> None:
    with load_panel(panel_of(entry(adapter, weight=3.0), prior_entry("prior", (0.3, 0.3, 0.4)), swap=True)) as panel:
        [answer] = panel.score([RIGHT])
    assert isinstance(answer, PanelAnswer)
    lexical, prior = answer.judges
    assert (lexical.weight, prior.weight) == (0.75, 0.25)
    assert (lexical.position_gap, lexical.truncation) == (0.0, None)
    preference = answer.to_preference(RIGHT, source={"file": "f", "line": 1})  # type: ignore[arg-type]
    assert decode_preference(encode_preference(preference)).judges[0].provenance.kind == "features"


def test_it_is_calibrated_like_any_other(adapter: Path) -> None:
    flat = CalibrationFile(judges={"lexical": Calibration(temperature=100.0)})
    with load_panel(panel_of(entry(adapter)), calibration=flat) as panel:
        [answer] = panel.score([RIGHT])
    assert isinstance(answer, PanelAnswer)
    [opinion] = answer.judges
    assert opinion.uncalibrated is not None
    assert opinion.uncalibrated.model_a > 0.6
    assert opinion.probabilities.model_a == pytest.approx(1 / 3, abs=0.05)


def test_other_weights_are_another_panel(adapter: Path, tmp_path: Path) -> None:
    other = make_features_adapter(tmp_path / "other", pairs=96)
    hashes = set()
    for folder in (adapter, other, adapter):
        with load_panel(panel_of(entry(folder))) as panel:
            hashes.add(panel.identity.hash)
    assert len(hashes) == 2


def test_a_panel_of_features_and_priors_imports_no_torch(adapter: Path) -> None:
    code = """
import json, sys
from prefstream.schemas import Battle
from prefstream import PanelConfig, load_panel
with load_panel(PanelConfig.model_validate(json.loads(sys.argv[1]))) as panel:
    panel.score([Battle(id="1", prompt="a", response_a="b", response_b="c")])
print(sorted({"torch", "transformers", "tokenizers", "peft", "huggingface_hub", "kafka"} & set(sys.modules)))
"""
    config = panel_of(entry(adapter), prior_entry("prior", (0.3, 0.3, 0.4))).model_dump_json()
    done = subprocess.run([sys.executable, "-c", code, config], capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == "[]", done.stderr
