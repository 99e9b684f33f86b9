"""A draw is everybody's: it follows from the text and the purpose, and stays what it was."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given

from prefstream.consumer.draw import draw
from prefstream.consumer.stream.choice import review
from tests.support.samples import ids

PURPOSE = review.PURPOSE


@given(ids)
def test_a_draw_is_a_number_below_1_and_always_the_same(battle_id: str) -> None:
    assert 0 <= draw(battle_id, PURPOSE) < 1
    assert draw(battle_id, PURPOSE) == draw(battle_id, PURPOSE)


def test_draws_are_the_same_in_every_process() -> None:
    """Python's own hash of a text is not."""
    code = f"from prefstream.consumer.draw import draw\nprint([draw(f'b{{n}}', {PURPOSE!r}) for n in range(50)])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.strip() == repr([draw(f"b{number}", PURPOSE) for number in range(50)])


def test_a_draw_stays_what_it_was_in_versions_to_come() -> None:
    """Or a battle that is answered again, by a newer version, would be chosen otherwise."""
    drawn = [round(draw(battle_id, PURPOSE), 6) for battle_id in ("b0", "b1", "é")]
    assert drawn == [0.899289, 0.859535, 0.412533]


def test_draws_for_two_purposes_have_nothing_to_do_with_each_other() -> None:
    """A tenth of one tenth is a hundredth: within five standard errors."""
    count = 40_000
    both = sum(draw(f"b{n}", PURPOSE) < 0.1 and draw(f"b{n}", b"another") < 0.1 for n in range(count))
    assert abs(both / count - 0.01) < 5 * (0.01 * 0.99 / count) ** 0.5
