"""The style of responses: the one list of what is counted of a text, and of how two responses differ in it.

Headings, list items and bold are counted as LMArena's style control counts them (Li et al. 2024, "Does style matter?";
`add_markdown_info.py` in lm-sys/FastChat): over all turns, outside of code blocks. Two things differ. A code block is
here what Markdown takes for one, a fence of three or more backticks or tildes that stands on a line of its own to the
next such line, or to the end of its turn; there it is text without a backtick between two times three of them, so
that code which holds a backtick is counted as prose. And length is characters, where LMArena counts the tokens of one
model's tokenizer.

Every pattern begins with a literal, or at a line's begin, and gives back nothing of what it took (possessive
repetition): time grows with the text's length, whatever stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from prefstream.schemas import Battle, Style, StyleCounts

STYLE_FEATURES: Final[tuple[str, ...]] = tuple(StyleCounts.model_fields)
"""Names of all that is counted, in the order of the contract: characters, lines, headings and so on."""

STYLE_CONTROLS: Final[tuple[str, ...]] = ("characters", "headings", "list_items", "bold")
"""Features that style control takes out: LMArena's length, headers, lists and bold."""

# Texts stand between two line breaks here, so that every line has one before it and one behind it.
_HEADING = re.compile(r"\n#{1,6}+(?=\s)")
_LIST_ITEM = re.compile(r"\n[^\S\n]*+(?:[-*+]|\d++\.)(?=\s)")
_BOLD_STARS = re.compile(r"\*\*[^*\n]++\*\*")
_BOLD_BARS = re.compile(r"__[^_\n]++__")
# A fence, lines that are none to close it, and the one that does, or the text's end.
_CODE_BLOCK = re.compile(
    r"\n[^\S\n]*+(?P<fence>(?P<mark>[`~])(?P=mark){2,}+)(?:(?<=~)|(?=[^`\n]*+(?:\n|\Z)))[^\n]*+"
    r"(?:\n(?![^\S\n]*+(?P=fence)(?P=mark)*+[^\S\n]*+(?:\n|\Z))[^\n]*+)*+"
    r"(?:\n[^\n]*+)?+"
)
# A line with a bar, and a line of dashes, bars and colons under it: the heads of a table's columns, and their rule.
_TABLE = re.compile(r"\n[^\n|]*+\|[^\n]*+\n[^\S\n]*+(?:\|[|: \t]*+-|:?-[:\- \t]*+\|)[|:\- \t]*+(?=\r?(?:\n|\Z))")
# An address whose text is itself an address, `[https://a](https://a)`, is one link.
_LINK = re.compile(r"\]\([^\s)]|https?://[^\s)\]>]++(?:\]\([^\s)])?")
_NUMBER = re.compile(r"\d++")
_ASCII_DIGITS: Final = b"0123456789"


def count_style(turns: Sequence[str]) -> StyleCounts:
    """Count what one response looks like.

    Lines, digits and characters are those of the whole text; code blocks are those of each turn, and all else is
    counted outside of them.

    Args:
        turns: of the response.
    """
    return StyleCounts(**_counts(turns))


def style_of(battle: Battle) -> Style:
    """What both responses look like; of the exchanged battle the same, exchanged.

    Args:
        battle: of which only the responses are read.
    """
    # At once: building objects one by one costs as much as counting a short response.
    return Style.model_validate({"a": _counts(battle.response_a), "b": _counts(battle.response_b)})


def style_differences(style: Style, names: Sequence[str] = STYLE_CONTROLS) -> tuple[float, ...]:
    """How much more A has than B of each: (a - b) / (a + b), and 0 where neither has any.

    LMArena's covariates before they are standardised. Of the exchanged battle the same with other signs.

    Args:
        style: of a battle.
        names: what is compared, of `STYLE_FEATURES`.

    Returns:
        One per name, each from -1 to 1.
    """
    pairs = ((getattr(style.a, name), getattr(style.b, name)) for name in names)
    return tuple((a - b) / (a + b) if a + b else 0.0 for a, b in pairs)


def _counts(turns: Sequence[str]) -> dict[str, int]:
    """By name; what can be told to be absent by a look for a few characters is not searched for.

    A single one is looked for first, which takes a thirtieth of the time that two or three of them do.
    """
    text = "\n" + "\n".join(turns) + "\n"
    fenced = ("`" in text and "```" in text) or ("~" in text and "~~~" in text)
    blocks, prose = _take_code_out(turns) if fenced else (0, text)
    linked = ("]" in prose and "](" in prose) or ("/" in prose and "://" in prose)
    return {
        "characters": sum(map(len, turns)),
        "lines": _count_lines(text),
        "headings": len(_HEADING.findall(prose)) if "#" in prose and "\n#" in prose else 0,
        "list_items": len(_LIST_ITEM.findall(prose)),
        "bold": _count_bold(prose),
        "code_blocks": blocks,
        "tables": len(_TABLE.findall(prose)) if "|" in prose else 0,
        "links": len(_LINK.findall(prose)) if linked else 0,
        "digits": _count_digits(text),
    }


def _take_code_out(turns: Iterable[str]) -> tuple[int, str]:
    """The number of code blocks, and the text without them and their fences."""
    taken = [_CODE_BLOCK.subn("", f"\n{turn}\n") for turn in turns]
    return sum(blocks for _, blocks in taken), "".join(prose for prose, _ in taken)


def _count_lines(text: str) -> int:
    """Lines that are not blank."""
    lines = list(filter(None, text.split("\n")))
    return len(lines) - sum(map(str.isspace, lines))


def _count_bold(prose: str) -> int:
    stars = len(_BOLD_STARS.findall(prose)) if "*" in prose and "**" in prose else 0
    return stars + (len(_BOLD_BARS.findall(prose)) if "_" in prose and "__" in prose else 0)


def _count_digits(text: str) -> int:
    if text.isascii():
        return len(text) - len(text.encode().translate(None, _ASCII_DIGITS))
    return sum(map(len, _NUMBER.findall(text)))
