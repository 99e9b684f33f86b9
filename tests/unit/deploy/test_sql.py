"""The SQL of deploy's guide runs on files of preferences, and says what they say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from prefstream.schemas import OUTCOMES, Battle, KafkaSource, Preference, encode_preference
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.panel import Panel
from tests.support.hash_judge import hash_panel
from tests.support.priors import prior_panel

GUIDE = Path(__file__).parents[3] / "deploy" / "README.md"
VIEW, STRENGTHS, DISTANCES, CHANGES = re.findall(
    r"^```sql\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
MODELS = ("lumen", "juniper", "kestrel")
BATTLES = [
    Battle(
        id=f"battle-{number // 2}",  # each id twice
        prompt=f"prompt {number}",
        response_a="a" * number,
        response_b="b",
        model_a=MODELS[number % 3] if number else None,
        model_b=MODELS[(number + 1) % 3],
    )
    for number in range(12)
]


def answered(panel: Panel) -> list[Preference]:
    """What a panel says of the battles, as the stream publishes it."""
    with panel:
        answers = panel.score(BATTLES)
    return [
        answer.to_preference(battle, KafkaSource(topic="battles", partition=number % 2, offset=number // 2))
        for number, (battle, answer) in enumerate(zip(BATTLES, answers, strict=True))
        if isinstance(answer, PanelAnswer)
    ]


@pytest.fixture(scope="module")
def old() -> list[Preference]:
    """By judges whose answers look random, and are the same each time."""
    return answered(hash_panel())


@pytest.fixture(scope="module")
def new() -> list[Preference]:
    """By other judges."""
    return answered(prior_panel(judges=2))


@pytest.fixture
def database(
    old: list[Preference], new: list[Preference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A connection, with the guide's view of the guide's files in the current folder."""
    duckdb = pytest.importorskip("duckdb")
    for name, preferences in (("preferences.jsonl", old), ("new.jsonl", list(reversed(new)))):
        (tmp_path / name).write_bytes(b"".join(encode_preference(one) + b"\n" for one in preferences))
    monkeypatch.chdir(tmp_path)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(VIEW)
        yield connection


def test_models_are_ordered_by_what_they_are_expected_to_win(database: Any, old: list[Preference]) -> None:
    won: dict[str, list[float]] = defaultdict(list)
    for one in old:
        for model, side in ((one.model_a, one.probabilities.model_a), (one.model_b, one.probabilities.model_b)):
            if model is not None:
                won[model].append(side + one.probabilities.tie / 2)
    expected = sorted(((model, len(all_), fmean(all_)) for model, all_ in won.items()), key=lambda row: -row[2])
    rows = database.execute(STRENGTHS).fetchall()
    assert [row[:2] for row in rows] == [row[:2] for row in expected]
    assert [row[2] for row in rows] == pytest.approx([row[2] for row in expected], abs=1e-4)


def test_judges_are_told_with_their_distance_from_the_panel(database: Any, new: list[Preference]) -> None:
    [(name, answers, distance)] = database.execute(DISTANCES).fetchall()
    assert (name, answers, distance) == ("hash", 12, 0)  # a panel of one
    rows = database.execute(DISTANCES.replace("FROM preferences", "FROM read_json('new.jsonl')")).fetchall()
    distances = [
        sum(abs(getattr(judge.probabilities, one) - getattr(answer.probabilities, one)) for one in OUTCOMES) / 2
        for answer in new[:1]
        for judge in answer.judges
    ]
    assert [row[:2] for row in rows] == [("prior-0", 12), ("prior-1", 12)]
    assert [row[2] for row in rows] == pytest.approx(distances, abs=1e-4)


def test_answers_of_two_panels_are_joined_by_the_battles_record(
    database: Any, old: list[Preference], new: list[Preference]
) -> None:
    moves = [
        (one.id, one.preferred, other.preferred, other.probabilities.model_a - one.probabilities.model_a)
        for one, other in zip(old, new, strict=True)
    ]
    expected = sorted(moves, key=lambda row: (-round(abs(row[3]), 4), row[0]))[:10]
    rows = database.execute(CHANGES).fetchall()
    assert [row[:3] for row in rows] == [row[:3] for row in expected]
    assert [row[3] for row in rows] == pytest.approx([row[3] for row in expected], abs=1e-4)
