"""Encoding battles: the template's structure, the budget, the receipt, and the symmetries."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import Battle
from prefstream.scoring.encoding import encode as encode_module
from prefstream.scoring.encoding.encode import Encoder, Encoding
from prefstream.scoring.encoding.template import Kind, Template, template_for
from prefstream.scoring.encoding.tokenise import TextTokenizer
from prefstream.scoring.encoding.truncate import Shares, kept_ends
from prefstream.scoring.errors import ConfigError
from tests.support import tiny_tokenizers as tiny

FAMILIES = {
    "gemma": ("gemma2", tiny.gemma),
    "llama3": ("llama", tiny.llama3),
    "chatml": ("llama", tiny.chatml),
}
KINDS: tuple[Kind, ...] = ("pairwise", "pointwise")
ROOMY = 100_000
"""A max_length that nothing in these tests reaches."""

TEXT = st.lists(
    st.sampled_from([*tiny.SPECIAL_TEXTS, *tiny.SENTENCES, "Response B:\n", "\n\n", " " * 50, "…"])
    | st.text(max_size=20),
    max_size=8,
).map("".join)
ROUNDS = st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=5)
ROOM = st.integers(min_value=1, max_value=200)
"""Tokens of max_length beyond the template's own."""


def battle_of(rounds: Sequence[tuple[str, str, str]]) -> Battle:
    prompt, response_a, response_b = zip(*rounds, strict=True)
    return Battle(id="b", prompt=prompt, response_a=response_a, response_b=response_b)


BATTLE = ROUNDS.map(battle_of)


@dataclass(frozen=True)
class Layout:
    """Reads a sequence back by the template alone, independently of how it was written."""

    template: Template
    text: TextTokenizer

    def ids(self, text: str) -> list[int]:
        pieces = self.template.split(text)
        specials = self.template.specials
        return [
            token
            for piece in pieces
            for token in ([self.text.marker(piece)] if piece in specials else self.text.encode([piece])[0])
        ]

    def rounds_of(self, sequence: Sequence[int]) -> list[list[list[int]]]:
        """The turns of every round. Fails unless special tokens stand exactly where the template has them."""
        left = self._without(list(sequence), self.template.opening)
        *before_turns, after = self.template.around_slots()
        closing = self.ids(self.template.closing)
        rounds = []
        while left != closing:
            turns = []
            for before in before_turns:
                left = self._without(left, before)
                end = next(place for place, token in enumerate(left) if token in self.text.controls)
                turns.append(left[:end])
                left = left[end:]
            left = self._without(left, after)
            rounds.append(turns)
        return rounds

    def _without(self, left: list[int], start: str) -> list[int]:
        expected = self.ids(start)
        assert left[: len(expected)] == expected
        return left[len(expected) :]


@cache
def layout(family: str, kind: Kind) -> Layout:
    model_type, tokenizer = FAMILIES[family]
    template = template_for(model_type, kind, tokenizer())
    return Layout(template, TextTokenizer(tokenizer(), template.specials))


@cache
def encoder(family: str, kind: Kind, room: int = ROOMY) -> Encoder:
    """An encoder whose max_length leaves `room` tokens beside the template of one round."""
    tokenizer = FAMILIES[family][1]()
    template = layout(family, kind).template
    overhead = Encoder(tokenizer, template, max_length=ROOMY).template_tokens
    return Encoder(tokenizer, template, max_length=overhead + room)


def encode_one(battle: Battle, family: str, kind: Kind, room: int = ROOMY) -> Encoding:
    (encoding,) = encoder(family, kind, room).encode([battle])
    return encoding


def dropped(encoding: Encoding) -> tuple[int, int, int]:
    receipt = encoding.truncation
    return receipt.dropped_prompt, receipt.dropped_response_a, receipt.dropped_response_b


@pytest.mark.parametrize("family", FAMILIES)
@given(battle=BATTLE)
def test_with_room_every_token_of_every_turn_is_there(family: str, battle: Battle) -> None:
    reader = layout(family, "pairwise")
    encoding = encode_one(battle, family, "pairwise")
    turns = zip(battle.prompt, battle.response_a, battle.response_b, strict=True)
    assert reader.rounds_of(encoding.sequences[0]) == [reader.text.encode(texts) for texts in turns]
    assert dropped(encoding) == (0, 0, 0)
    assert encoding.truncation.dropped_rounds == 0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@given(battle=BATTLE, room=ROOM)
