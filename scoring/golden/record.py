"""The file of a golden set: what the panel was, one line, and then battles with its answers, a line each.

It holds texts that users wrote, as the file that its battles were chosen from does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import Field, JsonValue, ValidationError

from prefstream.schemas import Battle, Probabilities
from prefstream.scoring.atomic_file import write_atomically
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.settings import Settings
from prefstream.scoring.validation_messages import error_lines

MOST_BATTLES: Final = 128
"""Of a set: they are scored in one batch, in memory and between two batches of a stream."""

_MAKE: Final = "make one by: prefstream golden make FILE --panel PANEL -o GOLDEN"

_S = TypeVar("_S", bound=Settings)


class JudgeRecord(Settings):
    """What a judge was when its answers were recorded: its fingerprint."""

    decides: Annotated[
        Mapping[str, JsonValue],
        Field(description="What it answers by: hashes of weights, tokenizer and layout, dtype, settings."),
    ]
    surroundings: Annotated[
        Mapping[str, str], Field(description="What moves last bits alone: device, threads, versions.")
    ]
    passes: Annotated[
        tuple[tuple[int, ...], ...] | None,
        Field(
            description="Which of the battles' sequences were read together; null where it reads none, or elsewhere."
        ),
    ]
    repeatable: Annotated[
        bool, Field(description="Gives the same bits for the same passes where nothing moves them; no server does.")
    ]
    bound: Annotated[
        float,
        Field(
            gt=0,
            description="Where surroundings or passes differ: mean absolute difference of its probabilities, at most.",
        ),
    ]


class PanelRecord(Settings):
    """The first line of a golden set: fingerprint of the panel that gave the answers."""

    format: Literal[1] = 1
    judges: Annotated[Mapping[str, JudgeRecord], Field(min_length=1, description="By name, in the panel's order.")]
    decides: Annotated[
        Mapping[str, JsonValue],
        Field(description="What it makes of their answers by: weights, swap, calibration, recusal."),
    ]
    surroundings: Annotated[Mapping[str, str], Field(description="As of a judge, of what all of them share.")]


class KnownAnswer(Settings):
    """Every further line: a battle, and what was said about it."""

    battle: Battle
    panel: Annotated[Probabilities, Field(description="The panel's answer.")]
    judges: Annotated[Mapping[str, Probabilities], Field(description="Each judge's, by name, before calibration.")]


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """Battles, and the answers that a panel is known to give.

    Attributes:
        source: the file, for messages.
        panel: what the panel was.
        answers: in the order in which their battles are one batch.
        judges_alone: what is made of the judges' answers is another thing than it was, and nobody knows it.
    """

    source: str
    panel: PanelRecord
    answers: tuple[KnownAnswer, ...]
    judges_alone: bool = False

    @property
    def battles(self) -> list[Battle]:
        """The battles, in order."""
        return [known.battle for known in self.answers]

    def at(self, source: Path) -> GoldenSet:
        """The same set, of another name.

        Args:
            source: the file that it is written to.
        """
        return replace(self, source=str(source))

    def of_judges_alone(self) -> GoldenSet:
        """The same set for a panel of the same judges, weighed and calibrated otherwise."""
        return replace(self, judges_alone=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file.

        Raises:
            ConfigError: it can't be read, is no golden set, or its lines don't fit together.
        """
        try:
            with path.open("rb") as file:
                first = _parsed(PanelRecord, path, 1, file.readline())
                answers: list[KnownAnswer] = []
                for number, line in enumerate(file, start=2):
                    if len(answers) == MOST_BATTLES:
                        wrong = f"line {number}: a golden set has {MOST_BATTLES} battles at most"
                        raise ConfigError(str(path), (wrong,))
                    known = _parsed(KnownAnswer, path, number, line)
                    if known.judges.keys() != first.judges.keys():
                        wrong = f"line {number}: has answers of other judges than line 1 names"
                        raise ConfigError(str(path), (wrong,))
                    answers.append(known)
        except FileNotFoundError:
            raise ConfigError(str(path), (f"no such file; {_MAKE}",)) from None
        except OSError as error:
            raise ConfigError(str(path), (f"can't be read: {error.strerror or error}",)) from None
        if not answers:
            raise ConfigError(str(path), (f"has no battle; {_MAKE}",))
        return cls(str(path), first, tuple(answers))

    def encode(self) -> bytes:
        """The file's content."""
        lines = [self.panel.model_dump(mode="json")]
        lines += [known.model_dump(mode="json", exclude_none=True) for known in self.answers]
        return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)

    def write(self, path: Path) -> None:
        """Write the file; what stood there is replaced at once or not at all."""
        write_atomically(path, self.encode())


def _parsed(model: type[_S], path: Path, number: int, line: bytes) -> _S:
    """One line, its numbers to the last bit.

    Raises:
        ConfigError: it is none; without anything of what stands in it.
    """
    try:
        return model.model_validate(json.loads(line))
    except ValidationError as error:
        wrong = tuple(f"line {number}: {what}" for what in error_lines(error, model))
    except (ValueError, RecursionError):
        wrong = (f"line {number}: is no JSON; {_MAKE}",)
    raise ConfigError(str(path), wrong)
