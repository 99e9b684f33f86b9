"""Labelled battles become the very sequences that serving reads, each kept once, with what was said about them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from prefstream.schemas import OUTCOMES, Battle
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.encoding.template import Kind, template_for
from prefstream.scoring.files.labelled import Label, LabelledBattle
from prefstream.scoring.finetune.data.pairs import alike_and_decided, encode_pairs, keep_one_order
from prefstream.scoring.finetune.model import open_student
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.loading.judge import load_judge
from prefstream.scoring.loading.tokenizer import load_tokenizer
from tests.support.growth import CHUNK, bytes_per_row, long_battles
from tests.support.labelled_pairs import make_recipe
from tests.support.models import Family, tiny_tokenizer
from tests.unit.scoring.finetune.conftest import MakeBase

LONG = "The quick brown fox jumps over the lazy dog. " * 30


def labelled(
    *responses: str | tuple[str, ...],
    prompt: str | tuple[str, ...] = "Which?",
    label: Label | None = None,
    tier: str | None = None,
) -> LabelledBattle:
    """A battle of two responses, each one or several turns."""
    turns = [(one,) if isinstance(one, str) else one for one in (prompt, *responses)]
    battle = Battle(id="b", prompt=turns[0], response_a=turns[1], response_b=turns[2])
    return LabelledBattle(battle, label or Label("model_a", (1.0, 0.0, 0.0)), 1, None, tier)


BATTLES = [
    labelled("This.", "That, of course."),
    labelled("That, of course.", "Neither."),
    labelled(LONG, "Short.", prompt="Why? " * 200),
    labelled(("one", LONG), (LONG, "two"), prompt=("First?", "And then?")),
    labelled("", "今何時ですか。"),
    labelled("As Gemma, a model by Google, I like it.", "I'm ChatGPT, trained by OpenAI."),
]


@pytest.fixture(scope="module")
def pointwise() -> Encoder:
    return encoder("gemma2", "pointwise")


@pytest.fixture(scope="module")
def pairwise() -> Encoder:
    return encoder("llama", "pairwise")


def encoder(family: Family, kind: Kind) -> Encoder:
    tokenizer = tiny_tokenizer(family)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = "<|finetune_right_pad_id|>"  # noqa: S105 - a token of text
    return Encoder(tokenizer, template_for(family, kind, tokenizer), max_length=96)


# The encoding is serving's.


@pytest.mark.parametrize("mask_identity", [False, True])
@pytest.mark.parametrize("family", ["gemma2", "llama"])
@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
def test_training_reads_what_a_served_judge_reads(
    base: MakeBase, family: Family, kind: Kind, mask_identity: bool
) -> None:
    """Both sequences of every pair are, id by id, those that a loaded judge would put through its model."""
    folder = base(family)
    recipe = make_recipe(folder, kind=kind, data={"mask_identity": mask_identity})
    student = open_student(recipe, say=lambda _line: None)
    assert student.encoder.mask_identity == mask_identity
    pairs = encode_pairs(BATTLES, student.encoder)

    tokenizer = load_tokenizer(folder, student.base.config)
    serving = Encoder(
        tokenizer,
        template_for(family, kind, tokenizer),
        max_length=recipe.max_length,
        mask_identity=mask_identity,
    )
    for number, one in enumerate(BATTLES):
        [given], [swapped] = serving.encode([one.battle]), serving.encode([one.battle.swap()])
        first = tuple(pairs.sequences[pairs.first[number]].tolist())
        second = tuple(pairs.sequences[pairs.second[number]].tolist())
        if kind == "pointwise":
            assert (first, second) == given.sequences
            assert (second, first) == swapped.sequences
        else:
            assert ((first,), (second,)) == (given.sequences, swapped.sequences)


def test_a_judge_loaded_from_the_panel_file_has_the_same_encoder(base: MakeBase) -> None:
    """Nothing that `load_judge` sets differs: shares, length, template, special tokens."""
    folder = base("gemma2")
    student = open_student(make_recipe(folder), say=lambda _line: None)
    config = ModelJudgeConfig(
        name="served", kind="pointwise", base=str(folder), allow_untrained=True, device="cpu", max_length=96
    )
    judge = load_judge(config, place_judges([config])["served"])
    pairs = encode_pairs(BATTLES, student.encoder)
    batch = judge.encode([one.battle for one in BATTLES])
    judge.close()
    for number, encoding in enumerate(batch.encodings):
        ends = (pairs.first[number], pairs.second[number])
        assert encoding.sequences == tuple(tuple(pairs.sequences[end].tolist()) for end in ends)


# Columns.


def test_an_answer_that_several_pairs_share_is_kept_once(pointwise: Encoder) -> None:
    pairs = encode_pairs(BATTLES[:2], pointwise)
    assert len(pairs.sequences) == 3
    assert pairs.second[0] == pairs.first[1]


def test_the_same_answer_to_another_prompt_is_another_sequence(pointwise: Encoder) -> None:
    pairs = encode_pairs([labelled("a", "b"), labelled("a", "b", prompt="What?")], pointwise)
    assert len(pairs.sequences) == 4
    assert pairs.prompts.tolist() == [0, 1]


def test_pairs_on_one_prompt_have_one_number(pointwise: Encoder) -> None:
    pairs = encode_pairs([labelled("a", "b"), labelled("c", "d", prompt="What?"), labelled("e", "a")], pointwise)
    assert pairs.prompts.tolist() == [0, 1, 0]


def test_columns_say_what_the_rows_said(pairwise: Encoder) -> None:
    label = Label("tie", (0.25, 0.25, 0.5), weight=0.5)
    no_ties = Label("model_b", (0.0, 1.0, 0.0), ties_possible=False)
    rows = [labelled("short", "longer", label=label, tier="core"), labelled("much longer", "x", label=no_ties)]
    pairs = encode_pairs(rows, pairwise)
    assert pairs.targets.tolist() == [[0.25, 0.25, 0.5], [0.0, 1.0, 0.0]]
    assert [OUTCOMES[outcome] for outcome in pairs.outcomes] == ["tie", "model_b"]
    assert pairs.weights.tolist() == [0.5, 1.0]
    assert pairs.ties_possible.tolist() == [True, False]
    assert pairs.characters.tolist() == [[5, 6], [11, 1]]
    assert pairs.longer.tolist() == [-1, 1]
    assert pairs.length_ratio.tolist() == [1.2, 11.0]
    assert pairs.tiers.tolist() == ["core", ""]
    assert pairs.sources.tolist() == ["", ""]


def test_an_empty_answer_is_infinitely_shorter_and_of_two_neither_is(pairwise: Encoder) -> None:
    pairs = encode_pairs([labelled("", "x"), labelled("", "")], pairwise)
    assert pairs.length_ratio.tolist() == [math.inf, 1.0]


def test_without_soft_labels_everything_is_on_the_outcome(pairwise: Encoder) -> None:
    rows = [labelled("a", "b", label=Label("tie", (0.3, 0.3, 0.4))), labelled("c", "d")]
    assert encode_pairs(rows, pairwise, soft_labels=False).targets.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_nothing_makes_no_pairs(pointwise: Encoder) -> None:
    pairs = encode_pairs([], pointwise)
    assert len(pairs) == 0
    assert pairs.targets.shape == (0, 3)


def test_rows_are_read_as_a_stream(pointwise: Encoder) -> None:
    """A file is never held as a whole: encoding begins while rows still come."""
    handed_out = 0
    told: list[tuple[int, int]] = []

    def rows() -> Iterator[LabelledBattle]:
        nonlocal handed_out
        for _ in range(700):
            handed_out += 1
            yield BATTLES[0]

    pairs = encode_pairs(rows(), pointwise, on_progress=lambda done: told.append((done, handed_out)))
    assert len(pairs) == 700
    assert len(pairs.sequences) == 2
    assert told == [(256, 256), (512, 512), (700, 700)]


@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
def test_a_pair_adds_its_tokens_and_less_than_a_kilobyte(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefstream.scoring.finetune.data.pairs._CHUNK_BATTLES", CHUNK)
    reads = encoder("llama", kind)
    tokens = 2 * reads.max_length
    assert bytes_per_row(lambda count: encode_pairs(long_battles(count), reads)) < 4 * tokens + 1_000


# One order alone.


TIE = Label("tie", (0.0, 0.0, 1.0))
SPLIT = Label("tie", (0.4, 0.4, 0.2))
LEANING = Label("tie", (0.2, 0.3, 0.5))


@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
def test_decided_pairs_that_read_the_same_after_cutting_or_masking_are_found(kind: Kind) -> None:
    middle = [LONG + word + LONG for word in ("first", "second")]
    makers = ["I am Gemma, made by Google.", "I am ChatGPT, made by OpenAI."]
    battles = [
        labelled("same", "same"),
        labelled("same", "same", label=TIE),
        labelled("same", "same", label=SPLIT),
        labelled("same", "same", label=LEANING),
        labelled("one", "other"),
        labelled(*middle),
        labelled(*makers),
    ]
    tokenizer = tiny_tokenizer("gemma2")
    template = template_for("gemma2", kind, tokenizer)
    plain, masking = (Encoder(tokenizer, template, max_length=96, mask_identity=mask) for mask in (False, True))
    found = alike_and_decided(encode_pairs(battles, plain)).tolist()
    assert found == [True, False, False, True, False, True, False]
    assert alike_and_decided(encode_pairs(battles, masking)).tolist()[-1]


def test_one_order_is_kept_with_its_targets(pairwise: Encoder) -> None:
    rows = [
        labelled(f"a{number}", f"other {number}", label=Label("model_a", (0.75, 0.0, 0.25))) for number in range(40)
    ]
    pairs = encode_pairs(rows, pairwise)
    one = keep_one_order(pairs, seed=3)
    assert (one.first == one.second).all()
    swapped = one.first == pairs.second
    assert 5 < swapped.sum() < 35
    assert (one.first[~swapped] == pairs.first[~swapped]).all()
    np.testing.assert_array_equal(one.targets[swapped], [[0.0, 0.75, 0.25]] * swapped.sum())
    np.testing.assert_array_equal(one.targets[~swapped], pairs.targets[~swapped])
    # Lengths and outcomes still speak of the battle as given.
    np.testing.assert_array_equal(one.outcomes, pairs.outcomes)
    np.testing.assert_array_equal(one.characters, pairs.characters)


def test_the_order_kept_is_a_function_of_the_seed(pairwise: Encoder) -> None:
    pairs = encode_pairs([labelled(f"{n}", "b") for n in range(40)], pairwise)
    first, again, other = (keep_one_order(pairs, seed=seed).first.tolist() for seed in (1, 1, 2))
    assert first == again != other
