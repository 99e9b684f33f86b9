"""Two sets of answers in, all that is to be said of their difference out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from prefstream.schemas import OUTCOMES, Outcome
from prefstream.scoring.comparison.answers import MOST_JUDGES, UNKNOWN, AnswerTable, probabilities_of
from prefstream.scoring.comparison.change import measure_change, most_distant
from prefstream.scoring.comparison.cuts import cut_pairs
from prefstream.scoring.comparison.pairs import AnswerPairs, JoinKey, join
from prefstream.scoring.comparison.provenance import describe_calibrations, describe_judges, differing
from prefstream.scoring.comparison.results import (
    AnswersDiff,
    ChangedBattle,
    JoinTold,
    JudgeChange,
    SideTold,
    SliceChange,
    VotedComparison,
)
from prefstream.scoring.comparison.rows import BattleRows, RowFacts
from prefstream.scoring.comparison.votes import hold_against_votes
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.bootstrap import DEFAULT_RESAMPLES, DEFAULT_SEED, Resamples
from prefstream.scoring.golden.bounds import bound_of
from prefstream.scoring.version import own_version

DEFAULT_MOST: Final = 20
"""Changed battles that are named."""


def diff_answers(
    left: AnswerTable,
    right: AnswerTable,
    *,
    rows: BattleRows | None = None,
    votes: Mapping[str, Sequence[Outcome]] | None = None,
    by: JoinKey | None = None,
    rejected: tuple[int, int] = (0, 0),
    most: int = DEFAULT_MOST,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = DEFAULT_SEED,
    on_progress: Callable[[int, int], None] | None = None,
) -> AnswersDiff:
    """Hold answers against each other.

    Intervals are by bootstrap over prompts where rows tell them, else over battles.

    Args:
        left: one side.
        right: the other; differences are its minus the left one's.
        rows: what is known of the battles beside the answers.
        votes: what people said, by battle; beside it labels of the rows don't count.
        by: what to join by; None chooses.
        rejected: of each side, rows and records that hold no answer.
        most: changed battles that are named, at most.
        resamples: draws for the intervals.
        seed: of the draws.
        on_progress: told how many parts are measured, and of how many.

    Raises:
        FileError: a side has no answer, or no battle was answered by both.
    """
    for side in (left, right):
        if not len(side):
            raise FileError(f"{side.name} holds no answer")
    pairs = join(left, right, by)
    if not len(pairs):
        raise FileError(
            f"{left.name} and {right.name} have no battle in common, by {_SPELLED[pairs.by]}: of {len(left):,} and "
            f"{len(right):,} answers none is about the same one{_by_id_instead(left, right, pairs.by)}"
        )
    ids = [left.ids[row] for row in pairs.left.tolist()]
    facts = (rows or BattleRows()).of(ids)
    prompts = _prompts(facts)
    said, now = left.probabilities[pairs.left], right.probabilities[pairs.right]
    shared = [name for name in left.judges if name in right.judges]
    cuts = list(cut_pairs(left, right, pairs, facts))
    steps = 2 + len(shared) + len(cuts)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, steps)

    def measured(positions: np.ndarray[tuple[int], np.dtype[np.intp]] | None = None) -> Resamples:
        chosen = prompts if positions is None else [prompts[position] for position in positions.tolist()]
        return Resamples(chosen, resamples=resamples, seed=seed)

    change = measure_change(said, now, measured())
    step()
    judges = []
    for name in shared:
        one, other = left.judges[name][pairs.left], right.judges[name][pairs.right]
        both = np.flatnonzero(np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1))
        if len(both):
            found = measure_change(one[both], other[both], measured(both))
            differs = differing(left.provenances[name], right.provenances[name])
            judges.append(JudgeChange(name=name, change=found, differs=differs))
        step()
    slices = []
    for cut in cuts:
        found = measure_change(said[cut.rows], now[cut.rows], measured(cut.rows))
        slices.append(SliceChange(dimension=cut.dimension, value=cut.value, change=found))
        step()
    voted = _voted(left, right, pairs, facts, prompts, votes, resamples=resamples, seed=seed)
    step()
    return AnswersDiff(
        version=own_version(),
        left=_told(left, rejected[0]),
        right=_told(right, rejected[1]),
        join=JoinTold(
            by=pairs.by,
            joined=len(pairs),
            only_left=pairs.only_left,
            only_right=pairs.only_right,
            repeated_left=pairs.repeated_left,
            repeated_right=pairs.repeated_right,
            other_ids=pairs.other_ids,
        ),
        resamples=resamples,
        seed=seed,
        change=change,
        judges=tuple(judges),
        slices=tuple(slices),
        most_changed=_most_changed(left, right, pairs, most),
        voted=voted,
        notes=(
            *(["no vote is about a battle that both sides answered"] if votes is not None and voted is None else []),
            *_notes(left, right, pairs, facts),
            *_calibrated_otherwise(judges, left),
        ),
    )


_SPELLED: Final[Mapping[JoinKey, str]] = {"source": "place", "id": "id"}


def _by_id_instead(left: AnswerTable, right: AnswerTable, by: JoinKey) -> str:
    """What to do where places have nothing in common and ids have."""
    shared = 0 if by == "id" else len(set(left.ids) & set(right.ids))
    return f"; by id {shared:,} are (--by id)" if shared else ""


def _prompts(facts: RowFacts) -> list[bytes | int]:
    """What tells each battle's prompt from others: where it is not known, the battle."""
    return [position if prompt is None else prompt for position, prompt in enumerate(facts.prompts)]


