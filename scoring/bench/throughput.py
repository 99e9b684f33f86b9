"""Throughput of a panel against a plain loop: same machine, same run, same weights, same battles.

The plain loop is what public notebooks do: padded batches of eight sequences in arrival order, adapters beside the
base weights, malloc as it comes, one judge after the other. The careful loop is what a good one could do: adapters
merged, sequences sorted by length into batches of so many tokens, the panel's malloc. All run in processes of their
own, taking turns, so that none inherits another's memory, threads or warmth, and a machine that slows down slows all.

Where an interpreter is named that has them, two more take part: `CrossEncoder.predict` of sentence-transformers around
the same classifiers, and the careful loop with layers that OpenVINO runs. One whose answers are others gets no ratio.
"""

from __future__ import annotations

import csv
import random
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from prefstream.schemas import Battle
from prefstream.scoring.bench.process import BenchError, run_worker
from prefstream.scoring.bench.request import DEFAULT_MAX_LENGTH, Request, models, reading_alone, without_int8
from prefstream.scoring.bench.side_by_side import SideBySide, TimedRun, all_take_turns
from prefstream.scoring.config import PanelConfig, PriorJudgeConfig
from prefstream.scoring.errors import ConfigError

DEFAULT_BATTLES: Final = 200
"""All lengths of the table, once."""

DEFAULT_BATCH_BATTLES: Final = 64
"""Battles that the panel gets at a time, as from the stream."""

_SEED: Final = 0

_TEMPLATE_TOKENS: Final = 64
"""More than any template has around one round."""

_LENGTHS: Final = Path(__file__).resolve().parent / "lengths.csv"
_WORKER: Final = "prefstream.scoring.bench.throughput_worker"
_COMPETITORS: Final = "prefstream.scoring.bench.competitors.worker"

WITHOUT_INT8: Final = "without-int8"
"""Name of the side that is the panel itself, but that its bases compute in 16 bits."""

SAME_ANSWERS: Final = 0.06
"""Most that a probability may differ between two programs that do the same: what bfloat16 was seen to make of other
batches and another order of sums."""

# Each is a single token in the vocabularies of Gemma and SmolLM2, with and without a space before it, so that a text
# of n words has n tokens for both.
_WORDS: Final = (
    "that with from this have your which more other about were also into these some when time under there than "
    "over know people like year such been help what would need through work only first child system between learn "
    "where should well every high world even form water sign just make data then result those each because effect "
    "while process during found count long after test life very being find right person back students both follow "
    "write important does grow much main before level study great food start children good might school within"
)

_VOCABULARY: Final = tuple(_WORDS.split())


@dataclass(frozen=True, slots=True)
class PanelRun(TimedRun):
    """One run of one side, from the battles' text to all probabilities; loading and warm-up are not in it.

    Attributes:
        probabilities: of each battle, in the order of `schemas.OUTCOMES`.
    """

    probabilities: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class CompetitorResult:
    """What another program did.

    Attributes:
        speed: battles per second, its own as *theirs*.
        cpu_speed: battles per CPU second, likewise.
        gap: most that a probability of its differs from the panel's, in battles that fit uncut.
        settings: what decides its speed.
        memory_bytes: most memory that its process held.
    """

    speed: SideBySide
    cpu_speed: SideBySide
    gap: float
    settings: Mapping[str, str]
    memory_bytes: int

    @property
    def same_answers(self) -> bool:
        """Whether it does what the panel does; if not, a ratio means nothing."""
        return self.gap <= SAME_ANSWERS

    def to_fields(self) -> dict[str, Any]:
        """All of it, for a JSON file; without ratios where the answers are others."""
        speeds = {name: getattr(self, name).to_fields() for name in ("speed", "cpu_speed")}
        if not self.same_answers:
            speeds = {
                name: {key: rates for key, rates in speed.items() if not key.startswith("ratio")}
                for name, speed in speeds.items()
            }
        return {**asdict(self), **speeds, "same_answers": self.same_answers}


