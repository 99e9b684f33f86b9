"""What is noticed of one answer beside its style: whether it refuses, is empty, breaks off, or is of another script.

Patterns give back nothing of what they took, so time grows with the text's length and with nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

_OPENING_CHARS: Final = 240
"""Of a turn: a refusal stands at its begin; further on, "I can't" belongs to a story."""

REFUSAL: Final = re.compile(
    r"\b(?:i(?:['’]m|\ am)\ (?:very\ |so\ |really\ |truly\ )?sorry\b"
    r"|sorry,\ (?:but\ )?i\b|i\ apologi[sz]e\b|my\ apologies\b"
    r"|as\ an\ (?:ai|artificial)\b|as\ a\ (?:large\ )?language\ model\b"
    r"|i(?:['’]m|\ am)\ (?:not\ able|unable|not\ allowed|not\ programmed|not\ comfortable)\b"
    r"|i\ (?:can(?:not|['’]t|\ not)|won['’]t|will\ not)\ (?:assist|help|fulfil+|provide|generate|create|write|answer|"
    r"comply|do|engage|support|discuss|give|share|access)\b)",
    re.IGNORECASE | re.VERBOSE,
)
"""How answers in English refuse; in other languages a refusal goes unnoticed."""

_ENDINGS: Final = frozenset(".!?…。！？।)]}>\"'”’»`*|~:")
"""What a finished text ends with."""

SCRIPTS: Final = {
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff",
    "arabic": "\u0600-\u06ff\u0750-\u077f",
    "hebrew": "\u0590-\u05ff",
    "indic": "\u0900-\u0dff",
    "thai": "\u0e00-\u0eff",
    "kana": "\u3040-\u30ff",
    "hangul": "\u1100-\u11ff\uac00-\ud7af",
    "han": "\u3400-\u4dbf\u4e00-\u9fff",
}
"""Ranges of letters by script. All other letters count as Latin, the script of ASCII."""

_RUNS: Final = {name: re.compile(f"[{letters}]++") for name, letters in SCRIPTS.items()}
_LETTER: Final = re.compile("[A-Za-z]")
_LETTERS: Final = re.compile(r"[^\W\d_]++")
_NUMBER: Final = re.compile(r"\d++")

Scripts: TypeAlias = dict[str, int]
"""Letters by script."""


def refused(turns: Sequence[str]) -> float:
    """Share of the turns that begin with a refusal, 0 to 1."""
    return sum(REFUSAL.search(turn, 0, _OPENING_CHARS) is not None for turn in turns) / len(turns)


def blank(turns: Sequence[str]) -> float:
    """Share of the turns without anything but blanks, 0 to 1."""
    return sum(not turn or turn.isspace() for turn in turns) / len(turns)


def unfinished(turns: Sequence[str]) -> float:
    """1 where the last turn ends as no finished text does; 0 for an empty one."""
    ending = turns[-1].rstrip()[-1:]
    return float(ending not in _ENDINGS) if ending else 0.0


def asks(turns: Sequence[str]) -> float:
    """1 where the last turn ends with a question."""
    return float(turns[-1].rstrip()[-1:] in {"?", "？"})


def numbers(text: str) -> frozenset[str]:
    """The numbers that stand in a text."""
    return frozenset(_NUMBER.findall(text))


def scripts(text: str) -> Scripts:
    """How many letters of each script there are; of a text without letters nothing, of one in ASCII no number."""
    if text.isascii():
        return {"latin": 1} if _LETTER.search(text) else {}
    found = {name: sum(map(len, run.findall(text))) for name, run in _RUNS.items()}
    found["latin"] = sum(map(len, _LETTERS.findall(text))) - sum(found.values())
    return {name: count for name, count in found.items() if count > 0}


def script_distance(one: Scripts, other: Scripts) -> float:
    """How differently two texts are written: total variation between the shares of their scripts, 0 to 1.

    0 where one has no letters, which says nothing of its language.
    """
    if one == other or not one or not other:
        return 0.0
    of_one, of_other = sum(one.values()), sum(other.values())
    names = sorted({*one, *other})
    return sum(abs(one.get(name, 0) / of_one - other.get(name, 0) / of_other) for name in names) / 2
