"""Style of responses: what is counted, where, and that no text makes it slow."""

import re
from re import _parser as sre_parser  # type: ignore[attr-defined]

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import Battle, Style, StyleCounts
from prefstream.scoring import style
from prefstream.scoring.style import STYLE_CONTROLS, STYLE_FEATURES, count_style, style_differences, style_of

PATTERNS = {name: value for name, value in vars(style).items() if isinstance(value, re.Pattern)}

MARKED = st.text(alphabet=st.sampled_from("`~*_#-+|:[]() \t\n\r1٣.ahx/\u2028é😀"), max_size=80)
PIECES = st.lists(
    st.sampled_from(
        [
            "\n",
            "\n\n",
            "  ",
            "# h",
            "- i",
            "12. i",
            "```",
            "~~~~",
            "````",
            "**b**",
            "__b__",
            "|a|b|",
            "|-|:-:|",
            "x",
            "`",
            "~",
            "٣",
        ]
    )
).map("".join)
TURNS = st.lists(MARKED | PIECES | st.text(max_size=30), min_size=1, max_size=4).map(tuple)


def counts(**expected: int) -> dict[str, int]:
    return expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", counts()),
        ("plain", counts(characters=5, lines=1)),
        ("a\n\n \t\nb\n", counts(lines=2)),
        ("a\r\n\r\nb", counts(lines=2)),
        ("# one\n###### six\n####### seven\n#no\n # indented\n#", counts(headings=3)),
        ("- a\n* b\n+ c\n  - d\n1. e\n 23. f\n1.g\n-h\n---\n-\n", counts(list_items=7)),
        ("**a** and __b c__, **\nnot** ****, **d", counts(bold=4)),
        ("```\n# no\n- no\n**no**\n```\n# yes", counts(code_blocks=1, headings=1, list_items=0, bold=0)),
        ("```python\nx = `a`\n# no", counts(code_blocks=1, headings=0)),
        ("1. a\n    ```sh\n    - no\n    ```\n- b", counts(code_blocks=1, list_items=2)),
        ("````\n```\n# no\n```\n````\n# yes", counts(code_blocks=1, headings=1)),
        ("~~~\n```\n~~~\n# yes", counts(code_blocks=1, headings=1)),
        ("```\na\n```~\n# no", counts(code_blocks=1, headings=0)),
        ("```not a `fence` ```\n# yes", counts(code_blocks=0, headings=1)),
        ("~~~ a `tick` is fine\n# no\n~~~", counts(code_blocks=1, headings=0)),
        ("text ``` within\n# yes", counts(code_blocks=0, headings=1)),
        ("|a|b|\n|-|-|\n|1|2|", counts(tables=1)),
        ("a | b\n:-- | --:\n1 | 2\n\nc|d\r\n-|-\r\n", counts(tables=2)),
        ("a | b\n---\n|-|\n|--", counts(tables=1)),
        ("no bar\n|-|-|", counts(tables=0)),
        ("a|b\n|||\n", counts(tables=0)),
        ("[t](u) ![i](p.png) https://a.org (http://b.org)", counts(links=4)),
        ("[https://a.org](https://a.org) <https://b.org>", counts(links=2)),
        ("[t]() [t] (u) ftp://x", counts(links=0)),
        ("1 22 ٣४ ½²", counts(digits=5)),
        ("🙂é\u2028x", counts(characters=4, lines=1)),
    ],
)
def test_it_counts(text: str, expected: dict[str, int]) -> None:
    counted = count_style((text,))
    assert {name: getattr(counted, name) for name in expected} == expected


def test_all_turns_are_counted_and_each_begins_outside_of_code() -> None:
    first, second = "# one\n```\n# code", "# two **b**\n- i"
    assert count_style((first, second)) == StyleCounts(
        characters=len(first) + len(second),
        lines=5,
        headings=2,
        list_items=1,
        bold=1,
        code_blocks=1,
        tables=0,
        links=0,
        digits=0,
    )


def test_features_are_those_of_the_contract_and_controls_are_lmarenas() -> None:
    names = "characters lines headings list_items bold code_blocks tables links digits"
    assert " ".join(STYLE_FEATURES) == names
    assert STYLE_CONTROLS == ("characters", "headings", "list_items", "bold")
    assert set(STYLE_CONTROLS) <= set(STYLE_FEATURES)


@given(a=TURNS, b=TURNS)
def test_of_the_exchanged_battle_it_is_the_same_exchanged(a: tuple[str, ...], b: tuple[str, ...]) -> None:
    turns = max(len(a), len(b))
    a, b = a + ("",) * (turns - len(a)), b + ("",) * (turns - len(b))
    battle = Battle(id="1", prompt=("p",) * turns, response_a=a, response_b=b)
    given, exchanged = style_of(battle), style_of(battle.swap())
    assert exchanged == Style(a=given.b, b=given.a)
    differences = style_differences(given)
    assert style_differences(exchanged) == tuple(-one for one in differences)
    assert all(-1.0 <= one <= 1.0 for one in differences)


