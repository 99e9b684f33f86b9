"""A judge with weights on a device of this machine, or on several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from prefstream.schemas import Battle
from prefstream.scoring.judges.forward import Forward
from prefstream.scoring.judges.logits import LogitsSource
from prefstream.scoring.judges.reading import ReadingJudge


class LocalSource(LogitsSource, Protocol):
    """A model on a device of this machine, or the same one on each of several."""

    @property
    def forwards(self) -> tuple[Forward, ...]:
        """One for each device."""

    def warm_up(self, sequence: Sequence[int]) -> bool:
        """One pass with all the tokens that a pass may have, on each device.

        Args:
            sequence: to fill the pass with.

        Returns:
            Whether it fits everywhere, at least alone.

        Raises:
            JudgeFaultError: a device failed.
        """


_L = TypeVar("_L", bound=LocalSource)


class LocalJudge(ReadingJudge[_L]):
    """One model, reading pairwise or pointwise, wherever it is on this machine.

    Attributes:
        origin: what it was loaded from, for its loader (`scoring.loading.beside`).
    """

    origin: object = None

    @property
    def forwards(self) -> tuple[Forward, ...]:
        """Its model on each of its devices."""
        return self._source.forwards

    def warm_up(self) -> None:
        """One pass as large as passes get, of sequences as long as they get; called by the thread that will score.

        The first battle then takes no longer than others, and what does not fit shows before there is one.

        Raises:
            JudgeFaultError: the device or the model failed.
            BattleTooLargeError: a battle of `max_length` tokens does not fit on the device, even alone.
        """
        words = "word " * self.encoder.max_length
        battle = Battle(id="warm-up", prompt=(words,), response_a=(words,), response_b=(words,))
        [encoding] = self.encoder.encode([battle])
        if not self._source.warm_up(max(encoding.sequences, key=len)):
            raise self.too_large(encoding.longest)


class ModelJudge(LocalJudge[Forward]):
    """One model on one device."""

    @property
    def model_config(self) -> Any:
        """Settings of the model's architecture, as transformers has them."""
        return self._source.model_config

    def limit(self, tokens: int) -> None:
        """Have another budget; to be called before anything is scored.

        Args:
            tokens: padded tokens of one forward pass, at most.
        """
        self._source.limit(tokens)