def _told(side: AnswerTable, rejected: int) -> SideTold:
    return SideTold(name=side.name, answers=len(side), rejected=rejected, panels=side.identities)


def _voted(
    left: AnswerTable,
    right: AnswerTable,
    pairs: AnswerPairs,
    facts: RowFacts,
    prompts: Sequence[bytes | int],
    votes: Mapping[str, Sequence[Outcome]] | None,
    *,
    resamples: int,
    seed: int,
) -> VotedComparison | None:
    # Where battles share an id, what people said is of the last one: nothing tells for which else they said it.
    last = {left.ids[row]: position for position, row in enumerate(pairs.left.tolist())}
    if votes is None:
        positions = np.array([one for one in last.values() if facts.outcomes[one] != UNKNOWN], dtype=np.intp)
        outcomes = facts.outcomes[positions]
    else:
        cast = [
            (last[one], OUTCOMES.index(said)) for one, all_said in votes.items() if one in last for said in all_said
        ]
        columns = np.array(sorted(cast), dtype=np.intp).reshape(-1, 2)
        positions, outcomes = columns[:, 0], columns[:, 1]
    if not len(positions):
        return None
    return hold_against_votes(
        left.probabilities[pairs.left[positions]],
        right.probabilities[pairs.right[positions]],
        outcomes,
        [prompts[position] for position in positions.tolist()],
        battles=len(np.unique(positions)),
        left_name=left.name,
        resamples=resamples,
        seed=seed,
    )


def _most_changed(left: AnswerTable, right: AnswerTable, pairs: AnswerPairs, most: int) -> tuple[ChangedBattle, ...]:
    said, now = left.probabilities[pairs.left], right.probabilities[pairs.right]
    return tuple(
        ChangedBattle(
            id=left.ids[pairs.left[position]],
            left_source=left.source(int(pairs.left[position])),
            right_source=right.source(int(pairs.right[position])),
            left=probabilities_of(said[position].tolist()),
            right=probabilities_of(now[position].tolist()),
            divergence=distance,
        )
        for position, distance in most_distant(said, now, most)
    )


def _notes(left: AnswerTable, right: AnswerTable, pairs: AnswerPairs, facts: RowFacts) -> list[str]:
    notes = describe_judges(left.provenances, right.provenances)
    notes += describe_calibrations(left.identities, right.identities)
    for side in (left, right):
        hashes = {panel.hash for panel in side.identities}
        if len(hashes) > 1:
            notes.append(f"{side.name}: answers of {len(hashes)} panels, mixed; the slices tell them apart")
    notes += [
        f"{side.name}: more than {MOST_JUDGES} judges are named; what is told by judge leaves out "
        f"{side.left_out:,} opinions of those that came later"
        for side in (left, right)
        if side.left_out
    ]
    if hashes := {panel.hash for side in (left, right) for panel in side.identities}:
        alike = len(hashes) == 1 and all(side.identities and (side.panels != UNKNOWN).all() for side in (left, right))
        if alike:
            notes.append("one panel answered on both sides, by its hash")
    if pairs.other_ids:
        notes.append(
            f"{pairs.other_ids:,} places hold another battle on each side, by their ids: the topic was made anew, or "
            "the file changed; they are not joined"
        )
    if all(prompt is None for prompt in facts.prompts):
        notes.append("prompts are not known, so intervals take every battle for one of its own; --battles tells them")
    untrained = [
        f"{name} ({side.name})"
        for side in (left, right)
        for name, found in side.provenances.items()
        if any(one.trained is False for one in found)
    ]
    if untrained:
        notes.append(f"not trained, and what they say means nothing: {', '.join(untrained)}")
    return notes


def _calibrated_otherwise(judges: Sequence[JudgeChange], left: AnswerTable) -> list[str]:
    """Of judges whose every hash is the same, and who say more than last bits else: only a panel's hash has those."""
    return [
        f"judge {one.name} is the same by its hashes and says something else: it is calibrated otherwise, or was asked "
        "in other orders"
        for one in judges
        if not one.differs
        and (one.change.mean_absolute_difference.value or 0.0) > max(map(bound_of, left.provenances[one.name]))
    ]