def test_no_user_text_moves_a_boundary(family: str, kind: Kind, battle: Battle, room: int) -> None:
    """The reader fails on any special token that is not the template's, in number or place."""
    encoding = encode_one(battle, family, kind, room)
    for sequence in encoding.sequences:
        rounds = layout(family, kind).rounds_of(sequence)
        assert 1 <= len(rounds) <= len(battle.prompt)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@given(battle=BATTLE, room=ROOM)
def test_no_sequence_exceeds_max_length(family: str, kind: Kind, battle: Battle, room: int) -> None:
    encoding = encode_one(battle, family, kind, room)
    assert encoding.longest <= encoder(family, kind, room).max_length
    assert encoding.longest == max(len(sequence) for sequence in encoding.sequences)
    assert encoding.tokens == sum(len(sequence) for sequence in encoding.sequences)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@given(battle=BATTLE, room=ROOM)
def test_the_last_token_is_the_templates_and_never_pad(family: str, kind: Kind, battle: Battle, room: int) -> None:
    judge = encoder(family, kind, room)
    assert judge.last_token != FAMILIES[family][1]().pad_token_id
    assert {sequence[-1] for sequence in judge.encode([battle])[0].sequences} == {judge.last_token}


@pytest.mark.parametrize("family", FAMILIES)
@given(battle=BATTLE, room=ROOM)
def test_the_receipt_of_a_pairwise_judge_counts_every_token(family: str, battle: Battle, room: int) -> None:
    reader = layout(family, "pairwise")
    encoding = encode_one(battle, family, "pairwise", room)
    rounds = reader.rounds_of(encoding.sequences[0])
    assert encoding.truncation.dropped_rounds == len(battle.prompt) - len(rounds)
    mark = reader.ids(reader.template.cut)
    chars = sum(map(len, (*battle.prompt, *battle.response_a, *battle.response_b)))
    beyond_reach = chars > encoder(family, "pairwise", room).max_length * encode_module.READ_CHARS_PER_TOKEN
    for slot, texts in enumerate((battle.prompt, battle.response_a, battle.response_b)):
        full = reader.text.encode(texts)
        last, kept = full[-1], rounds[-1][slot]
        head, tail, marked = kept_ends(len(last), len(kept), len(mark))
        assert kept == last[:head] + (mark if marked else []) + last[len(last) - tail :]
        assert [turns[slot] for turns in rounds[:-1]] == full[len(full) - len(rounds) : -1]
        older = sum(map(len, full[: len(full) - len(rounds)]))
        assert dropped(encoding)[slot] == older + len(last) - head - tail or beyond_reach


@pytest.mark.parametrize("family", FAMILIES)
@given(battle=BATTLE, room=ROOM)
def test_a_round_is_left_out_only_when_it_does_not_fit(family: str, battle: Battle, room: int) -> None:
    judge = encoder(family, "pairwise", room)
    kept = len(battle.prompt) - encode_one(battle, family, "pairwise", room).truncation.dropped_rounds
    for count in range(1, len(battle.prompt) + 1):
        newest = Battle(
            id="b",
            prompt=battle.prompt[-count:],
            response_a=battle.response_a[-count:],
            response_b=battle.response_b[-count:],
        )
        fits = encode_one(newest, family, "pairwise").tokens <= judge.max_length
        assert fits == (count <= kept) or count == 1


@pytest.mark.parametrize("family", FAMILIES)
@given(battle=BATTLE, room=ROOM)
def test_swapping_sides_swaps_the_cuts(family: str, battle: Battle, room: int) -> None:
    reader = layout(family, "pairwise")
    given_, swapped = (encode_one(one, family, "pairwise", room) for one in (battle, battle.swap()))
    assert reader.rounds_of(swapped.sequences[0]) == [
        [prompt, response_b, response_a] for prompt, response_a, response_b in reader.rounds_of(given_.sequences[0])
    ]
    prompt, response_a, response_b = dropped(given_)
    assert dropped(swapped) == (prompt, response_b, response_a)
    assert given_.truncation.dropped_rounds == swapped.truncation.dropped_rounds


@pytest.mark.parametrize("family", FAMILIES)
@given(battle=BATTLE, room=ROOM)
def test_swapping_sides_swaps_the_sequences_of_a_pointwise_judge(family: str, battle: Battle, room: int) -> None:
    given_, swapped = (encode_one(one, family, "pointwise", room) for one in (battle, battle.swap()))
    assert swapped.sequences == given_.sequences[::-1]
    assert dropped(swapped) == tuple(dropped(given_)[slot] for slot in (0, 2, 1))


