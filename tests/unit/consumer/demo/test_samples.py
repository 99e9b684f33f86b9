"""The sample battles keep the composition that their README promises."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest

SAMPLES = files("prefstream.consumer.demo") / "samples"
FIELDS = {
    *("id", "prompt", "response_a", "response_b", "winner"),
    *("model_a", "model_b", "language", "category", "tier"),
}
OPTIONAL_FIELDS = {"objective"}
# English takes four to five characters a token, so an answer of this length alone exceeds 2,048 tokens.
LONG_CHARACTERS = 12_000

Sample = dict[str, Any]


def characters(turns: list[str]) -> int:
    return sum(len(turn) for turn in turns)


def loser_is_longer(sample: Sample) -> bool:
    winner, loser = sample["response_a"], sample["response_b"]
    if sample["winner"] == "model_b":
        winner, loser = loser, winner
    return characters(loser) > characters(winner)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    lines = (SAMPLES / "battles.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def objective(samples: list[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.get("objective")]


@pytest.fixture(scope="module")
def malformed() -> list[str]:
    return (SAMPLES / "malformed.txt").read_text(encoding="utf-8").splitlines()


def test_there_are_64_battles_with_unique_ids(samples: list[Sample]) -> None:
    assert [sample["id"] for sample in samples] == [f"sample-{number:03d}" for number in range(1, 65)]


def test_every_battle_has_the_documented_fields_only(samples: list[Sample]) -> None:
    for sample in samples:
        assert sample.keys() >= FIELDS, sample["id"]
        assert sample.keys() <= FIELDS | OPTIONAL_FIELDS, sample["id"]


def test_every_answer_has_a_non_empty_turn_for_each_prompt_turn(samples: list[Sample]) -> None:
    for sample in samples:
        turns = [sample["prompt"], sample["response_a"], sample["response_b"]]
        assert len({len(side) for side in turns}) == 1, sample["id"]
        assert all(isinstance(turn, str) and turn.strip() for side in turns for turn in side), sample["id"]


def test_prompts_are_not_repeated(samples: list[Sample]) -> None:
    assert len({tuple(sample["prompt"]) for sample in samples}) == len(samples)


def test_text_is_stored_readably(samples: list[Sample]) -> None:
    """UTF-8 as it is, not escaped, so that a person can read and edit the file."""
    assert samples
    assert not re.search(r"\\u[0-9a-f]{4}", (SAMPLES / "battles.jsonl").read_text(encoding="utf-8"))


def test_winners_are_balanced(samples: list[Sample]) -> None:
    assert Counter(sample["winner"] for sample in samples) == {"model_a": 23, "model_b": 23, "tie": 18}


def test_objective_battles_are_balanced_by_side(objective: list[Sample]) -> None:
    assert Counter(sample["winner"] for sample in objective) == {"model_a": 16, "model_b": 16}


def test_the_wrong_answer_is_longer_in_half_of_the_objective_battles(objective: list[Sample]) -> None:
    """Equally often on either side, so that neither length nor position gives the answer away."""
    longer_wrong = Counter(sample["winner"] for sample in objective if loser_is_longer(sample))
    assert longer_wrong == {"model_a": 8, "model_b": 8}


def test_the_tier_says_what_kind_of_battle_it_is(samples: list[Sample]) -> None:
    for sample in samples:
        expected = "taste"
        if sample.get("objective"):
            expected = "wrong_longer" if loser_is_longer(sample) else "wrong_shorter"
        assert sample["tier"] == expected, sample["id"]


def test_objective_is_true_or_absent(samples: list[Sample]) -> None:
    assert {sample["objective"] for sample in samples if "objective" in sample} == {True}


def test_half_is_english_and_at_least_eight_languages_occur(samples: list[Sample]) -> None:
    languages = Counter(sample["language"] for sample in samples)
    assert languages["en"] == 32
    assert len(languages) >= 8


def test_the_promised_kinds_occur(samples: list[Sample]) -> None:
    categories = Counter(sample["category"] for sample in samples)
    assert {"math", "code", "multi-turn", "refusal", "tie"} <= categories.keys()
    assert categories["refusal"] == 4


def test_at_least_eight_battles_have_several_turns(samples: list[Sample]) -> None:
    turns = Counter(len(sample["prompt"]) for sample in samples)
    assert turns[2] + turns[3] >= 8
    assert turns[3] >= 1


def test_one_tie_is_identical_to_the_letter(samples: list[Sample]) -> None:
    identical = [sample["winner"] for sample in samples if sample["response_a"] == sample["response_b"]]
    assert identical == ["tie"]


def test_exactly_one_pair_is_long_on_both_sides(samples: list[Sample]) -> None:
    sides = [(characters(sample["response_a"]), characters(sample["response_b"])) for sample in samples]
    assert sum(min(lengths) > LONG_CHARACTERS for lengths in sides) == 1


def test_the_long_pair_is_prose_and_not_filler(samples: list[Sample]) -> None:
    """Truncation receipts mean little on a text that repeats itself."""
    long_pair = next(sample for sample in samples if sample["category"] == "long")
    for side in ("response_a", "response_b"):
        sentences = re.split(r"(?<=[.!?])\s+", " ".join(long_pair[side]))
        assert len(set(sentences)) / len(sentences) > 0.9


def test_the_models_are_five_and_say_that_they_are_invented(samples: list[Sample]) -> None:
    names = {sample[side] for sample in samples for side in ("model_a", "model_b")}
    assert len(names) == 5
    assert all(name.startswith("fictional-") for name in names)


def test_each_pair_of_models_meets_and_no_side_is_a_models_own(samples: list[Sample]) -> None:
    pairs = Counter(frozenset((sample["model_a"], sample["model_b"])) for sample in samples)
    assert len(pairs) == 10
    assert set(pairs.values()) == {6, 7}
    first = Counter(sample["model_a"] for sample in samples)
    second = Counter(sample["model_b"] for sample in samples)
    assert all(abs(first[name] - second[name]) <= 1 for name in first)


@pytest.mark.parametrize("heading", ["language", "category"])
def test_the_readme_counts_what_the_file_holds(samples: list[Sample], heading: str) -> None:
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")
    table = re.search(rf"^\| {heading} \| battles.*?(?=\n\n)", readme, re.MULTILINE | re.DOTALL)
    assert table is not None
    rows = re.findall(r"^\| ([\w-]+) \| (\d+) \|", table.group(), re.MULTILINE)
    assert {name: int(count) for name, count in rows} == Counter(sample[heading] for sample in samples)


def test_there_are_three_malformed_events(malformed: list[str]) -> None:
    assert len(malformed) == 3


def test_the_first_malformed_event_is_cut_off(malformed: list[str]) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(malformed[0])


def test_the_second_malformed_event_lacks_an_answer(malformed: list[str]) -> None:
    assert json.loads(malformed[1]).keys() == {"id", "prompt", "response_a"}


def test_the_third_malformed_event_has_a_number_for_an_answer(malformed: list[str]) -> None:
    assert isinstance(json.loads(malformed[2])["response_b"], int)
