"""The rows that a run learns from and those that it is measured on: two files, or one whose prompts are dealt.

A recipe is chosen on prompts that were kept apart from the training data, so that the dev data stay unseen until the
end: `Fold` says which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np

from prefstream.scoring.calibration.cross_fit import deal_prompts
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.labelled import LabelledBattle, prompt_key, read_labelled
from prefstream.scoring.files.rows import FileRecord, RejectedRow

_DEALING: Final = 0
"""Seed of the dealing: not the recipe's, so that runs with other seeds are measured on the same prompts."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One of the equal parts into which the prompts of a file are dealt.

    Attributes:
        number: of the part, from 1.
        of: how many parts there are, at least 2.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `K/N`, such as 1/5.

        Raises:
            ValueError: it is not written so, or there is no such part.
        """
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        if not found or int(found[2]) < 2 or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError("must be K/N, part K of at least two, such as 1/5")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True, slots=True)
class DataPart:
    """Rows of a labelled file.

    Attributes:
        path: of the file.
        fold: prompts that make the difference; None for all rows.
        prompts: hashes of the fold's prompts.
        held_out: whether these rows are the fold, or all but it.
    """

    path: Path
    fold: Fold | None = None
    prompts: frozenset[bytes] = field(default=frozenset(), repr=False)
    held_out: bool = False

    @property
    def name(self) -> str:
        """For people."""
        if self.fold is None:
            return self.path.name
        return f"part {self.fold} of {self.path.name}" if self.held_out else f"{self.path.name} without {self.fold}"

    def read(self) -> Iterator[FileRecord[LabelledBattle]]:
        """The rows, read as a stream. One that can't be used has no prompt; it stays with what is learnt from.

        Raises:
            FileError: as `read_labelled`.
        """
        for record in read_labelled(self.path):
            if self.fold is None or self._holds(record.content):
                yield record

    def battles(self) -> Iterator[LabelledBattle]:
        """The usable rows.

        Raises:
            FileError: as `read_labelled`.
        """
        for record in self.read():
            if isinstance(record.content, LabelledBattle):
                yield record.content

    def _holds(self, content: LabelledBattle | RejectedRow) -> bool:
        inside = isinstance(content, LabelledBattle) and prompt_key(content.battle) in self.prompts
        return inside == self.held_out


def parts(train: Path, dev: Path | None, hold_out: Fold | None) -> tuple[DataPart, DataPart | None]:
    """What a run learns from, and what it is measured on.

    Args:
        train: labelled pairs.
        dev: others with other prompts.
        hold_out: the prompts of `train` to be measured on instead.

    Raises:
        FileError: the file can't be read or has fewer prompts than parts, or both kinds of dev pairs are asked for.
    """
    if hold_out is None:
        return DataPart(train), DataPart(dev) if dev else None
    if dev is not None:
        raise FileError(f"dev pairs are those of {dev.name}, or a part of {train.name} that is held out: choose one")
    prompts = np.fromiter((prompt_key(one.battle) for one in DataPart(train).battles()), dtype="S32")
    different = len(np.unique(prompts))
    if different < hold_out.of:
        raise FileError(f"{train}: {different} different prompts can't be dealt into {hold_out.of} parts")
    dealt = deal_prompts(prompts, hold_out.of, _DEALING)
    fold = frozenset(np.unique(prompts[dealt == hold_out.number - 1]).tolist())
    return DataPart(train, hold_out, fold), DataPart(train, hold_out, fold, held_out=True)
