"""What live calibration is worth on streams that drift, and on streams of false votes; simulated, with seeds.

Run it by `python -m tests.recalibration` (some ten minutes): the table of scoring/README.md. Two judges, right
about what they were calibrated to, answer battles that a thousand people vote on, a hundred votes an hour. From the
first vote on something is otherwise:

* nothing;
* ties: people call .4 of battles a tie, where it was .1;
* judge: one judge's temperature is off by 2: it is twice as sure as it was;
* one liar, twenty liars: of five votes two are false, cast by one person, or by twenty: always a tie.

Log loss is that on honest votes: with the calibration that the stream began with, with a live one (each vote scored
before anything is fitted to it), and with the one that fits the whole stream best, which nobody can know in advance.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.calibration.fit import fit_calibration
from prefstream.scoring.calibration.live import LiveCalibrator, LiveRules, ServedCalibration
from prefstream.scoring.calibration.live_votes import CastVote, Opinions
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.panel.combine import weighted_mean
from prefstream.scoring.probabilities import Triples, log_losses, normalise

Kind: TypeAlias = Literal["nothing", "ties", "judge", "one liar", "twenty liars"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

VOTES: Final = 8_000
PEOPLE: Final = 1_000
MS_A_VOTE: Final = 36_000
FALSE: Final = 0.4
"""Share of votes that are false where somebody lies."""


@dataclass(frozen=True, eq=False)
class Simulated:
    """A stream.

    Attributes:
        answers: of both judges, shape (2, n, 3).
        outcomes: what was voted, shape (n,).
        voters: who, shape (n,).
        honest: whether the vote says what its voter thought, shape (n,).
        start: the calibration that was fitted before.
    """

    answers: NDArray[np.float64]
    outcomes: NDArray[np.intp]
    voters: NDArray[np.intp]
    honest: NDArray[np.bool_]
    start: Calibration


@dataclass(frozen=True)
class Course:
    """What came of a stream.

    Attributes:
        losses: on its honest votes, in quarters of its course: without, live, best.
        versions: that were published.
        last: the one that served at the end.
    """

    losses: NDArray[np.float64]
    versions: int
    last: CalibrationFile


def draw(rng: np.random.Generator, count: int, tie_rate: float, sharper: float) -> tuple[Triples, NDArray[np.intp]]:
    """Battles: what both judges say, shape (2, n, 3), and what people do."""
    strength = rng.normal(0.0, 1.6, count)
    tie = np.log(tie_rate / (1 - tie_rate)) + 1.0

    def say(strengths: NDArray[np.float64], tie_logit: float) -> Triples:
        return normalise(np.exp(np.stack([strengths / 2, -strengths / 2, np.full(count, tie_logit)], axis=1)))

    people = say(strength, tie).cumsum(axis=1)
    outcomes = np.minimum((rng.random((count, 1)) > people).sum(axis=1), 2)
    heard = [strength + rng.normal(0.0, 1.0, count) for _ in range(2)]
    answers = np.stack([say(one, 0.0) for one in heard])
    if sharper != 1.0:
        answers[0] = normalise(answers[0] ** sharper)
    return answers, outcomes


def simulate(kind: Kind, seed: int, votes: int = VOTES) -> Simulated:
    """Draw a stream.

    Args:
        kind: what is otherwise in it.
        seed: of all that is drawn.
        votes: how many.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    before, said_before = draw(rng, 4_000, 0.1 if kind == "ties" else 0.3, 1.0)
    answers, outcomes = draw(rng, votes, 0.4 if kind == "ties" else 0.3, 2.0 if kind == "judge" else 1.0)
    voters = rng.integers(PEOPLE, size=votes)
    honest = np.ones(votes, dtype=np.bool_)
    if kind in {"one liar", "twenty liars"}:
        honest = rng.random(votes) >= FALSE
        liars = PEOPLE + rng.integers(1 if kind == "one liar" else 20, size=votes)
        outcomes, voters = np.where(honest, outcomes, 2), np.where(honest, voters, liars)
    return Simulated(answers, outcomes, voters, honest, _fit(before, said_before))


def follow(stream: Simulated, rules: LiveRules, voter_votes: int = 10) -> Course:
    """Let a live calibration follow a stream.

    Args:
        stream: of votes.
        rules: of the calibration.
        voter_votes: of a voter, at most.
    """
    served = ServedCalibration(("one", "two"), (0.5, 0.5), CalibrationFile(panel=stream.start))
    began, calibrator = served, LiveCalibrator(rules, voter_votes)
    counts = np.ones(2, dtype=np.bool_)
    live, since, versions = np.zeros((len(stream.outcomes), 3)), -1, 0
    for row in range(len(stream.outcomes)):
        at = row * MS_A_VOTE
        live[row] = _answer(served, stream.answers[:, row : row + 1])[0]
        said = Opinions("panel", stream.answers[:, row], counts)
        voter = b"%d" % stream.voters[row]
        calibrator.add([CastVote(b"%d" % row, voter, (at, 0, row), int(stream.outcomes[row]), said)])
        if calibrator.due(at):
            decision = calibrator.look(at, served, since=since)
            if decision.verdict == "better" and decision.file is not None:
                served, since, versions = served.with_file(decision.file), at, versions + 1
    honest = stream.honest
    best = _fit(stream.answers[:, honest], stream.outcomes[honest])
    arms = [_answer(began, stream.answers), live, best.apply(stream.answers.mean(axis=0))]
    rows = np.arange(len(honest))
    losses = np.stack([log_losses(arm)[rows, stream.outcomes] for arm in arms])
    quarters = [part[stream.honest[part]] for part in np.array_split(rows, 4)]
    return Course(np.stack([losses[:, part].mean(axis=1) for part in quarters]), versions, served.file)


def _answer(served: ServedCalibration, answers: NDArray[np.float64]) -> Triples:
    return served.file.panel.apply(weighted_mean(list(answers), served.shares.tolist()))


def _fit(answers: NDArray[np.float64], outcomes: NDArray[np.intp]) -> Calibration:
    count = len(outcomes)
    shares = np.eye(3)[outcomes]
    return fit_calibration(answers.mean(axis=0), shares, np.ones(count), np.zeros(count, dtype=np.bool_))


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--votes", type=int, default=VOTES)
    parser.add_argument("--later-votes", type=int, default=LiveRules().later_votes)
    parser.add_argument("--voter-votes", type=int, default=10)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    given = parser.parse_args()
    rules = replace(LiveRules(), later_votes=given.later_votes)
    tell("| from the first vote on | without | live | best | live, last quarter | best, last quarter | versions |")
    tell("|---|---|---|---|---|---|---|")
    for kind in given.kinds:
        courses = [follow(simulate(kind, seed, given.votes), rules, given.voter_votes) for seed in range(given.seeds)]
        losses = np.stack([course.losses for course in courses])
        without, live, best = losses.mean(axis=(0, 1))
        gap = losses.mean(axis=1)
        error = (gap[:, 1] - gap[:, 0]).std(ddof=1) / np.sqrt(len(courses))
        _, last, last_best = losses[:, -1].mean(axis=0)
        versions = [course.versions for course in courses]
        tell(
            f"| {kind} | {without:.4f} | {live:.4f} ({live - without:+.4f} ± {2 * error:.4f}) | {best:.4f} | "
            f"{last:.4f} | {last_best:.4f} | {min(versions)} to {max(versions)} |"
        )


if __name__ == "__main__":
    main()
