"""What a loaded panel is, as a golden set records it, and in what it differs from one that was recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from pydantic import JsonValue

from prefstream.schemas import Battle, JudgeOpinion, Probabilities
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.golden import surroundings
from prefstream.scoring.golden.bounds import bound_of
from prefstream.scoring.golden.record import GoldenSet, JudgeRecord, KnownAnswer, PanelRecord
from prefstream.scoring.judges.judge import Judge, JudgeBatch, decided_by_judge
from prefstream.scoring.judges.reading import ReadingJudge

_DIGITS: Final = 12
"""Of a hash in a message: enough to tell two apart."""

_WORDS: Final = {
    "base_hash": "weights of the base",
    "adapter_hash": "weights of the adapter",
    "template": "layout",
    "template_hash": "hash of the layout",
    "vocabulary": "vocabulary of the tokenizer",
    "pad_token": "pad token of the tokenizer",
    "tokens": "tokens that it reads of these battles",
    "served_model": "name of the served model",
}
"""What is not in a panel file by its own name, or is there by another one."""

_FOLLOWING: Final = frozenset({"template_hash", "tokens"})
"""What another tokenizer, layout or length changes, too: told where nothing else is."""


class EncodedBattles(Protocol):
    """What a panel makes of battles before it scores them."""

    @property
    def parts(self) -> tuple[JudgeBatch | None, ...]:
        """What each judge reads, in the panel's order; None for one that was left out."""


class AnsweredBattle(Protocol):
    """What a panel says about a battle."""

    @property
    def probabilities(self) -> Probabilities:
        """The panel's."""

    @property
    def judges(self) -> tuple[JudgeOpinion, ...]:
        """Each judge's, in the panel's order."""


B = TypeVar("B", bound=EncodedBattles)


class KnownPanel(Protocol[B]):
    """What is asked of a panel here; `panel.panel.Panel` is one."""

    golden: GoldenSet | None

    @property
    def judges(self) -> Sequence[Judge]:
        """Its judges."""

    @property
    def decides(self) -> Mapping[str, object]:
        """What decides its answers, beside its judges."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of judges that failed for good."""

    def encode(self, battles: Sequence[Battle]) -> B:
        """Tokenise."""

    def score_encoded(self, batch: B) -> Sequence[AnsweredBattle | BattleTooLargeError]:
        """Score what `encode` returned: one result a battle, in order."""


def fingerprint(panel: KnownPanel[B], batch: B) -> PanelRecord:
    """What a panel is, and how it would read a batch now.

    Args:
        panel: loaded.
        batch: what it made of the golden battles.
    """
    return PanelRecord(
        judges={
            judge.name: _of_judge(judge, part)
            for judge, part in zip(panel.judges, batch.parts, strict=True)
            if part is not None
        },
        decides=_as_json({**panel.decides, "calibrations": _calibrations(panel.judges)}),
        surroundings=surroundings.of_panel(),
    )


def differences(golden: GoldenSet, now: PanelRecord, left_out: Sequence[str] = ()) -> Iterator[str]:
    """What makes a panel another one than it was, in words.

    Args:
        golden: of the panel as it was.
        now: as it is.
        left_out: names of judges that failed since it was loaded, which make it no other.
    """
    known = golden.panel
    if absent := [name for name in known.judges if name not in now.judges and name not in left_out]:
        yield f"it has no judge {', '.join(absent)}"
    if added := [name for name in now.judges if name not in known.judges]:
        yield f"judge {', '.join(added)} is new"
    for name, judge in now.judges.items():
        if name in known.judges:
            told = list(_differing(known.judges[name].decides, judge.decides))
            told = [one for one in told if one[0] not in _FOLLOWING] or told
            yield from (f"judge {name}: {what}" for _, what in told)
    if not golden.judges_alone:
        yield from (what for _, what in _differing(known.decides, now.decides))