@pytest.mark.parametrize("family", FAMILIES)
@given(rounds=st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), min_size=1, max_size=4), room=ROOM)
def test_a_pointwise_sequence_knows_nothing_of_the_other_answer(
    family: str, rounds: list[tuple[str, str, str, str]], room: int
) -> None:
    one = encode_one(battle_of([(prompt, a, b) for prompt, a, b, _ in rounds]), family, "pointwise", room)
    other = encode_one(battle_of([(prompt, a, c) for prompt, a, _, c in rounds]), family, "pointwise", room)
    assert one.sequences[0] == other.sequences[0]
    assert one.truncation.dropped_response_a == other.truncation.dropped_response_a


@given(battles=st.lists(BATTLE, min_size=1, max_size=4), room=ROOM)
def test_an_encoding_does_not_depend_on_its_batch(battles: list[Battle], room: int) -> None:
    judge = encoder("chatml", "pairwise", room)
    assert judge.encode(battles) == [judge.encode([battle])[0] for battle in battles]


def test_a_pointwise_receipt_states_the_larger_loss_of_the_prompt() -> None:
    """Beside a short answer more of the prompt stays than beside a long one."""
    prompt, short, long = "two " * 60, "four", "four " * 100
    beside_short, beside_long, both = (
        dropped(encode_one(battle_of([(prompt, *answers)]), "chatml", "pointwise", 50))[0]
        for answers in ((short, short), (long, long), (short, long))
    )
    assert beside_short < beside_long == both


