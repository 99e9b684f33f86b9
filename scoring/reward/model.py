"""A panel as a reward model: for RLHF, for choosing the best of n answers, for filtering data.

Two scales, both in nats of preference odds. `reward` is what pointwise judges say about a single answer: the
difference between two answers to one prompt is the log-odds that the first is preferred (Bradley and Terry 1952; as
reward models are trained and read since Ouyang et al. 2022, "Training language models to follow instructions with
human feedback"). It means nothing across prompts. `rank` compares the answers to one prompt with each other, which
any panel can, and fits strengths to the outcomes (`prefstream.scoring.strengths.davidson`); they have mean zero.

Example:
    Choose the better of two answers, here by a panel of one pointwise judge:

    >>> from prefstream import RewardModel
    >>> with RewardModel.load("panel.yaml") as model:
    ...     answer = model.score("2+2?", "4", "5")
    ...     log_odds = model.reward("2+2?", "4") - model.reward("2+2?", "5")
    ...     strengths = model.rank("2+2?", ["4", "5", "It depends."])
    >>> (answer.model_a > answer.model_b) == (log_odds > 0)
    True
    >>> abs(sum(strengths)) < 1e-6
    True
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

import numpy as np

from prefstream.schemas import OUTCOMES, Battle, Probabilities, parse_battle
from prefstream.scoring.config import DEMO_BASES, ModelJudgeConfig, PanelConfig
from prefstream.scoring.errors import BattleTooLargeError, ConfigError, MisuseError, NoRewardError
from prefstream.scoring.judges.judge import PointwiseJudge, is_pointwise
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.threads import wait_for
from prefstream.scoring.strengths.davidson import fit_strengths

if TYPE_CHECKING:
    from prefstream.scoring.encoding.encode import Turns

Text: TypeAlias = str | Sequence[str]
"""One turn, or a list of turns, oldest first. A string is always one turn, whatever it looks like."""


class RewardModel:
    """Scores answers with the judges of a panel. A context manager; closes the panel.

    Prompts and responses are strings, or lists of turns: a response has as many as its prompt. Methods in the plural
    take many at once and are much faster than one call each. All may be called from several threads.

    Args:
        panel: whose judges answer. Its calibration and weights apply to `score` and `rank`. Nobody is recused: nothing
            says who wrote the responses.
    """

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self._pointwise: tuple[PointwiseJudge, ...] = tuple(
            judge for judge in panel.judges if is_pointwise(judge) and panel.weights[judge.name] > 0
        )

    @classmethod
    def load(cls, panel: PanelConfig | Path | str, *, say: Callable[[str], None] | None = None) -> Self:
        """Load a panel.

        Args:
            panel: the panel, or the path of its file.
            say: told what is being loaded.

        Raises:
            ConfigError: the panel file or its calibration is wrong.
            LoadError: a judge can't be loaded, or must not judge.
        """
        return cls(load_panel(panel, say=say))

    @classmethod
    def from_adapter(
        cls,
        adapter: Path | str,
        *,
        base: Path | str | None = None,
        revision: str | None = None,
        adapter_revision: str | None = None,
        device: str = "auto",
        dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto",
        quantization: Literal["none", "8bit", "4bit"] = "none",
    ) -> Self:
        """Load a single judge by its adapter; how it reads stands in the adapter's own record.

        Args:
            adapter: folder or hub id.
            base: folder or hub id of the base model; by default the one of the hub that the adapter recorded.
            revision: commit of a hub base.
            adapter_revision: commit of a hub adapter.
            device: as in a panel file.
            dtype: as in a panel file.
            quantization: as in a panel file.

        Raises:
            ConfigError: a setting is wrong, or the base is not known.
            LoadError: the judge can't be loaded, or must not judge.
        """
        from prefstream.scoring.loading.adapter_record import AdapterRecord
        from prefstream.scoring.loading.sources import local_folder

        folder = Path(adapter).expanduser()
        if not folder.is_dir():
            folder = local_folder(str(adapter), adapter_revision)
        record = AdapterRecord.read(folder)
        if base is None:
            if record.base is None or (record.base_revision is None and record.base not in DEMO_BASES):
                trained_on = record.base or "a base that its record doesn't name"
                raise ConfigError(str(adapter), (f"base: is missing; give the folder of {trained_on}",))
            base, revision = record.base, record.base_revision
        try:
            judge = ModelJudgeConfig(
                name="judge",
                kind=record.kind,
                revision=revision,
                base=base,
                adapter=str(folder.resolve()),
                max_length=record.max_length,
                device=device,
                dtype=dtype,
                quantization=quantization,
            )
        except ConfigError as error:
            raise ConfigError(str(adapter), error.errors) from None
        return cls.load(PanelConfig(judges=(judge,)))

    @property
    def gives_rewards(self) -> bool:
        """Whether a pointwise judge counts in the panel, which `reward` needs."""
        return bool(self._pointwise)

    def score(self, prompt: Text, response_a: Text, response_b: Text) -> Probabilities:
        """How probable it is that a person prefers A, prefers B, or calls it a tie.

        Raises:
            InvalidEventError: numbers of turns differ, or a text is none.
            BattleTooLargeError: a judge's device is too small for it.
            JudgeFaultError: a judge broke down.
        """
        return self.scores([prompt], [response_a], [response_b])[0]

    def scores(
        self, prompts: Sequence[Text], responses_a: Sequence[Text], responses_b: Sequence[Text]
    ) -> list[Probabilities]:
        """`score` for many battles, in order."""
        _require_equal_lengths(prompts=prompts, responses_a=responses_a, responses_b=responses_b)
        return self._score([_battle(*texts) for texts in zip(prompts, responses_a, responses_b, strict=True)])

    def reward(self, prompt: Text, response: Text) -> float:
        """The pointwise judges' own score of a response, before calibration; their mean by weight.

        Raises:
            NoRewardError: no pointwise judge counts in the panel.
            InvalidEventError: numbers of turns differ, or a text is none.
            BattleTooLargeError: a judge's device is too small for it.
            JudgeFaultError: a judge broke down. It is never left out: without it the scale would be another one.
        """
        return self.rewards([prompt], [response])[0]

    def rewards(self, prompts: Sequence[Text], responses: Sequence[Text]) -> list[float]:
        """`reward` for many answers, in order."""
        if not self._pointwise:
            raise NoRewardError(
                "no pointwise judge counts in this panel, and pairwise judges have no score for a single answer; "
                "compare several answers to the prompt with rank(), or add a pointwise judge"
            )
        _require_equal_lengths(prompts=prompts, responses=responses)
        battles = [_battle(prompt, text, text) for prompt, text in zip(prompts, responses, strict=True)]
        answers = [(battle.prompt, battle.response_a) for battle in battles]
        running = [
            (judge, self.panel.submit(judge, functools.partial(judge.rewards, judge.encode_answers(answers))))
            for judge in self._pointwise
        ]
        total = np.zeros(len(answers))
        for judge, future in running:
            total += self.panel.weights[judge.name] * wait_for(judge, future)
        means: list[float] = (total / sum(self.panel.weights[judge.name] for judge in self._pointwise)).tolist()
        return means

    def rank(self, prompt: Text, responses: Sequence[Text]) -> list[float]:
        """Strengths of several answers to one prompt, by comparing each with each other.

        Compares in both orders where the order can matter, so position does not. Takes n(n-1)/2 comparisons for n
        different answers; equal answers get equal strengths.

        Returns:
            One per response, with mean zero: the difference of two is the log-odds that the first is preferred.

        Raises:
            InvalidEventError: numbers of turns differ, or a text is none.
            BattleTooLargeError: a judge's device is too small for a comparison.
            JudgeFaultError: a judge broke down.
        """
        return self.ranks([prompt], [responses])[0]

    def ranks(self, prompts: Sequence[Text], responses: Sequence[Sequence[Text]]) -> list[list[float]]:
        """`rank` for many prompts, in order."""
        _require_equal_lengths(prompts=prompts, responses=responses)
        if any(isinstance(answers, str) for answers in responses):
            raise MisuseError("rank: the responses to a prompt are a list of answers, not one text")
        contests = [_Contest.of(prompt, answers) for prompt, answers in zip(prompts, responses, strict=True)]
        answered = iter(self._compare([battle for contest in contests for battle in contest.battles()]))
        return [contest.strengths(list(itertools.islice(answered, len(contest.pairs)))) for contest in contests]

    def close(self) -> None:
        """Free every judge's memory. May be called twice."""
        self.panel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _score(self, battles: Sequence[Battle]) -> list[Probabilities]:
        # All at once: an answer that meets many others is read once for all of them.
        answers = self.panel.score_encoded(self.panel.encode(battles))
        for answer in answers:
            if isinstance(answer, BattleTooLargeError):
                raise answer
        return [answer.probabilities for answer in answers if not isinstance(answer, BattleTooLargeError)]

    def _compare(self, battles: Sequence[Battle]) -> list[tuple[float, ...]]:
        """Probability triples, the same for either order of the responses up to the exchange."""
        if self.panel.swap or all(judge.symmetric for judge in self.panel.judges):
            return [_triple(answer) for answer in self._score(battles)]
        answers = self._score([*battles, *(battle.swap() for battle in battles)])
        return [
            ((given[0] + back[1]) / 2, (given[1] + back[0]) / 2, (given[2] + back[2]) / 2)
            for given, back in zip(
                map(_triple, answers[: len(battles)]), map(_triple, answers[len(battles) :]), strict=True
            )
        ]


