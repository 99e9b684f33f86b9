"""Fitting a judge of features: it learns what it must, counts what counts, and comes out the same each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from prefstream.schemas import Battle
from prefstream.scoring.adapters.receipt import PREDICTIONS
from prefstream.scoring.errors import ConfigError, FileError
from prefstream.scoring.features.extract import Extractor
from prefstream.scoring.features.strongest import strongest
from prefstream.scoring.finetune.features.recipe import load_any_recipe
from prefstream.scoring.finetune.features.run import finetune_features
from prefstream.scoring.judges.readout import read_pairwise
from prefstream.scoring.loading.adapter_record import RECORD, WEIGHTS
from prefstream.scoring.loading.features import read_features_adapter
from prefstream.scoring.probabilities import Triples
from tests.support.features_judges import make_features_recipe
from tests.support.labelled_pairs import MARK, make_rows, write_rows

LONG, SHORT = "one two three four five six seven eight.", "one two."


def row(number: int, winner: str, a: str = LONG, b: str = SHORT, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "prompt": f"{MARK} {number:04}",
        "response_a": a,
        "response_b": b,
        "winner": winner,
        **more,
    }


OTHERWISE = row(1_000, "model_b", weight=1e-6)
"""A file in which everybody says the same is refused."""


def fitted(folder: Path, rows: Sequence[dict[str, Any]], name: str = "lexical", **settings: Any) -> Path:
    train = write_rows(folder / f"{name}.jsonl", rows)
    finetune_features(make_features_recipe(**settings), train, folder / name, say=lambda _: None)
    return folder / name


def answers(adapter: Path, *pairs: tuple[str, str]) -> Triples:
    record, model = read_features_adapter(adapter)
    battles = [Battle(id="1", prompt=f"{MARK} 9999", response_a=a, response_b=b) for a, b in pairs]
    return read_pairwise(model.logits(Extractor(record.features).extract(battles)))


def test_it_finds_the_right_answer_on_other_prompts_and_ties_where_both_are_alike(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", make_rows(240, prompts=48))
    dev = write_rows(tmp_path / "dev.jsonl", make_rows(60, prompts=12, seed=1))
    metrics = finetune_features(
        make_features_recipe(features={"hash_bits": 10}), train, tmp_path / "lexical", dev=dev, say=lambda _: None
    )
    assert metrics["accuracy"] > 0.8
    assert metrics["log_loss"] < 0.7
    assert len((tmp_path / "lexical" / "dev-predictions.csv").read_text().splitlines()) == 61


def test_the_same_run_gives_the_same_bits(tmp_path: Path) -> None:
    first, second = (fitted(tmp_path, make_rows(60, prompts=12), name) for name in ("one", "other"))
    for name in (WEIGHTS, RECORD):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_what_the_adapter_before_said_of_dev_pairs_does_not_stay(tmp_path: Path) -> None:
    train, dev = (write_rows(tmp_path / f"{name}.jsonl", make_rows(24, prompts=8)) for name in ("train", "dev"))
    for measured_on in (dev, None):
        finetune_features(make_features_recipe(), train, tmp_path / "lexical", dev=measured_on, say=lambda _: None)
        assert (tmp_path / "lexical" / PREDICTIONS).exists() == (measured_on is not None)


def test_pairs_without_ties_say_nothing_about_ties(tmp_path: Path) -> None:
    open_ones = [row(number, ("model_a", "model_b", "tie")[number % 3]) for number in range(30)]
    decided = [row(number, "model_a", ties_possible=False) for number in range(30, 130)]
    stiff = make_features_recipe().penalties.model_dump() | {"tie_words": 1e6}  # no prompt is learnt by heart
    before, after = (
        answers(fitted(tmp_path, rows, name, penalties=stiff), (LONG, SHORT))[0]
        for name, rows in (("open", open_ones), ("with", [*open_ones, *decided]))
    )
    assert before[2] == pytest.approx(1 / 3, abs=0.05)
    assert after[0] / after[1] > 3 * before[0] / before[1]
    assert after[2] > 0.5 * before[2]  # as a tie with as sure a winner is rarer


def test_votes_are_learnt_as_shares(tmp_path: Path) -> None:
    votes = {"model_a": 6, "model_b": 2, "tie": 2}
    rows = [OTHERWISE, *(row(number, "model_a", votes=votes) for number in range(40))]
    soft = answers(fitted(tmp_path, rows, "soft"), (LONG, SHORT))[0]
    hard = answers(fitted(tmp_path, rows, "hard", data={"soft_labels": False}), (LONG, SHORT))[0]
    assert soft == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
    assert hard[0] > 0.9


def test_weights_of_rows_and_tiers_count(tmp_path: Path) -> None:
    rows = [row(number, "model_a", tier="one") for number in range(20)]
    rows += [row(number, "model_b", tier="other") for number in range(20, 40)]
    even, first = (
        answers(fitted(tmp_path, rows, name, data={"weights": weights}), (LONG, SHORT))[0]
        for name, weights in (("even", {}), ("first", {"other": 0.1}))
    )
    assert even[0] == pytest.approx(even[1], abs=0.02)
    assert first[0] > 0.7


def test_a_prompt_with_many_pairs_counts_as_the_recipe_says(tmp_path: Path) -> None:
    many = [row(number, "model_a") | {"prompt": f"{MARK} 0000"} for number in range(40)]
    few = [row(number, "model_b") for number in range(40, 50)]
    by_pair, by_prompt = (
        answers(fitted(tmp_path, [*many, *few], name, data={"prompt_exponent": exponent}), (LONG, SHORT))[0]
        for name, exponent in (("pair", 0.0), ("prompt", 1.0))
    )
    assert by_pair[0] > 0.6
    assert by_prompt[1] > 0.6


def test_answers_that_look_alike_though_one_was_preferred_are_left_out_and_told(tmp_path: Path) -> None:
    said: list[str] = []
    rows = [*make_rows(20, prompts=4), row(99, "model_a", SHORT, SHORT)]
    train = write_rows(tmp_path / "train.jsonl", rows)
    finetune_features(make_features_recipe(), train, tmp_path / "lexical", say=said.append)
    assert any(line.startswith("1 of 21 pairs read the same on both sides") for line in said)
    assert json.loads((tmp_path / "lexical" / "train.json").read_text())["plan"]["pairs"] == 20


@pytest.mark.parametrize(("most", "told"), [(2, True), (500, False)])
def test_a_fit_that_was_cut_off_is_told(tmp_path: Path, most: int, told: bool) -> None:
    train = write_rows(tmp_path / "train.jsonl", make_rows(24, prompts=8))
    said: list[str] = []
    finetune_features(make_features_recipe(most_iterations=most), train, tmp_path / "lexical", say=said.append)
    cut_off = "the fit was cut off after 2 iterations, before it settled; raise most_iterations"
    assert (cut_off in said) == told


def test_data_in_which_nothing_counts_is_refused(tmp_path: Path) -> None:
    rows = [row(number, ("model_a", "model_b")[number % 2], tier="one") for number in range(4)]
    with pytest.raises(FileError, match=r"no pair counts by this recipe; look at its data.stages, data.weights"):
        fitted(tmp_path, rows, data={"weights": {"one": 0.0}})


def test_a_tier_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.stages\[0\].tiers: no pair has arena"):
        fitted(tmp_path, [OTHERWISE, row(1, "model_a", tier="one")], data={"stages": [{"tiers": ["arena"]}]})


def test_the_folder_says_how_it_was_made_and_names_what_decides(tmp_path: Path) -> None:
    rows = make_rows(120, prompts=24)
    adapter = fitted(tmp_path, rows)
    receipt = json.loads((adapter / "train.json").read_text())
    record, model = read_features_adapter(adapter)
    card = (adapter / "README.md").read_text()
    assert receipt["recipe"] == make_features_recipe().model_dump(mode="json")
    assert receipt["data"]["train"]["usable"] == len(rows)
    assert receipt["template_hash"] == record.template_hash
    assert {"scikit-learn", "scipy", "prefstream"} <= receipt["versions"].keys()
    words = [one.name for one in strongest(record.strongest, decides="winner", hashed=True, most=20)]
    assert {"correct", "wrong"} & set(words)
    assert "correct" in card
    named = {one.name: one for one in record.strongest}
    assert named["more characters"].weight == pytest.approx(float(model.sides[0]), abs=1e-6)


def test_words_of_few_prompts_are_not_written_down(tmp_path: Path) -> None:
    adapter = fitted(tmp_path, make_rows(120, prompts=24))
    for path in adapter.iterdir():
        assert not any(f"{MARK} 0 {number}".encode() in path.read_bytes() for number in range(24))


@pytest.mark.parametrize(
    ("name", "kind"), [("lexical", "features"), ("lexical-demo", "features"), ("gemma-middle", "pointwise")]
)
def test_a_recipe_that_ships_is_read_as_its_kind(name: str, kind: str) -> None:
    assert load_any_recipe(name).kind == kind


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data.stages": [{"epochs": 2}]}, "data.stages: has epochs, but all pairs are fitted at once"),
        ({"data.balance_length": "step"}, "data.balance_length: step needs steps"),
        ({"data.shorter_won": 2, "data.balance_length": "data"}, "shorter_won: balance_length would undo it"),
        ({"data.swap": "random"}, "data.swap: a judge of features learns the same from both orders"),
        ({"data.consistency": 0.5}, "data.consistency: a judge of features is consistent by construction"),
        ({"data.mask_identity": True}, "data.mask_identity: is features.mask_identity here"),
        ({"features.words": [2, 1]}, "words: give the shortest and the longest length"),
        ({"features.hash_bits": 40}, "features.hash_bits: "),
        ({"penalties.words": 0}, "penalties.words: "),
        ({"lora": {}}, "lora: unknown key"),
    ],
)
def test_a_recipe_that_can_not_be_followed_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_any_recipe("lexical-demo", change)
