"""What counts as silence: every gap between two answers, and those at both ends."""

from __future__ import annotations

import pytest

from prefstream.consumer.config import StreamConfig
from tests.silence.events import Silence
from tests.silence.load import Load


@pytest.fixture
def load() -> Load:
    """Of two partitions; answers of the first came at 1, 2, 5 and 6 s, of the second at 2 s."""
    load = Load(StreamConfig(), partitions=2, rate=1.0)
    load._answers[0] = [1.0, 2.0, 5.0, 6.0]
    load._answers[1] = [2.0]
    return load


@pytest.mark.parametrize(
    ("partitions", "began", "ended", "longest"),
    [
        ({0}, 0.5, 6.5, 3.0),
        ({0}, 3.0, 6.0, 2.0),  # what was before does not count
        ({0}, 5.0, 9.0, 3.0),  # what has not ended does
        ({1}, 0.0, 9.0, 7.0),
        ({0, 1}, 0.0, 9.0, 7.0),
        (set(), 0.0, 9.0, None),
    ],
)
def test_the_longest_time_without_an_answer_of_a_partition_counts(
    load: Load, partitions: set[int], began: float, ended: float, longest: float | None
) -> None:
    assert load.longest_silence(partitions, began, ended) == longest


def test_of_several_parts_of_an_event_the_worst_counts() -> None:
    silence = Silence()
    silence.add(0.5, None)
    silence.add(0.3, 2.0)
    assert (silence.living, silence.gone) == (0.5, 2.0)
