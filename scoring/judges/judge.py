"""What a panel asks of a judge: battles in, one probability triple per battle out.

Two steps, so that tokenising the next batch overlaps scoring this one: `encode` may be called from any thread,
`score` is called by the judge's own thread alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import Battle, Provenance
from prefstream.scoring.errors import BattleTooLargeError, JudgeFaultError
from prefstream.scoring.probabilities import Triples

if TYPE_CHECKING:
    from prefstream.scoring.encoding.encode import Encoding, Turns

NOT_DECIDING: Final = frozenset({"device", "base", "revision", "adapter", "adapter_revision", "trained"})
"""Of a judge's provenance, what does not decide its answers. The device: the same judge on another card gives other
last bits, but it is the same panel, be it on one machine or on ten. The rest: names of what the hashes tell exactly."""


@dataclass(frozen=True, slots=True)
class JudgeBatch:
    """Battles as one judge reads them.

    Attributes:
        count: battles, those exchanged for the swap included.
        padded_tokens: tokens that the forward passes will read, padding included.
        encodings: one per battle, in order; empty for a judge that reads nothing.
        ids: of the battles, for messages; empty where the judge has none to tell.
    """

    count: int
    padded_tokens: int
    encodings: tuple[Encoding, ...] = field(default=(), repr=False)
    ids: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Scores:
    """What one judge answered.

    Attributes:
        probabilities: one row per battle; rows of battles that were too large hold a third each.
        too_large: position of each battle that did not fit, with the error that says so.
        uncalibrated: as `probabilities`, before the judge's temperature and tie bias; None where it has none.
        lost: replicas of the judge that were taken out meanwhile, each as the fault that it had.
    """

    probabilities: Triples
    too_large: Mapping[int, BattleTooLargeError]
    uncalibrated: Triples | None = None
    lost: tuple[JudgeFaultError, ...] = ()


class Judge(Protocol):
    """One that judges battles: a model with its adapter and template on its devices, or a stand-in."""

    @property
    def name(self) -> str:
        """As in preferences, metrics and logs."""

    @property
    def weight(self) -> float:
        """Share in the panel's mean."""

    @property
    def provenance(self) -> Provenance:
        """What exactly answers."""

    @property
    def settings(self) -> Mapping[str, object]:
        """What decides its answers and stands not in its provenance, as JSON has it: its calibration among them."""

    @property
    def symmetric(self) -> bool:
        """Whether exchanging A and B exchanges the answer by construction: nothing is gained by scoring both."""

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        """Tokenise; callable from any thread."""

    def score(self, batch: JudgeBatch) -> Scores:
        """Judge; called by one thread.

        Raises:
            JudgeFaultError: the judge broke down.
        """

    def close(self) -> None:
        """Free the device's memory."""


class PointwiseJudge(Judge, Protocol):
    """A judge that reads each answer alone, and so has a score for every single one."""

    def encode_answers(self, answers: Sequence[tuple[Turns, Turns]]) -> list[tuple[int, ...]]:
        """Tokenise single answers; callable from any thread."""

    def rewards(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Each answer's score; called by one thread."""


def decided_by_judge(judge: Judge) -> dict[str, object]:
    """All of a judge that decides what it says; what that is worth is its panel's to say.

    Args:
        judge: loaded.
    """
    return {
        "name": judge.name,
        "provenance": judge.provenance.model_dump(mode="json", exclude_none=True, exclude=set(NOT_DECIDING)),
        "settings": judge.settings,
    }


def close_all(judges: Iterable[Judge]) -> None:
    """Close judges, the others too where one can't be closed; its error is raised then.

    Args:
        judges: any number.
    """
    with ExitStack() as stack:
        for judge in judges:
            stack.callback(judge.close)


def is_pointwise(judge: Judge) -> TypeGuard[PointwiseJudge]:
    """Whether a judge scores single answers."""
    return judge.provenance.kind == "pointwise"
