"""Who gave the answers, from when to when, and what was left out of them."""

from __future__ import annotations

from prefstream.consumer.audit.answers import AuditedAnswer
from prefstream.consumer.audit.tally import AnswerTally
from prefstream.schemas import Preference
from prefstream.schemas.preference import PanelIdentity, Truncation
from tests.support.samples import a_preference


def answer(offset: int, at_ms: int, preference: Preference | None, reason: str | None = None) -> AuditedAnswer:
    return AuditedAnswer(f"out/0/{offset}", at_ms, "battles", 0, offset, preference=preference, reason=reason)


def test_panels_are_told_apart_by_hash_calibration_and_version_with_their_first_and_last_answer() -> None:
    tally = AnswerTally()
    one = a_preference(panel=PanelIdentity(hash="1" * 64, calibration="c1", version="1"))
    calibrated = a_preference(panel=PanelIdentity(hash="1" * 64, calibration="c2", version="1"))
    for number, (at_ms, said) in enumerate([(30, one), (10, one), (20, one), (15, calibrated), (5, a_preference())]):
        tally.add(answer(number, at_ms, said))
    found = [(p.calibration, p.answers, p.first.source, p.last.source) for p in tally.panels]
    assert found == [
        (None, 1, "battles/0/4", "battles/0/4"),
        ("c1", 3, "battles/0/1", "battles/0/0"),
        ("c2", 1, "battles/0/3", "battles/0/3"),
    ]


def test_judges_that_failed_were_recused_or_read_less_are_counted_by_name() -> None:
    cut = Truncation(tokens=9, dropped_prompt=5, dropped_response_a=2, dropped_response_b=1, dropped_rounds=0)
    whole = Truncation(tokens=9, dropped_prompt=0, dropped_response_a=0, dropped_response_b=0, dropped_rounds=0)
    [judge, *_] = a_preference().judges
    tally = AnswerTally()
    for number, truncation in enumerate((cut, whole, None, cut)):
        opinion = judge.model_copy(update={"name": "x", "truncation": truncation})
        said = a_preference(judges=(opinion,), left_out=("y",) * (number < 2), recused=("x",) if number == 3 else None)
        tally.add(answer(number, number, said))
    x, y = tally.judges["x"], tally.judges["y"]
    assert (x.answers, x.left_out, x.recused) == (4, 0, 1)
    assert (x.truncated, x.dropped_prompt, x.dropped_responses) == (2, 10, 6)
    assert (y.answers, y.left_out) == (0, 2)


def test_dead_letters_are_counted_by_reason_and_are_no_panels() -> None:
    tally = AnswerTally()
    for number, reason in enumerate(("not_json", "null_value", "not_json")):
        tally.add(answer(number, number, None, reason))
    assert dict(tally.reasons) == {"not_json": 2, "null_value": 1}
    assert (tally.panels, tally.judges) == ([], {})
