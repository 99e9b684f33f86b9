"""The file of a golden set: what is written comes back to the bit, and what is none is refused by its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream import Battle, ConfigError, PanelConfig, Probabilities, load_panel
from prefstream.scoring.golden.record import MOST_BATTLES, GoldenSet, JudgeRecord, KnownAnswer, PanelRecord
from tests.support.goldens import golden_of
from tests.support.priors import prior_entry

RECORD = PanelRecord(
    judges={
        "one": JudgeRecord(decides={"tau": 0.1, "pad": None}, surroundings={}, passes=None, repeatable=True, bound=1)
    },
    decides={"swap": False},
    surroundings={"numpy": "2"},
)


def known(battle: Battle, *, judge: str = "one") -> KnownAnswer:
    said = Probabilities(model_a=0.1, model_b=0.2, tie=0.7)
    return KnownAnswer(battle=battle, panel=said, judges={judge: said})


BATTLE = Battle(id="1", prompt=("[1]",), response_a=("zqsecret",), response_b=('"\u2028',), language="Deutsch")


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_every_bit_of_every_probability_comes_back(
    tmp_path_factory: pytest.TempPathFactory, shares: list[tuple[float, float]]
) -> None:
    path = tmp_path_factory.mktemp("golden") / "golden.jsonl"
    answers = []
    for first, second in shares:
        said = Probabilities(model_a=first * second, model_b=first * (1 - second), tie=1 - first)
        answers.append(KnownAnswer(battle=BATTLE, panel=said, judges={"one": said}))
    golden = GoldenSet(str(path), RECORD, tuple(answers))
    golden.write(path)
    assert GoldenSet.read(path) == golden


def test_a_battle_keeps_all_that_a_panel_looks_at(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    GoldenSet(str(path), RECORD, (known(BATTLE),)).write(path)
    assert GoldenSet.read(path).battles == [BATTLE]


@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        ([], "golden.jsonl: line 1: is no JSON; make one by: prefstream golden make"),
        (['{"id": "1", "prompt": "zqsecret"}'], "line 1: judges: is missing"),
        ([RECORD], "golden.jsonl: has no battle; make one by"),
        ([RECORD, "zqsecret"], "line 2: is no JSON"),
        ([RECORD, known(BATTLE, judge="two")], "line 2: has answers of other judges than line 1 names"),
        (
            [RECORD, known(BATTLE).model_copy(update={"battle": {"id": "zqsecret"}})],
            "line 2: battle.prompt: is missing",
        ),
        ([RECORD, *[known(BATTLE)] * (MOST_BATTLES + 1)], f"line {MOST_BATTLES + 2}: a golden set has {MOST_BATTLES} "),
    ],
    ids=["empty", "battles", "no battle", "no JSON", "other judges", "no battle's fields", "too many"],
)
def test_what_is_no_golden_set_is_refused_without_a_word_of_what_stands_in_it(
    tmp_path: Path, lines: list[str | PanelRecord | KnownAnswer], refusal: str
) -> None:
    path = tmp_path / "golden.jsonl"
    texts = [
        line if isinstance(line, str) else json.dumps(line.model_dump(mode="json", warnings=False)) for line in lines
    ]
    path.write_text("\n".join(texts))
    with pytest.raises(ConfigError) as refused:
        GoldenSet.read(path)
    assert refusal in str(refused.value)
    assert "zqsecret" not in str(refused.value)


def test_a_panel_comes_with_its_golden_set_and_is_not_loaded_without_the_file(tmp_path: Path) -> None:
    golden = golden_of(prior_entry(), count=4)
    golden.write(tmp_path / "golden.jsonl")
    named = {"judges": [prior_entry()], "golden": str(tmp_path / "golden.jsonl")}
    with load_panel(PanelConfig.model_validate(named)) as panel:
        assert panel.golden == golden.at(tmp_path / "golden.jsonl")
    (tmp_path / "golden.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"golden\.jsonl: no such file; make one by: prefstream golden make"):
        load_panel(PanelConfig.model_validate(named))