def test_differences_are_relative_to_both_together() -> None:
    one = count_style(("# h\n- i\n- j",))
    other = count_style(("- i",))
    assert style_differences(Style(a=one, b=other)) == (8 / 14, 1.0, 1 / 3, 0.0)


def read_line_by_line(turns: tuple[str, ...]) -> dict[str, int]:
    """The same counts by a program that reads one line after the other, as a person would."""
    found = dict.fromkeys(("headings", "list_items", "code_blocks", "lines"), 0)
    for turn in turns:
        fence = ""
        for line in turn.split("\n"):
            found["lines"] += bool(line.strip())
            stripped = line.lstrip()
            mark = stripped[:1]
            width = len(stripped) - len(stripped.lstrip(mark)) if mark and mark in "`~" else 0
            rest = stripped[width:]
            if fence:
                if mark == fence[0] and width >= len(fence) and not rest.strip():
                    fence = ""
                continue
            if width >= 3 and (mark == "~" or "`" not in rest):
                fence = mark * width
                found["code_blocks"] += 1
                continue
            hashes = len(line) - len(line.lstrip("#"))
            found["headings"] += 1 <= hashes <= 6 and (line[hashes:] + "\n")[:1].isspace()
            digits = len(stripped) - len(stripped.lstrip("1٣2")) if mark and mark in "12٣" else 0
            behind = stripped[1:] if mark and mark in "-*+" else stripped[digits + 1 :]
            opens = bool(mark) and (mark in "-*+" or (digits > 0 and stripped[digits : digits + 1] == "."))
            found["list_items"] += opens and (behind + "\n")[:1].isspace()
    return found


@given(turns=st.lists(MARKED | PIECES, min_size=1, max_size=3).map(tuple))
def test_it_counts_what_is_read_line_by_line(turns: tuple[str, ...]) -> None:
    counted = count_style(turns)
    expected = read_line_by_line(turns)
    assert {name: getattr(counted, name) for name in expected} == expected


@given(turns=TURNS)
def test_no_count_is_larger_than_the_text(turns: tuple[str, ...]) -> None:
    counted = count_style(turns)
    characters = sum(map(len, turns))
    assert counted.characters == characters
    assert all(0 <= getattr(counted, name) <= characters for name in STYLE_FEATURES)


def repetitions(tree: object) -> list[tuple[str, int]]:
    """Every repetition in a parsed pattern: its kind and how often it may repeat."""
    found: list[tuple[str, int]] = []
    if isinstance(tree, sre_parser.SubPattern | list | tuple):
        entries = list(tree)
        if len(entries) == 2 and str(entries[0]) in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            found.append((str(entries[0]), int(entries[1][1])))
        for entry in entries:
            found += repetitions(entry)
    return found


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_takes_back_what_it_took(name: str) -> None:
    assert all(
        kind == "POSSESSIVE_REPEAT" or most <= 1 for kind, most in repetitions(sre_parser.parse(PATTERNS[name].pattern))
    )


HOSTILE = {
    **{
        repr(piece): piece
        for piece in ("\n", "\n ", " ", "\t ", "*", "**a", "**a*", "_", "__a_", "`", "~", "#", "#\n", "1")
    },
    **{
        repr(piece): piece
        for piece in ("-\n", "1.\n", "1\n", "```\n", "\n```a`", "~~~a\n", "|", "|\n", "|-|\n", "|-", "-")
    },
    **{
        repr(piece): piece
        for piece in ("](", "](a", "http://", "https://a](", "h", "]", "[a](https://", "\r", "\r\n", "٣ ")
    },
}
"""Texts that make a pattern which begins anywhere, or gives back what it took, take the square of their length."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_counted_in_time_that_grows_with_its_length(name: str) -> None:
    """A second at most; what took the square of these lengths would take hours, and the test's time-out ends it."""
    piece = HOSTILE[name]
    text = piece * (1_000_000 // len(piece))
    for hostile in (text, "\n" + text + "x", "```" + text, "|" + text + "\n|-x"):
        assert count_style((hostile,)).characters == len(hostile)


@pytest.mark.parametrize("widths", [range(3, 1_400), range(1_400, 3, -1)], ids=["growing", "falling"])
def test_fences_of_every_width_are_counted_in_linear_time(widths: range) -> None:
    counted = count_style(("".join("\n" + "`" * width for width in widths),))
    assert counted.code_blocks == (len(widths) + 1) // 2 if widths.step > 0 else 1
