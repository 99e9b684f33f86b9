"""What stands beside a committed offset comes back as it was; what others wrote there means nothing."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.stream.partitions.offset_metadata import OffsetMetadata

TOPIC = UUID(int=7)


@given(
    topic_id=st.none() | st.uuids(),
    dead_letters=st.integers(min_value=0),
    skipped=st.integers(0, 2**63 - 1),
    halted=st.booleans(),
)
def test_a_note_comes_back_as_it_was(topic_id: UUID | None, dead_letters: int, skipped: int, *, halted: bool) -> None:
    note = OffsetMetadata(topic_id, dead_letters, skipped, halted)
    assert OffsetMetadata.decode(note.encode()) == note


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    OffsetMetadata.decode(text)


def test_the_note_of_earlier_versions_has_no_topic() -> None:
    assert OffsetMetadata.decode("dead-letters:1f") == OffsetMetadata(None, 0x1F)


def test_without_losses_it_is_written_as_earlier_versions_read_it() -> None:
    assert OffsetMetadata(TOPIC, 0x1F).encode() == f"topic:{TOPIC.hex} dead-letters:1f"


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "sent:abc",
        "dead-letters:",
        "dead-letters:xyz",
        "dead-letters:-f",
        "ff",
        "\n",
        f"topic:{TOPIC.hex}",
        "topic:1 f",
        "dead-letters:f skipped:" + "9" * 5_000,
    ],
)
def test_the_note_of_another_program_says_nothing(metadata: str) -> None:
    assert OffsetMetadata.decode(metadata) == OffsetMetadata()