@dataclass(frozen=True, slots=True)
class PanelBenchResult:
    """What was measured: the panel is *ours*, the plain loop *theirs*.

    Attributes:
        battles: scored in each run.
        speed: battles per second.
        cpu_speed: battles per CPU second.
        panel_padded_tokens: tokens that the panel's forward passes read.
        plain_padded_tokens: tokens that the plain loop's forward passes read.
        careful_speed: battles per second, the careful loop's as *theirs*.
        careful_cpu_speed: battles per CPU second, likewise.
        careful_gap: as `largest_gap`, of the careful loop.
        largest_gap: most that a probability of one side differs from the other's, in battles that fit uncut.
        mean_gap: mean of these differences: what rounding in another order and merged adapters make.
        panel_settings: what decides the panel's speed.
        plain_settings: what decides the plain loop's speed.
        panel_memory_bytes: most memory that the panel's process held.
        plain_memory_bytes: most memory that the plain loop's process held.
        competitors: by name, other programs that took part.
    """

    battles: int
    speed: SideBySide
    cpu_speed: SideBySide
    careful_speed: SideBySide
    careful_cpu_speed: SideBySide
    careful_gap: float
    panel_padded_tokens: int
    plain_padded_tokens: int
    largest_gap: float
    mean_gap: float
    panel_settings: Mapping[str, str]
    plain_settings: Mapping[str, str]
    panel_memory_bytes: int
    plain_memory_bytes: int
    competitors: Mapping[str, CompetitorResult]

    def to_fields(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        speeds = ("speed", "cpu_speed", "careful_speed", "careful_cpu_speed")
        return {
            **asdict(self),
            **{name: getattr(self, name).to_fields() for name in speeds},
            "competitors": {name: result.to_fields() for name, result in self.competitors.items()},
        }


def read_lengths() -> list[tuple[int, int, int]]:
    """Tokens of prompt, response A and response B of 200 real battles, in SmolLM2's vocabulary.

    Every 5.5th of 1,110 human-judged battles by length, in random order. Gemma's tokens are 3 % fewer.
    """
    with _LENGTHS.open(encoding="ascii", newline="") as file:
        return [(int(row["prompt"]), int(row["response_a"]), int(row["response_b"])) for row in csv.DictReader(file)]


def filler(words: random.Random, tokens: int) -> str:
    """Meaningless text.

    Args:
        words: what draws them.
        tokens: how many words, each of which is a token.
    """
    return " ".join(words.choices(_VOCABULARY, k=tokens))


def bench_battles(count: int = DEFAULT_BATTLES) -> list[Battle]:
    """Battles of real lengths and meaningless text, always the same ones.

    Args:
        count: how many; beyond 200 the lengths repeat.
    """
    words = random.Random(_SEED)  # noqa: S311 - text to measure with, not a secret
    lengths = read_lengths()
    return [
        Battle.model_validate(
            {
                "id": f"bench-{number}",
                **{
                    field: (filler(words, tokens),)
                    for field, tokens in zip(
                        ("prompt", "response_a", "response_b"), lengths[number % len(lengths)], strict=True
                    )
                },
            }
        )
        for number in range(count)
    ]


def bench_panel(
    config: PanelConfig,
    *,
    battles: Sequence[Battle] | None = None,
    repetitions: int = 1,
    batch_battles: int = DEFAULT_BATCH_BATTLES,
    competitors: Path | None = None,
    say: Callable[[str], None],
) -> PanelBenchResult:
    """Measure a panel against the plain loop, the careful one, and other programs where they are installed.

    A judge without an adapter gets one with random weights (rank 16 on every linear layer), the same file for all
    sides: it costs as much as a trained one.

    Args:
        config: the panel, without swap. Judges may be quantised for a CPU: the other sides then read the bases as they
            are, and one of these is the panel itself.
        battles: by default `bench_battles()`.
        repetitions: runs of each side; they take turns.
        batch_battles: that the panel gets at a time.
        competitors: an interpreter that has sentence-transformers, OpenVINO or both, and what `prefstream[judges]`
            brings; None for no more sides.
        say: told what is being run, a line at a time.

    Raises:
        ConfigError: the plain loop can't do what the panel does.
        BenchError: a run failed, or the interpreter has neither.
    """
    _check(config)
    if len(models(config)) < len(config.judges):
        say("judges of features are left out: they read nothing that the plain loop could read")
    config = reading_alone(config)  # the plain loop recuses nobody
    chosen = list(bench_battles() if battles is None else battles)
    with tempfile.TemporaryDirectory(prefix="prefstream-bench-") as folder:
        request = Request(config, tuple(chosen), batch_battles, Path(folder))
        others = _installed(request, competitors) if competitors else []
        request = with_adapters(request, say)
        whole = replace(request, config=without_int8(request.config))
        itself = [WITHOUT_INT8] if whole.config != request.config else []

        def run(arm: str) -> PanelRun:
            if arm in others:
                return _read_run(run_worker(_COMPETITORS, arm, whole.write(), python=competitors))
            if arm == WITHOUT_INT8:
                return _read_run(run_worker(_WORKER, "panel", whole.write(), fast=True))
            # The panel's process applies the fast settings itself if this one has not, as every command does.
            given = request if arm == "panel" else whole
            return _read_run(run_worker(_WORKER, arm, given.write(), fast=arm != "plain"))

        runs = all_take_turns(("panel", "plain", "careful", *itself, *others), run, repetitions, say=say)
    return _summarise(runs, [*itself, *others], uncut=[_fits(battle, config) for battle in chosen])


def _installed(request: Request, python: Path) -> list[str]:
    """The other programs that an interpreter has."""
    found: list[str] = run_worker(_COMPETITORS, "installed", request.write(), python=python)
    if not found:
        raise BenchError(
            f"bench: {python} has neither sentence-transformers nor openvino: pip install one of them there"
        )
    return found


def with_adapters(request: Request, say: Callable[[str], None]) -> Request:
    """The same request, with a random adapter for each judge that has none.

    Args:
        request: whose folder gets them.
        say: told where some are made.

    Raises:
        BenchError: they can't be made.
    """
    if all(judge.adapter for judge in request.judges):
        return request
    say("making random adapters")
    return replace(request, config=PanelConfig.model_validate(run_worker(_WORKER, "adapters", request.write())))


def _check(config: PanelConfig) -> None:
    errors = [
        f"judge {judge.name}: quantization is {judge.quantization}; the plain loop can only read a base as it is"
        for judge in models(config)
        if judge.rounding != "none"
    ]
    if any(isinstance(judge, PriorJudgeConfig) for judge in config.judges):
        errors.append("a prior reads nothing, so there is nothing to compare; leave it out")
    elif not models(config):
        errors.append("no judge has a base model, so there is nothing to compare")
    if config.swap:
        errors.append("swap is on; the bench compares panels without it")
    if errors:
        raise ConfigError("bench", tuple(errors))


def _read_run(fields: Mapping[str, Any]) -> PanelRun:
    probabilities = tuple((float(a), float(b), float(tie)) for a, b, tie in fields["probabilities"])
    return PanelRun(**{**fields, "probabilities": probabilities})


def _fits(battle: Battle, config: PanelConfig) -> bool:
    """Whether both sides surely read all of a battle: they cut differently, so what is cut can't be compared."""
    words = max(len(f"{battle.prompt[0]} {answer[0]}".split()) for answer in (battle.response_a, battle.response_b))
    pairwise = len(" ".join((*battle.prompt, *battle.response_a, *battle.response_b)).split())
    room = min(judge.max_length or DEFAULT_MAX_LENGTH for judge in models(config)) - _TEMPLATE_TOKENS
    return (pairwise if any(judge.kind == "pairwise" for judge in models(config)) else words) <= room


def _summarise(
    runs: Mapping[str, Sequence[PanelRun]], others: Sequence[str], *, uncut: Sequence[bool]
) -> PanelBenchResult:
    panel, plain, careful = (runs[arm] for arm in ("panel", "plain", "careful"))
    count = len(panel[0].probabilities)
    gaps = _gaps(panel[0], plain[0], uncut)

    def speed(theirs: Sequence[PanelRun]) -> SideBySide:
        return SideBySide.of_seconds(count, [run.seconds for run in panel], [run.seconds for run in theirs])

    def cpu_speed(theirs: Sequence[PanelRun]) -> SideBySide:
        return SideBySide.of_seconds(count, [run.cpu_seconds for run in panel], [run.cpu_seconds for run in theirs])

    return PanelBenchResult(
        battles=count,
        speed=speed(plain),
        cpu_speed=cpu_speed(plain),
        careful_speed=speed(careful),
        careful_cpu_speed=cpu_speed(careful),
        careful_gap=max(_gaps(panel[0], careful[0], uncut), default=0.0),
        panel_padded_tokens=panel[0].padded_tokens,
        plain_padded_tokens=plain[0].padded_tokens,
        largest_gap=max(gaps, default=0.0),
        mean_gap=statistics.fmean(gaps) if gaps else 0.0,
        panel_settings=panel[0].settings,
        plain_settings=plain[0].settings,
        panel_memory_bytes=max(run.peak_memory_bytes for run in panel),
        plain_memory_bytes=max(run.peak_memory_bytes for run in plain),
        competitors={
            name: CompetitorResult(
                speed=speed(runs[name]),
                cpu_speed=cpu_speed(runs[name]),
                gap=max(_gaps(panel[0], runs[name][0], uncut), default=0.0),
                settings=runs[name][0].settings,
                memory_bytes=max(run.peak_memory_bytes for run in runs[name]),
            )
            for name in others
        },
    )


def _gaps(ours: PanelRun, theirs: PanelRun, uncut: Sequence[bool]) -> list[float]:
    """How far the probabilities of two sides are apart, in battles that both read whole."""
    return [
        abs(mine - other)
        for fits, one, another in zip(uncut, ours.probabilities, theirs.probabilities, strict=True)
        if fits
        for mine, other in zip(one, another, strict=True)
    ]
