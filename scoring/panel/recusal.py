"""Recusal: a judge does not count where an answer may be its own family's, by the names of who wrote the answers.

Models prefer what models like them write (Panickssery et al. 2024, "LLM Evaluators Recognize and Favor Their Own
Generations"). The names stay here: no judge, log line or metric ever has one.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import Battle
from prefstream.scoring.errors import MisuseError
from prefstream.scoring.validation_messages import nearest_of

Recused: TypeAlias = NDArray[np.bool_]
"""Shape (battles, judges), judges in the panel's order: who must not count where."""


class Recusal:
    """Finds which judges must not count in which battles.

    Args:
        judges: names of the panel's judges, in its order.
        globs: by judge, shell patterns for names of models, compared without regard to case; a judge that is not
            there always counts.

    Raises:
        MisuseError: they are of a judge that the panel does not have, or there are none, or one text in their place.
    """

    def __init__(self, judges: Sequence[str], globs: Mapping[str, Sequence[str]]) -> None:
        for stranger in globs.keys() - set(judges):
            raise MisuseError(f"recuse: the panel has no judge {stranger}; {nearest_of(stranger, judges)}")
        for name, patterns in globs.items():
            if isinstance(patterns, str) or not patterns:  # letter by letter a star in it would fit every model
                raise MisuseError(f"recuse: give {name} a list of at least one pattern for names of models")
        self._judges = len(judges)
        self._patterns = [(judges.index(name), named_like(patterns)) for name, patterns in globs.items()]

    def of(self, battles: Iterable[Battle]) -> Recused | None:
        """Who must not count in each battle; None where nobody is recused from any.

        A battle that names no model recuses nobody.

        Args:
            battles: of which only `model_a` and `model_b` are read.
        """
        if not self._patterns:
            return None
        pairs = [(battle.model_a, battle.model_b) for battle in battles]
        # Once for each name of the batch, in which most stand often. Nothing is kept: names can be long, and ever new.
        models = set(itertools.chain.from_iterable(pairs))
        known = {model: () if model is None else self._recused_by(model) for model in models}
        if not any(known.values()):
            return None
        places = [(row, judge) for row, pair in enumerate(pairs) for model in pair for judge in known[model]]
        recused = np.zeros((len(pairs), self._judges), dtype=np.bool_)
        recused[tuple(zip(*places, strict=True))] = True
        return recused

    def _recused_by(self, model: str) -> tuple[int, ...]:
        return tuple(judge for judge, is_own in self._patterns if is_own(model))


def who_counts(recused: Recused, weights: Sequence[float]) -> NDArray[np.bool_]:
    """Where each judge counts: where it is not recused, or where no other judge that has a weight is left.

    An answer by judges that may be partial is better than none, and it says so.

    Args:
        recused: shape (battles, judges).
        weights: of the judges, with a positive sum.

    Returns:
        The same shape.
    """
    counts = ~recused
    alone = ~(counts & (np.array(weights) > 0)).any(axis=1)
    counts[alone] = True
    return counts


def named_like(globs: Sequence[str]) -> Callable[[str | None], bool]:
    """What tells whether the name of a model is like one of these; a model without a name is like none.

    Args:
        globs: shell patterns, at least one, compared without regard to case.
    """
    pattern = re.compile("|".join(fnmatch.translate(glob.casefold()) for glob in globs))
    return lambda model: model is not None and pattern.match(model.casefold()) is not None
