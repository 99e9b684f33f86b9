"""What of judges and calibrations is another one, in words."""

from __future__ import annotations

from prefstream.schemas import PanelIdentity, Provenance
from prefstream.scoring.comparison.provenance import describe_calibrations, describe_judges, differing

MODEL = Provenance(kind="pointwise", base_hash="b" * 64, adapter_hash="a" * 64, dtype="bfloat16", device="cuda:0")


def identity(calibration: str | None) -> PanelIdentity:
    return PanelIdentity(hash="1" * 64, calibration=calibration, version="0.1.0")


def test_the_same_judge_on_another_card_is_the_same_judge() -> None:
    assert differing([MODEL], [MODEL.model_copy(update={"device": "cpu"})]) == ()


def test_all_that_differs_is_named() -> None:
    other = MODEL.model_copy(update={"adapter_hash": "c" * 64, "dtype": "float32"})
    assert differing([MODEL], [MODEL, other]) == ("adapter_hash", "dtype")
    assert describe_judges({"one": (MODEL,), "two": (MODEL,)}, {"one": (other,), "three": (MODEL,)}) == [
        "judge two answers on the left alone",
        "judge three answers on the right alone",
        "judge one is another one: adapter hash, dtype",
    ]


def test_calibrations_are_told_where_they_differ_and_both_sides_say_theirs() -> None:
    told = "calibration of the panel: none on the left, abc and def on the right"
    assert describe_calibrations([identity(None)], [identity("def"), identity("abc")]) == [told]
    assert describe_calibrations([identity("abc")], [identity("abc")]) == []
    assert describe_calibrations([], [identity("abc")]) == []
