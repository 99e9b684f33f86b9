"""What a representation shows: it ends up in logs, tracebacks and notebooks, so no text of a user stands in one."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel
from rich.pretty import pretty_repr

import prefstream.consumer
import prefstream.schemas
import prefstream.scoring
from prefstream.consumer.dead_letters.reader import DeadLetter, RecordPosition
from prefstream.consumer.demo.events import DemoEvent
from prefstream.consumer.stream.batch import Batch
from prefstream.consumer.stream.messages import dead_letter
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.schemas import Battle, InvalidEventError, Reason, encode_battle, parse_battle
from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.encoding.template import template_for
from prefstream.scoring.files.battles import read_battles
from prefstream.scoring.files.labelled import read_labelled
from prefstream.scoring.finetune.data.pairs import encode_pairs
from prefstream.scoring.judges.judge import JudgeBatch
from prefstream.scoring.panel.panel import EncodedBatch
from tests.support.models import tiny_tokenizer
from tests.support.streams import make_event

WORD = "Zanzibar"
"""In every text of a user here."""

BATTLE = Battle(id="1", prompt=[f"{WORD}?", "more"], response_a=[WORD, "b"], response_b=["c", WORD], model_a="gpt-4")

ROOMS = (prefstream.schemas, prefstream.scoring, prefstream.consumer)

RAW = re.compile(r"\b(bytes|ConsumerRecord|Header|Turns)\b")
"""Types of what users wrote, not read yet, or read as text."""

NO_TEXT = {
    "prefstream.consumer.votes.live.join.AnsweredBy.hash": "a hash",
    "prefstream.scoring.calibration.live_votes.CastVote.battle": "a hash",
    "prefstream.scoring.calibration.live_votes.CastVote.voter": "a hash",
    "prefstream.consumer.board.store.candidates.Candidate.id_hash": "a hash",
    "prefstream.consumer.board.store.join._Vote.id_hash": "a hash",
    "prefstream.consumer.board.store.join._Vote.voter": "a hash",
    "prefstream.consumer.broker.node.members.JoinedMember.metadata": "topics that a member asks for",
    "prefstream.consumer.broker.node.members.SyncResult.assignment": "partitions that a member gets",
    "prefstream.consumer.broker.node.members.Member.assignment": "partitions that a member gets",
}
"""Fields of bytes that hold no record, and what they hold."""


ELSEWHERE = {
    "prefstream.consumer.bench.quix_worker": "runs by an interpreter that has quix-streams, on made-up battles",
    "prefstream.scoring.bench.competitors.cross_encoder_loop": "likewise by one that has sentence-transformers",
    "prefstream.scoring.bench.competitors.openvino_loop": "likewise by one that has OpenVINO",
}
"""Modules that can't be imported here, and why no text of a user comes there."""


def modules() -> Iterator[ModuleType]:
    for room in ROOMS:
        for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if not found.name.endswith("__main__") and found.name not in ELSEWHERE:
                yield importlib.import_module(found.name)


def classes() -> Iterator[type]:
    for module in modules():
        yield from (one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__)


def shown(kind: type) -> dict[str, str]:
    """Fields that a class's own representation shows, and how their types are written."""
    if issubclass(kind, BaseModel):
        return {name: str(field.annotation) for name, field in kind.model_fields.items() if field.repr}
    if dataclasses.is_dataclass(kind):
        return {field.name: str(field.type) for field in dataclasses.fields(kind) if field.repr}
    is_named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    return {name: str(hint) for name, hint in kind.__annotations__.items()} if is_named_tuple else {}


def test_no_class_shows_records_or_their_bytes() -> None:
    wrong = {
        f"{kind.__module__}.{kind.__qualname__}.{name}"
        for kind in classes()
        for name, hint in shown(kind).items()
        if RAW.search(hint)
    }
    assert wrong == NO_TEXT.keys()


def test_a_battle_shows_the_sizes_of_its_texts() -> None:
    shown = "id='1', prompt=<2 turns, 13 characters>, response_a=<2 turns, 9 characters>, "
    assert repr(BATTLE) == f"Battle({shown}response_b=<2 turns, 9 characters>, model_a='gpt-4')"
    assert repr(Battle(id="1", prompt="a", response_a="", response_b="b")).count("<1 turn, ") == 3


def encoded() -> tuple[EncodedBatch, list[int]]:
    """A battle as a judge reads it, and some of its tokens in their order."""
    tokenizer = tiny_tokenizer("gemma2")
    encoder = Encoder(tokenizer, template_for("gemma2", "pointwise", tokenizer), max_length=256)
    encodings = tuple(encoder.encode([BATTLE]))
    part = JudgeBatch(count=1, padded_tokens=1, encodings=encodings)
    ids = tokenizer(WORD, add_special_tokens=False)["input_ids"]
    assert len(ids) > 1
    return EncodedBatch(count=1, padded_tokens=1, parts=(part,)), ids


def test_what_is_tokenised_shows_no_tokens(tmp_path: Path) -> None:
    """Whoever has the tokenizer can read them."""
    batch, ids = encoded()
    file = write_labelled(tmp_path)
    tokenizer = tiny_tokenizer("gemma2")
    encoder = Encoder(tokenizer, template_for("gemma2", "pointwise", tokenizer), max_length=256)
    pairs = encode_pairs([record.battle for record in read_labelled(file) if record.battle], encoder)
    tokens = ", ".join(map(str, ids))
    assert tokens in repr(batch.parts[0].encodings[0].sequences)  # type: ignore[union-attr]
    for holder in (batch, batch.parts[0], batch.parts[0].encodings, pairs):  # type: ignore[union-attr]
        assert tokens not in repr(holder).replace("\n", "")
        assert WORD not in repr(holder)


def write_labelled(folder: Path) -> Path:
    file = folder / "judged.jsonl"
    fields = json.loads(encode_battle(BATTLE))
    file.write_text(json.dumps(fields | {"winner": "model_a"}) + f'\n{{"{WORD}": \n', encoding="utf-8")
    return file


def holders(folder: Path) -> Iterator[Any]:
    """What holds a battle, or bytes that should be one."""
    value = encode_battle(BATTLE)
    event = make_event(value)
    refused = InvalidEventError(Reason.NOT_JSON, "not JSON")
    yield from (BATTLE, [BATTLE], {"battle": BATTLE}, BATTLE.swap(), f"{BATTLE}")
    yield from read_battles(write_labelled(folder))
    yield from read_labelled(folder / "judged.jsonl")
    yield from (event, Batch((event,), 0.0), Event.of(event.record, 3), dead_letter(event, Reason.NOT_JSON, refused))
    yield DeadLetter(RecordPosition("t", 0, 1), 0, WORD.encode(), value, (("h", WORD.encode()),))
    yield DemoEvent("1", value, BATTLE)


def test_what_holds_a_battle_shows_no_text_of_it(tmp_path: Path) -> None:
    for holder in holders(tmp_path):
        assert WORD not in repr(holder), type(holder)
        assert WORD not in pretty_repr(holder), type(holder)


@pytest.mark.parametrize("field", ["id", "prompt", "response_a", "language", "occurred_at"])
def test_a_battle_that_is_refused_is_not_quoted(field: str) -> None:
    given: dict[str, Any] = {"id": "1", "prompt": WORD, "response_a": WORD, "response_b": WORD}
    for make in (lambda wrong: Battle(**wrong), parse_battle):
        with pytest.raises(InvalidEventError) as caught:
            make({**given, field: {WORD: WORD}})
        assert WORD not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