@dataclass(frozen=True, slots=True)
class _Contest:
    """The answers to one prompt that are to be compared.

    Attributes:
        prompt: its turns.
        answers: the different answers, in the order of their first appearance.
        places: for each answer as given, which of `answers` it is.
    """

    prompt: Turns = field(repr=False)
    answers: tuple[Turns, ...] = field(repr=False)
    places: tuple[int, ...]

    @classmethod
    def of(cls, prompt: Text, responses: Iterable[Text]) -> Self:
        given = [_turns(response) for response in responses]
        place = {answer: number for number, answer in enumerate(dict.fromkeys(given))}
        return cls(_turns(prompt), tuple(place), tuple(place[answer] for answer in given))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Each answer with each other, once."""
        return list(itertools.combinations(range(len(self.answers)), 2))

    def battles(self) -> list[Battle]:
        """The comparisons to be made, one per pair."""
        return [_battle(self.prompt, self.answers[one], self.answers[other]) for one, other in self.pairs]

    def strengths(self, outcomes: Sequence[tuple[float, ...]]) -> list[float]:
        """Strengths of the answers as given.

        Args:
            outcomes: probabilities of each pair.
        """
        if not outcomes:
            return [0.0] * len(self.places)
        first, second = zip(*self.pairs, strict=True)
        fitted = fit_strengths(first, second, np.array(outcomes), count=len(self.answers))
        spread = fitted[list(self.places)]
        strengths: list[float] = (spread - spread.mean()).tolist()
        return strengths


def _turns(text: Text) -> Turns:
    if isinstance(text, str):
        return (text,)
    if not isinstance(text, Sequence):
        raise MisuseError(f"a prompt or response is a text or a list of texts, not {type(text).__name__}")
    return tuple(text)


def _require_equal_lengths(**columns: Sequence[object]) -> None:
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{len(column)} {name}" for name, column in columns.items())
        raise MisuseError(f"{lengths}: each needs as many as the others")


def _battle(prompt: Text, response_a: Text, response_b: Text) -> Battle:
    """A battle of texts that are taken as they stand: as turns, no string is read as an encoded list."""
    fields = {"prompt": prompt, "response_a": response_a, "response_b": response_b}
    return parse_battle({"id": "reward", **{name: _turns(text) for name, text in fields.items()}})


def _triple(answer: Probabilities) -> tuple[float, ...]:
    return tuple(getattr(answer, outcome) for outcome in OUTCOMES)
