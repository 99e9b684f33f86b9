"""The report: one file that needs nothing beside it, says nothing of a battle's text, and takes any name."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from prefstream.schemas import Provenance
from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.evaluation.bias_table.build import bias_table
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.evaluation.evaluate import evaluate
from prefstream.scoring.evaluation.report.report import calibration_in_words, render_report, verdicts
from prefstream.scoring.evaluation.results import Comparison, Evaluation
from tests.support.html_page import Page, assert_alone
from tests.support.judged import EVALUATED, MARK, make_labelled, make_predictions, make_probabilities


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    labelled = make_labelled(120)
    evaluated = EVALUATED.model_copy(update={"file": "<judged> & more.jsonl"})
    return evaluate(
        gather_facts(labelled), make_predictions(labelled, make_probabilities(120)), evaluated, resamples=100
    )


@pytest.fixture(scope="module")
def html(evaluation: Evaluation) -> str:
    return render_report(evaluation)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_it_needs_nothing_beside_it(html: str) -> None:
    assert_alone(html)


def test_it_holds_no_battles_text(html: str) -> None:
    assert MARK not in html
    assert "battle-1" not in html


def test_names_from_files_are_text(page: Page) -> None:
    assert "<judged> & more.jsonl" in page.text
    assert "<chats & more>" in page.text


def test_every_plot_is_inside_and_no_id_stands_twice(page: Page) -> None:
    assert page.tags.count("svg") == 4
    assert len(page.ids) == len(set(page.ids))


def test_on_a_screen_narrower_than_the_widest_table_intervals_break(html: str) -> None:
    """Rendered at 1,000 pixels the widest table took 1,109 of 943; with this rule it takes 943."""
    narrow = html.split("@media (max-width: 75rem)", 1)[1].split("@media", 1)[0]
    assert "td, .interval { white-space: normal; }" in narrow


def test_plots_take_the_pages_colours(html: str) -> None:
    assert "var(--main)" in html.split("<svg", 1)[1]
    assert not re.search(r"#(?:101010|a0a0a1|1f6fb1|c9622b)", html.split("</style>", 1)[1])


def test_rendering_again_gives_the_same_page(evaluation: Evaluation, html: str) -> None:
    assert render_report(evaluation) == html


def test_an_untrained_judge_is_called_so(evaluation: Evaluation, page: Page) -> None:
    random_head = Provenance(kind="pairwise", trained=False)
    systems = tuple(
        one.model_copy(update={"provenance": random_head}) if one.kind == "judge" else one for one in evaluation.systems
    )
    assert "Not trained: one." in Page(render_report(evaluation.model_copy(update={"systems": systems}))).text
    assert "Not trained" not in page.text


def test_a_single_battle_has_a_report() -> None:
    labelled = make_labelled(1)
    found = evaluate(
        gather_facts(labelled), make_predictions(labelled, make_probabilities(1)), EVALUATED, resamples=100
    )
    page = Page(render_report(found))
    assert "no interval: too few prompts" in page.text
    assert re.search(r"Accuracy\s*(100\.0%\s*2\.5% to 100\.0%|0\.0%\s*0\.0% to 97\.5%)", page.text)


def test_it_has_the_table_of_bias_and_what_the_panel_was_held_against() -> None:
    labelled = make_labelled(80)
    said, before = (make_predictions(labelled, make_probabilities(80, seed=seed)) for seed in (0, 1))
    reference = replace(before.panel, name="<before> & after")
    found = evaluate(gather_facts(labelled), said, EVALUATED, reference=reference, resamples=100)
    page = Page(render_report(found))
    assert "<before> & after" in page.text
    assert "What judges are biased by" not in page.text
    rows = bias_table(gather_facts(labelled, answers=True), said, reference=before, resamples=100)
    html = render_report(found.model_copy(update={"bias": rows}))
    page = Page(html)
    told = " ".join(page.text.split())
    assert "What judges are biased by" in told
    for row in rows:
        assert row.measure in told
    assert "longer wins, core" in told
    wins = next(row for row in rows if row.measure == "longer wins")
    assert wins.judged is not None
    assert wins.reference is not None
    assert wins.judged != wins.reference
    for one in (wins.judged, wins.reference):
        assert f"{one.value:.3f} {one.low:.3f} to {one.high:.3f}" in told
    assert MARK not in html


def test_it_says_in_words_whether_chance_explains_the_calibration_error(evaluation: Evaluation, page: Page) -> None:
    told = calibration_in_words(evaluation.panel)
    assert told is not None
    assert told in " ".join(page.text.split())
    for value, word in ((0.0, "within chance"), (0.9, "more than chance")):
        error = Estimate(value=value, low=None, high=None)
        assert word in (calibration_in_words(evaluation.panel.model_copy(update={"calibration_error": error})) or "")
    unknown = evaluation.panel.model_copy(update={"calibration_error_by_chance_95": None})
    assert calibration_in_words(unknown) is None


def test_few_prompts_are_no_ground_for_a_verdict(evaluation: Evaluation) -> None:
    few = [verdict.text for verdict in verdicts(evaluation.model_copy(update={"prompts": 19}))]
    assert few[0] == "19 prompts are too few to tell the panel from class prior; give 20 at least."


@pytest.mark.parametrize(
    ("low", "high", "mood", "words"),
    [
        (-0.05, -0.01, "better", "is better than that of class prior by 0.030, between 0.010 and 0.050"),
        (0.01, 0.05, "worse", "is worse than that of class prior by 0.030, between 0.010 and 0.050"),
        (-0.01, 0.05, "open", "can't be told"),
    ],
)
def test_verdicts_go_by_the_interval(evaluation: Evaluation, low: float, high: float, mood: str, words: str) -> None:
    gap = Estimate(value=-0.03 if high < 0 else 0.03, low=low, high=high)
    comparison = evaluation.panel.comparisons[0].model_copy(update={"log_loss": gap})
    (verdict,) = verdicts(with_baselines(evaluation, comparison, {"class prior": 1.05}))
    assert verdict.mood == mood
    assert words in verdict.text


@pytest.mark.parametrize(
    ("prior", "lengths", "told"),
    [
        (1.2, 1.25, "its own log loss, 1.250, is worse than that of knowing nothing (1.099)"),
        (1.04, 1.06, "its own log loss, 1.060, is worse than that of class prior (1.040)"),
    ],
)
def test_being_better_than_a_baseline_that_is_worse_than_less_is_no_verdict(
    evaluation: Evaluation, prior: float, lengths: float, told: str
) -> None:
    comparison = evaluation.panel.comparisons[1]
    losses = {"class prior": prior, "length only": lengths}
    better, worse = (
        comparison.model_copy(update={"log_loss": Estimate(value=gap, low=gap - 0.01, high=gap + 0.01)})
        for gap in (-0.1, 0.1)
    )
    (verdict,) = verdicts(with_baselines(evaluation, better, losses))
    assert verdict.mood == "open"
    assert told in verdict.text
    (verdict,) = verdicts(with_baselines(evaluation, worse, losses))
    assert verdict.mood == "worse"


def with_baselines(evaluation: Evaluation, comparison: Comparison, losses: dict[str, float]) -> Evaluation:
    """The evaluation with one comparison, and with these log losses of the baselines."""
    panel, *others = evaluation.systems
    systems = [panel.model_copy(update={"comparisons": (comparison,)})]
    for one in others:
        loss = losses.get(one.name)
        update = {} if loss is None else {"log_loss": Estimate(value=loss, low=loss - 0.01, high=loss + 0.01)}
        systems.append(one.model_copy(update=update))
    return evaluation.model_copy(update={"systems": tuple(systems)})