def moved(known: PanelRecord, now: PanelRecord) -> dict[str, str]:
    """What moves last bits and is not as it was.

    Args:
        known: as it was recorded.
        now: as it is.

    Returns:
        By judge, and by "" of what moves the bits of all of them, what is there now and what was.
    """
    told = {"": _told_moves(known.surroundings, now.surroundings)}
    for name, after in now.judges.items():
        if (before := known.judges.get(name)) is None:
            continue
        passes = ["other micro-batches"] if before.passes != after.passes else []
        told[name] = ", ".join([*filter(None, [_told_moves(before.surroundings, after.surroundings)]), *passes])
    return {name: what for name, what in told.items() if what}


def given_answer(battle: Battle, answer: AnsweredBattle) -> KnownAnswer:
    """What was said about a battle, to be known from now on.

    Args:
        battle: the battle.
        answer: the panel's.
    """
    judges = {opinion.name: own_answer(opinion) for opinion in answer.judges}
    return KnownAnswer(battle=battle, panel=answer.probabilities, judges=judges)


def own_answer(opinion: JudgeOpinion) -> Probabilities:
    """What a judge said before anybody calibrated it: that is its own, whatever calibration a panel is given later."""
    return opinion.probabilities if opinion.uncalibrated is None else opinion.uncalibrated


def _calibrations(judges: Sequence[Judge]) -> dict[str, object]:
    return {judge.name: judge.settings["calibration"] for judge in judges if "calibration" in judge.settings}


def _of_judge(judge: Judge, part: JudgeBatch) -> JudgeRecord:
    stated: dict[str, Any] = decided_by_judge(judge)
    provenance = {key: value for key, value in stated["provenance"].items() if key != "engine"}  # a surrounding
    settings = {key: value for key, value in stated["settings"].items() if key != "calibration"}  # is the panel's
    decides = {**provenance, **settings}
    passes = None
    if isinstance(judge, ReadingJudge):
        decides |= {
            "vocabulary": judge.encoder.vocabulary_hash,
            "pad_token": judge.encoder.pad_token,
            "tokens": _hash_of_tokens(part),
        }
        passes = judge.passes(part)
    return JudgeRecord(
        decides=_as_json(decides),
        surroundings=surroundings.of_judge(judge),
        passes=passes,
        repeatable=judge.provenance.engine is None,
        bound=bound_of(judge.provenance),
    )


def _hash_of_tokens(part: JudgeBatch) -> str:
    sequences = [sequence for encoding in part.encodings for sequence in encoding.sequences]
    return hashlib.sha256(json.dumps(sequences).encode()).hexdigest()


def _as_json(content: Mapping[str, object]) -> dict[str, JsonValue]:
    """As it comes back from a file."""
    read: dict[str, JsonValue] = json.loads(json.dumps(content))
    return read


def _differing(known: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    for key in [*now, *(key for key in known if key not in now)]:
        before, after = known.get(key), now.get(key)
        if before != after:
            yield key, f"{_WORDS.get(key, key)} {_shown(after)} instead of {_shown(before)}"


def _shown(value: JsonValue) -> str:
    if isinstance(value, str):
        return value[:_DIGITS] if len(value) == hashlib.sha256().digest_size * 2 else value
    return "none" if value is None else json.dumps(value)


def _told_moves(known: Mapping[str, str], now: Mapping[str, str]) -> str:
    keys = [*now, *(key for key in known if key not in now)]
    return ", ".join(
        _told_move(key, known.get(key, "none"), now.get(key, "none")) for key in keys if known.get(key) != now.get(key)
    )


def _told_move(key: str, known: str, now: str) -> str:
    """A processor has twenty extensions: told are those in which it is another one."""
    gone = " ".join(word for word in known.split() if word not in now.split())
    come = " ".join(word for word in now.split() if word not in known.split())
    if gone and come:
        return f"{key} {come} instead of {gone}"
    return f"{key} with {come}" if come else f"{key} without {gone}" if gone else f"{key} {now} instead of {known}"
