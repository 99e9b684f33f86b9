"""The list of what is measured of every battle, in the order of the features' columns."""

from __future__ import annotations

from typing import Final

from prefstream.scoring.style import STYLE_FEATURES

MARKS: Final = ("refusal", "blank turns", "unfinished", "question at the end", "other script than the prompt")
"""What `marks` notices of one answer, in this order."""

WORDING: Final = ("repetition", "word length", "prompt's words used", "words from the prompt")
"""What is counted of the words of one answer: shares, but for the length in characters."""

OF_ANSWER: Final = (*STYLE_FEATURES, *MARKS, *WORDING)
"""All that is measured of one answer; of the style the logarithm of the count, plus one."""

LENGTH: Final = (
    "longer, up to a limit",
    "longer, squared",
    "longer on a long prompt",
    "longer in a long conversation",
    "longer where both are alike",
    "longer where the prompt has code",
    "longer where both are long",
)
"""What length is worth in which battles."""

SIDES: Final = (
    *(f"more {name}" for name in OF_ANSWER),
    *(f"larger share of the {name}" for name in STYLE_FEATURES),
    *LENGTH,
)
"""By how much the first answer is ahead of the second; of the exchanged battle the same with other signs."""

BATTLE: Final = (
    "always",
    "identical",
    "similar",
    "similar beginnings",
    "same numbers",
    "no numbers",
    "lengths apart, squared",
    "longer answer's length",
    "prompt's length",
    "rounds",
    "code in the prompt",
    "question in the prompt",
    "prompt in another script than Latin",
)

BOTH: Final = (
    *BATTLE,
    *(f"both {name}" for name in OF_ANSWER),
    *(f"unlike in {name}" for name in OF_ANSWER),
)
"""What is the same for the exchanged battle: both are at least so, and how far they are apart."""
