"""Which features decide most, for people."""

from __future__ import annotations

from prefstream.scoring.features.strongest import NamedFeature, describe_strongest, strongest

NAMED = (
    NamedFeature(name="more characters", decides="winner", weight=0.1, effect=0.2),
    NamedFeature(name="more refusal", decides="winner", weight=-2.0, effect=-0.4),
    NamedFeature(name="sorry", decides="winner", weight=-0.3, effect=-0.05, hashed=True),
    NamedFeature(name="identical", decides="tie", weight=2.0, effect=0.1),
)


def test_the_strongest_come_first_whichever_way_they_speak() -> None:
    chosen = strongest(NAMED, decides="winner", hashed=False, most=5)
    assert [one.name for one in chosen] == ["more refusal", "more characters"]
    assert strongest(NAMED, decides="winner", hashed=False, most=1) == chosen[:1]


def test_each_sort_has_a_line_for_people() -> None:
    assert describe_strongest(NAMED, most=1) == [
        "who wins, by measure: more refusal -0.400",
        'who wins, by words: "sorry" -0.050',
        "a tie, by measure: identical +0.100",
        "a tie, by the prompt's words: none",
    ]
