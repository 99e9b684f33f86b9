"""A canary: each battle is scored by one of two panels, always the same one, and comes out in its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream import Panel, PanelAnswer, PanelConfig, load_panel
from prefstream.consumer.panels.canary import CanaryScorer
from prefstream.schemas import Battle
from prefstream.scoring.errors import JudgeFaultError, MisuseError
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from tests.support.priors import prior_entry

battle_ids = st.lists(st.from_regex(r"\A[a-z0-9-]{1,30}\Z"), max_size=20)


def panel_named(name: str) -> Panel:
    return load_panel(PanelConfig.model_validate({"judges": [prior_entry(name)]}))


@pytest.fixture(scope="module")
def serving() -> Iterator[Panel]:
    with panel_named("serving") as panel:
        yield panel


@pytest.fixture(scope="module")
def on_trial() -> Iterator[Panel]:
    with panel_named("trial") as panel:
        yield panel


def battles_of(ids: list[str]) -> list[Battle]:
    return [Battle(id=one, prompt=("p",), response_a=("a",), response_b=("b",)) for one in ids]


def meeting(both: threading.Barrier, score: Callable[[JudgeBatch], Scores], part: JudgeBatch) -> Scores:
    """Score a part once another judge is at its own."""
    both.wait()
    return score(part)


def breaking(name: str, _: JudgeBatch) -> Scores:
    """Fail for good."""
    raise JudgeFaultError(name, "broke", transient=False)


def names_of(scorer: CanaryScorer, ids: list[str]) -> list[str]:
    """Who scored each battle."""
    names = []
    for answer in scorer.score_encoded(scorer.encode(battles_of(ids))):
        assert isinstance(answer, PanelAnswer)
        assert (answer.panel is not None and answer.panel.canary is True) == (answer.judges[0].name == "trial")
        names.append(answer.judges[0].name)
    return names


@given(ids=battle_ids, share=st.floats(0.01, 0.99))
def test_who_scores_a_battle_depends_on_its_id_alone(
    serving: Panel, on_trial: Panel, ids: list[str], share: float
) -> None:
    scorer = CanaryScorer(serving, on_trial, share, lambda _: None)
    together = names_of(scorer, ids)
    assert together == [names_of(scorer, [one])[0] for one in ids]


@given(ids=battle_ids, share=st.floats(0.01, 0.5))
def test_what_a_share_chooses_a_larger_one_chooses_too(
    serving: Panel, on_trial: Panel, ids: list[str], share: float
) -> None:
    small = names_of(CanaryScorer(serving, on_trial, share, lambda _: None), ids)
    large = names_of(CanaryScorer(serving, on_trial, share + 0.4, lambda _: None), ids)
    assert all(after == "trial" for before, after in zip(small, large, strict=True) if before == "trial")


def test_it_scores_about_its_share(serving: Panel, on_trial: Panel) -> None:
    names = names_of(CanaryScorer(serving, on_trial, 0.2, lambda _: None), [f"battle-{n}" for n in range(1_000)])
    assert 150 <= names.count("trial") <= 250


def test_where_the_panel_on_trial_breaks_down_the_one_that_serves_answers_all(serving: Panel) -> None:
    faults: list[JudgeFaultError] = []
    ids = [f"battle-{n}" for n in range(50)]

    with panel_named("trial") as trial:
        trial.judges[0].score = partial(breaking, "trial")  # type: ignore[method-assign]
        scorer = CanaryScorer(serving, trial, 0.5, faults.append)
        assert names_of(scorer, ids) == ["serving"] * 50
        assert names_of(scorer, ids) == ["serving"] * 50
    assert [str(fault) for fault in faults] == ["judge trial: broke"]


def test_judges_of_both_panels_score_their_parts_of_a_batch_at_the_same_time() -> None:
    """Each judge waits in the middle of its part until the other one is there, too."""
    both = threading.Barrier(2, timeout=30)
    with panel_named("serving") as serving, panel_named("trial") as trial:
        for panel in (serving, trial):
            [judge] = panel.judges
            judge.score = partial(meeting, both, judge.score)  # type: ignore[method-assign]
        names = names_of(CanaryScorer(serving, trial, 0.5, lambda _: None), [f"battle-{n}" for n in range(20)])
    assert set(names) == {"serving", "trial"}


def test_judges_that_both_panels_share_score_one_part_after_the_other() -> None:
    with panel_named("shared") as serving:
        trial = serving.recalibrated(CalibrationFile(panel=Calibration(tie_bias=1.0)))
        scorer = CanaryScorer(serving, trial, 0.5, lambda _: None)
        ids = [f"battle-{n}" for n in range(20)]
        answers = scorer.score_encoded(scorer.encode(battles_of(ids)))
        alone = {panel: panel.score(battles_of(["1"]))[0] for panel in (serving, trial)}
    ties = {answer.panel.canary: answer.probabilities.tie for answer in answers}  # type: ignore[union-attr]
    assert ties == {None: alone[serving].probabilities.tie, True: alone[trial].probabilities.tie}  # type: ignore[union-attr]


def test_a_fault_of_the_panel_that_serves_is_none_of_the_one_on_trial(on_trial: Panel) -> None:
    faults: list[JudgeFaultError] = []

    with panel_named("serving") as serving:
        serving.judges[0].score = partial(breaking, "serving")  # type: ignore[method-assign]
        with pytest.raises(JudgeFaultError, match="judge serving: broke"):
            names_of(CanaryScorer(serving, on_trial, 0.5, faults.append), [f"battle-{n}" for n in range(20)])
    assert not faults


def test_a_batch_that_another_one_tokenised_is_refused(serving: Panel, on_trial: Panel) -> None:
    with pytest.raises(MisuseError, match="a canary scores what it tokenised"):
        CanaryScorer(serving, on_trial, 0.5, lambda _: None).score_encoded(serving.encode(battles_of(["1"])))
