"""Hostile events, decoded and encoded as the stream's pipeline does: each is a battle within bounds, or a reason."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pytest
from rich.console import Console

from prefstream.consumer.cli.ui.progress import CountProgress
from prefstream.schemas import Battle
from prefstream.scoring.encoding.encode import Encoding
from tests.fuzz.campaign import decode_and_encode
from tests.fuzz.hostile import hostile_event
from tests.fuzz.layout import KINDS, FuzzedJudge, fuzzed_judge

EVENTS: Final = int(os.environ.get("PREFSTREAM_TEST_FUZZ_EVENTS") or 1_000_000)
"""Events of the long form."""

MAX_SLOPE_MB: Final = 5.0
"""Per 100,000 events after warm-up: 50 bytes an event, less than anything that could be kept of one."""


MAX_BATCH_S: Final = 10.0
"""Of processor time, for a batch on four judges. One takes 1 s, of a million events (measured); the stream gives up
after minutes, so an event that took so long would end it, and the next process again."""


def panel() -> Sequence[FuzzedJudge]:
    """Both families, both kinds; one of them masks who wrote a response."""
    return [
        fuzzed_judge(family, kind, mask_identity=(family, kind) == ("llama3", "pointwise"))
        for family in ("gemma", "llama3")
        for kind in KINDS
    ]


def test_a_few_thousand_hostile_events_become_battles_within_bounds_or_dead_letters(seeded: random.Random) -> None:
    report = decode_and_encode(seeded.getrandbits(32), 3_000, panel())
    report.fail_on_escapes()
    report.fail_on_delay(MAX_BATCH_S)
    assert report.events == sum(report.fates.values()) == 3_000


class CarelessEncoder:
    """Parses special tokens in texts, and breaks down over long battles."""

    max_length = 1_000

    def __init__(self, careful: FuzzedJudge) -> None:
        self._careful = careful

    def encode(self, battles: Sequence[Battle]) -> list[Encoding]:
        if any(len(battle.prompt) >= 100 for battle in battles):
            raise MemoryError
        return list(map(self._parse, self._careful.encoder.encode(battles)))

    def _parse(self, encoding: Encoding) -> Encoding:
        reader = self._careful.reader
        parsed = tuple(reader.ids(reader.text_of(encoding.sequences[0])))
        return Encoding((parsed,), encoding.truncation.model_copy(update={"tokens": len(parsed)}))


def test_a_campaign_tells_forged_turns_and_faults_with_how_to_make_their_events_again() -> None:
    careful = fuzzed_judge("chatml", "pairwise")
    encoder: Any = CarelessEncoder(careful)
    report = decode_and_encode(5, 2_000, [replace(careful, encoder=encoder)])
    forged = [escape for escape in report.escapes if "forged turns: chatml-pairwise-1: at token" in escape]
    broken = [
        escape for escape in report.escapes if escape.endswith("many rounds: chatml-pairwise-1 raised MemoryError")
    ]
    assert forged
    assert broken
    number = int(broken[0].split("number=")[1].split(")")[0])
    assert hostile_event(5, number).kind.name == "many rounds"
    with pytest.raises(AssertionError, match=r"escapes, among them:\nhostile_event\(seed=5, number="):
        report.fail_on_escapes()


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_million_hostile_events_and_memory_stays_flat(
    seeded: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten to twenty minutes. Prints how it gets on, and the figures."""
    with capsys.disabled():
        console = Console()
        with CountProgress(console, EVENTS, verb="decoding and encoding", unit="events") as progress:
            report = decode_and_encode(seeded.getrandbits(32), EVENTS, panel(), progress.advanced)
        console.print(report.table())
    report.fail_on_escapes()
    report.fail_on_delay(MAX_BATCH_S)
    assert report.events == sum(report.fates.values()) == EVENTS
    report.fail_on_growth(MAX_SLOPE_MB)
