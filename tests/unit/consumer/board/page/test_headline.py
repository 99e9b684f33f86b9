"""The board's first sentence: what it says of places, points and rank ranges. Run by node, as a browser would."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

import prefstream

PAGE: Final = Path(prefstream.__file__).parent / "consumer" / "board" / "page" / "js"
NODE_S: Final = 60

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed (Debian: nodejs)")

CASES: Final[dict[str, tuple[list[tuple[str, float | None, int | None, int | None]], dict[str, Any], str, str]]] = {
    "surely first": (
        [("a", 1100, 1, 1), ("b", 1000, 2, 2)],
        {"method": "votes"},
        "a leads by 100 points",
        "It is ahead of every other model, as far as votes can tell (95 %).",
    ),
    "one rival": (
        [("a", 1101, 1, 2), ("b", 1100, 1, 2), ("c", 900, 3, 3)],
        {"method": "judges"},
        "a leads by 1 point",
        "The judges can’t yet tell it from b.",
    ),
    "several rivals": (
        [("a", 1032, 1, 5), *((name, 1000 - place, 1, 5) for place, name in enumerate("bcde"))],
        {"method": "both", "judges_weight": 0.5},
        "a leads by 32 points",
        "Votes and judges together can’t yet tell it from b, c and 2 more.",
    ),
    "rivals that others surely beat": (
        # It can't be told from c, which b is surely better than: whose names are known is not the whole list.
        [("a", 1032, 1, 3), ("b", 1000, 1, 2), ("c", 900, 2, 3)],
        {"method": "both", "judges_weight": 0},
        "a leads by 32 points",
        "Votes can’t yet tell it from 2 other models.",
    ),
    "no intervals": (
        [("a", 1010, None, None), ("b", 990, None, None)],
        {"method": "votes"},
        "a leads by 20 points",
        "Nothing says yet how sure that is: no interval can be told.",
    ),
    "level": (
        [("a", 1000.2, 1, 2), ("b", 999.8, 1, 2)],
        {"method": "votes"},
        "a and b are level",
        "Less than a point lies between them.",
    ),
    "nobody rated": (
        [("a", None, None, None)],
        {"method": "votes"},
        "Nobody leads yet",
        "No model has a rating: there are too few votes and preferences.",
    ),
}


def lines(models: list[tuple[str, float | None, int | None, int | None]]) -> list[dict[str, Any]]:
    return [{"model": name, "rating": rating, "rank_low": low, "rank_high": high} for name, rating, low, high in models]


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, str]]:
    """What the page says of each case."""
    tables = {
        name: {"models": lines(models), "judges_weight": None, **fields}
        for name, (models, fields, _, _) in CASES.items()
    }
    script = (
        f"import {{ headline }} from {json.dumps((PAGE / 'board' / 'headline.js').resolve().as_uri())};"
        f"const tables = {json.dumps(tables)};"
        "console.log(JSON.stringify(Object.fromEntries(Object.entries(tables).map(([k, v]) => [k, headline(v)]))))"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script], capture_output=True, text=True, timeout=NODE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", CASES)
def test_it_says_no_more_than_rank_ranges_do(case: str, told: dict[str, dict[str, str]]) -> None:
    _, _, title, lead = CASES[case]
    assert told[case] == {"title": title, "lead": lead}