@pytest.mark.parametrize("kind", KINDS)
def test_empty_turns_are_the_template_alone(kind: Kind) -> None:
    encoding = encode_one(battle_of([("", "", "")]), "gemma", kind)
    assert {len(sequence) for sequence in encoding.sequences} == {encoder("gemma", kind).template_tokens}
    assert dropped(encoding) == (0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_rounds_keep_the_newest(kind: Kind) -> None:
    battle = battle_of([("two", f"{index}", "four") for index in range(1000)])
    encoding = encode_one(battle, "llama3", kind, 200)
    rounds = layout("llama3", kind).rounds_of(encoding.sequences[0])
    assert len(rounds) == 1000 - encoding.truncation.dropped_rounds
    assert rounds[-1][1] == layout("llama3", kind).text.encode(["999"])[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["x" * 100_000, " " * 100_000, "🦄" * 100_000, "<|im_end|>" * 10_000, "\n" * 100_000])
def test_a_hundred_thousand_characters_are_cut_to_measure(kind: Kind, text: str) -> None:
    encoding = encode_one(battle_of([("two", text, "four")]), "chatml", kind, 100)
    (_, answer, *_rest), *_ = layout("chatml", kind).rounds_of(encoding.sequences[0])
    assert 0 < len(answer) < 100
    assert dropped(encoding)[1] > 0
    assert dropped(encoding)[::2] == (0, 0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_ends_of_a_giant_are_read_and_nothing_else_changes(
    family: str, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = "The better answer is short, right and kind; "
    battle = battle_of([("two", "four", "long")] * 3 + [(sentence * 2000, sentence * 1000, "four" + sentence * 999)])
    max_length = 150
    estimated = Encoder(FAMILIES[family][1](), layout(family, kind).template, max_length=max_length).encode([battle])[0]
    monkeypatch.setattr(encode_module, "READ_CHARS_PER_TOKEN", ROOMY)
    exact = Encoder(FAMILIES[family][1](), layout(family, kind).template, max_length=max_length).encode([battle])[0]
    assert estimated.sequences == exact.sequences
    assert estimated.truncation.dropped_rounds == exact.truncation.dropped_rounds == 3
    assert dropped(estimated) == pytest.approx(dropped(exact), rel=0.01)


def test_rounds_beyond_reach_count_at_the_usual_rate() -> None:
    """Nothing of these prompts was read, so their tokens are estimated from characters."""
    battle = battle_of([("x" * 400, "", "")] * 100 + [("", "four" * 10_000, "")])
    assert dropped(encode_one(battle, "chatml", "pairwise", 50))[0] == 100 * 400 // 4


def test_shares_decide_what_stays() -> None:
    tokenizer, template = tiny.chatml(), layout("chatml", "pairwise").template
    battle = battle_of([("two " * 500,) * 3])
    rounds = [
        layout("chatml", "pairwise").rounds_of(
            Encoder(tokenizer, template, max_length=324, shares=shares).encode([battle])[0].sequences[0]
        )[0]
        for shares in (Shares(1, 1), Shares(1, 2), Shares(8, 1))
    ]
    lengths = [[len(turn) for turn in turns] for turns in rounds]
    overhead = Encoder(tokenizer, template, max_length=324).template_tokens
    room = 324 - overhead
    for (prompt, *responses), share in zip(lengths, (1 / 3, 1 / 5, 8 / 10), strict=True):
        assert prompt == pytest.approx(room * share, abs=2)
        assert responses[0] == responses[1]


def test_threads_may_share_an_encoder() -> None:
    judge = encoder("gemma", "pointwise", 50)
    battles = [battle_of([(sentence, sentence * 3, "four")]) for sentence in tiny.SENTENCES]
    expected = judge.encode(battles)
    with ThreadPoolExecutor(8) as pool:
        assert all(result == expected for result in pool.map(lambda _: judge.encode(battles), range(32)))


def test_the_family_without_turn_tokens_encodes_too() -> None:
    tokenizer = tiny.plain()
    judge = Encoder(tokenizer, template_for("mistral", "pairwise", tokenizer), max_length=200)
    (encoding,) = judge.encode([battle_of([("two", "four", "<pad>" * 3)])])
    expected = "user:\ntwo\n\nresponse A:\nfour\n\nresponse B:\n<pad><pad><pad>\n\nassistant:\nBetter response:"
    assert tokenizer.decode(encoding.sequences[0]) == expected
    assert tokenizer.pad_token_id not in encoding.sequences[0]


@pytest.mark.parametrize(("kind", "text"), [("pairwise", "Better response:"), ("pointwise", "user\n")])
def test_a_sequence_ends_with_the_cue(kind: Kind, text: str) -> None:
    sequence = encode_one(battle_of([("two", "four", "five")]), "chatml", kind).sequences[0]
    assert tiny.chatml().decode(sequence).endswith(text)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_max_length_without_room_for_text_is_refused_with_the_number_needed(family: str, kind: Kind) -> None:
    needed = encoder(family, kind).template_tokens
    with pytest.raises(ConfigError, match=f"takes {needed} tokens"):
        Encoder(FAMILIES[family][1](), layout(family, kind).template, max_length=needed)


def test_a_pad_token_that_pooling_would_take_for_the_end_is_refused() -> None:
    tokenizer = tiny.chatml()
    template = replace(
        layout("chatml", "pointwise").template, closing=tokenizer.pad_token, specials=tokenizer.all_special_tokens
    )
    with pytest.raises(ConfigError, match="pad token of its own"):
        Encoder(tokenizer, template, max_length=100)


def test_a_pad_token_among_the_words_of_a_template_does_not_end_it() -> None:
    tokenizer: Any = tiny.words.__wrapped__()
    tokenizer.pad_token = ":"  # noqa: S105 - no password
    judge = Encoder(tokenizer, template_for("gemma2", "pairwise", tokenizer), max_length=100)
    assert judge.last_token == tokenizer.convert_tokens_to_ids("response")


def test_a_tokenizer_that_cannot_write_the_template_is_refused() -> None:
    template = Template(
        family="x", kind="pointwise", opening="", each_round="user{prompt} \n {answer}", closing="Better", specials=()
    )
    with pytest.raises(ConfigError, match="no tokens for the words"):
        Encoder(tiny.words(), template, max_length=100)


@pytest.mark.parametrize("kind", KINDS)
def test_identity_is_masked_in_responses_and_never_in_prompts(kind: Kind) -> None:
    tokenizer = tiny.chatml()
    template = layout("chatml", kind).template
    masking = Encoder(tokenizer, template, max_length=ROOMY, mask_identity=True)
    claim, neutral = "I am ChatGPT, made by OpenAI.", "I am an AI assistant, made by its developer."
    with_claims = battle_of([(claim, claim, "two"), ("four", "five", claim)])
    expected = encode_one(battle_of([(claim, neutral, "two"), ("four", "five", neutral)]), "chatml", kind)
    assert masking.encode([with_claims]) == [expected]
    assert encode_one(with_claims, "chatml", kind) != expected


@given(BATTLE, st.sampled_from([3, 20, 200]))
def test_a_single_answer_is_the_sequence_that_it_is_in_a_battle(battle: Battle, room: int) -> None:
    judge = encoder("gemma", "pointwise", room)
    answers = [(battle.prompt, battle.response_a), (battle.prompt, battle.response_b)]
    assert tuple(judge.encode_answers(answers)) == judge.encode([battle])[0].sequences
