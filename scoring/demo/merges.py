"""A tokenizer's merges without those that no text comes to.

A vocabulary that was made by SentencePiece says nothing of merges. What converts it lists, for each token, every way to
put it together from two others: 514,906 for Gemma's 262,144 tokens, which is most of the time that its file takes to
read. But a token comes about in one way only. As long as nothing outside of its characters joins one of them (and then
it would not come about), they are merged as if they stood alone: the pair of lowest rank first, of equal ones the
leftmost. So of the ways to make a token the last step of that one is needed, and the rest is never used.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

Merge: TypeAlias = tuple[str, str]
"""Two tokens that become one: that of their characters."""

_BYTE: Final = re.compile(r"<0x[0-9A-F]{2}>")
"""What stands for a byte of a character that the vocabulary lacks."""

_COMMENT: Final = "#version"
"""What begins like this is passed over where a merge is a line."""


def keep_needed_merges(path: Path) -> None:
    """Rewrite a tokenizer's file: without merges that are never used, and without white space that nobody reads.

    It gives the same tokens for every text. A tokenizer of another kind than byte pairs keeps all that it has.

    Args:
        path: of its tokenizer.json.
    """
    content = json.loads(path.read_bytes())
    model = content["model"]
    if model.get("type") == "BPE" and not model.get("dropout"):
        model["merges"] = _shortest(needed_merges([_pair(merge) for merge in model["merges"]], model.get("unk_token")))
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def needed_merges(merges: Sequence[Merge], unknown: str | None) -> list[Merge]:
    """Those of a byte-pair tokenizer's merges that some text may come to, in the same order.

    Args:
        merges: by rank, the first one is done first.
        unknown: token in place of a character that the vocabulary lacks; None where there is none.
    """
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    if len(ranks) < len(merges):
        return list(merges)  # of two alike it is for the tokenizer to say which counts
    ways = Counter(map("".join, merges))

    def is_needed(merge: Merge) -> bool:
        token = "".join(merge)
        # Tokens that stand for what is no character are there from the beginning, and are not put together from theirs.
        mixed = _BYTE.search(token) or (unknown and unknown in token)
        return bool(ways[token] == 1 or mixed or last_merge(token, ranks) == merge)

    return [merge for merge in merges if is_needed(merge)]


def last_merge(token: str, ranks: dict[Merge, int]) -> Merge | None:
    """The last of the merges by which a token's characters, standing alone, become the token.

    Args:
        token: two characters at least.
        ranks: of all merges.

    Returns:
        None where they don't become it: no text has this token.
    """
    parts = list(token)
    never = len(ranks)
    pairs = [ranks.get(pair, never) for pair in itertools.pairwise(parts)]
    while (lowest := min(pairs)) < never:
        place = pairs.index(lowest)
        merge = (parts[place], parts[place + 1])
        if len(parts) == 2:
            return merge
        parts[place : place + 2] = ["".join(merge)]
        del pairs[place]
        for beside in (place - 1, place):
            if 0 <= beside < len(pairs):
                pairs[beside] = ranks.get((parts[beside], parts[beside + 1]), never)
    return None


def _pair(merge: Any) -> Merge:
    """A merge as files have it: a list of two, or a line."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _shortest(merges: list[Merge]) -> Sequence[Merge | str]:
    """As lines, which are read in four fifths of the time, unless a line would not be read as it is meant."""
    if any(" " in left + right or left.startswith(_COMMENT) for left, right in merges):
        return merges
    return [" ".join(merge) for merge in merges]
