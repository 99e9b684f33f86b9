"""Battles that people judged: which answer they preferred, how sure that is, and how much it counts.

A label stands in Kaggle's three columns, in `winner`, in `votes` (how many people said what; not in CSV), or in several
of them.

    winner, winner_model_a ...   the outcome; of votes alone, the one with the most, a tie where several have the most
    votes                        the target: their shares; without votes, everything on the outcome
    weight                       how much the battle counts (1)
    ties_possible                false where the source has no ties (true)
    source, tier                 where the battle comes from, for weights and reports
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from prefstream.schemas import OUTCOMES, Battle, Outcome, parse_battle
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.arena import contract_fields
from prefstream.scoring.files.battles import OPTIONAL_COLUMNS, REQUIRED_COLUMNS, battle_of_cells, cell_warnings
from prefstream.scoring.files.reading import check_file, read_file
from prefstream.scoring.files.rows import FileRecord, RejectedRow, RowParser
from prefstream.scoring.files.winner import BOTH_BAD, SPELLINGS, SPELLINGS_HELP, normal_spelling

BAD_LABEL: Final = "bad_label"
"""Reason of a row whose battle can be read, but not what people said about it."""

WINNER_COLUMNS: Final = tuple(f"winner_{outcome}" for outcome in OUTCOMES)
"""Kaggle's: exactly one of them is 1, the others are 0."""

MAX_NAME_CHARS: Final = 100
"""Bound of `source` and `tier`: they head lines of reports; what is longer is no name."""

_LIKE_A_LABEL: Final = re.compile(r"[\w.()-]{1,20}")
"""What a label that is not known may be like, to be said: one word, as those that are known."""

_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Label:
    """What people said about a battle.

    Attributes:
        outcome: the verdict; of several votes the one with the most, and a tie where several have the most.
        target: shares of the outcomes in the order of `schemas.OUTCOMES`, summing to 1: those of the votes where the
            votes are known, else everything on `outcome`.
        weight: how much the battle counts in a mean; at least 0, finite.
        ties_possible: False where the source has no ties: the label then says who was better, nothing about ties.
        both_bad: of a tie: that it was said to be one because neither answer was any good.
        votes: how many said what, in the order of `target`, as the row has it; None where it has no votes.
    """

    outcome: Outcome
    target: tuple[float, float, float]
    weight: float = 1.0
    ties_possible: bool = True
    both_bad: bool = False
    votes: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class LabelledBattle:
    """A battle and what people said about it.

    Attributes:
        battle: what was judged.
        label: what was said.
        line: number of the line of the file where its row starts, from 1.
        source: data set it comes from, where the row says it.
        tier: group of data sets, where the row says it.
    """

    battle: Battle
    label: Label
    line: int
    source: str | None
    tier: str | None


@dataclass(frozen=True, slots=True)
class PerhapsLabelled:
    """A battle, and what people said about it where they did.

    Attributes:
        battle: what may have been judged.
        label: what was said; why it can't be read; or None where the row has none.
    """

    battle: Battle
    label: Label | RejectedRow | None


def prompt_key(battle: Battle) -> bytes:
    """Hash of the prompt's turns: battles of one key must not be torn apart by a split or a bootstrap.

    Returns:
        32 hexadecimal digits: at the end of a hash itself arrays of bytes would lose zeros.
    """
    return hashlib.sha256(orjson.dumps(battle.prompt)).hexdigest()[:32].encode()


def check_labelled_file(path: Path) -> None:
    """Find what makes the whole file unusable, before anything costly starts.

    Raises:
        FileError: the file can't be read, is of another kind, or lacks the columns of a battle or its label.
    """
    check_file(path, _LABELLED)


def read_labelled(path: Path) -> Generator[FileRecord[LabelledBattle], None, None]:
    """Read a file row by row, with the promises of `prefstream.scoring.files.reading`.

    A row without a usable label comes back as a `RejectedRow` of reason `bad_label`.

    Args:
        path: CSV, JSONL or Parquet, as `prefstream.scoring.files.content.opened` tells them apart.

    Raises:
        FileError: as `check_labelled_file`, when the first row is asked for; later, where a compressed file is damaged.
    """
    return read_file(path, _LABELLED)


def read_perhaps_labelled(path: Path) -> Generator[FileRecord[PerhapsLabelled], None, None]:
    """Read battles that people may have judged, with the promises of `prefstream.scoring.files.reading`.

    Args:
        path: as for `read_labelled`; without the columns of a label, no battle has one.

    Raises:
        FileError: as `read_labelled`, but for the label.
    """
    return read_file(path, _PERHAPS_LABELLED)


def read_again(
    battles: Iterable[LabelledBattle], ids: Iterable[str], path: Path
) -> Generator[LabelledBattle, None, None]:
    """Read battles whose texts were not kept for a second time.

    Args:
        battles: as they are read now.
        ids: of those that were read before, in their order; what comes after the last one is not asked for.
        path: of the file.

    Raises:
        FileError: the file is not what it was.
    """
    now = iter(battles)
    for known in ids:
        one = next(now, None)
        if one is None or one.battle.id != known:
            raise FileError(f"{path} changed while it was read; start again once nobody writes to it")
        yield one


def label_of(fields: Mapping[str, Any]) -> Label | RejectedRow:
    """What people said, or why a row does not say it.

    Args:
        fields: the row, as JSON has it.
    """
    try:
        return _label(fields)
    except _BadLabelError as error:
        return RejectedRow(BAD_LABEL, str(error))


class _BadLabelError(Exception):
    """Its text is the rejected row's detail: what was wrong and what to write; of the row, a label at most."""


def _from_object(fields: Mapping[str, Any], line: int) -> LabelledBattle | RejectedRow:
    return _labelled(parse_battle(contract_fields(fields)), fields, line)


def _from_cells(cells: Mapping[str, str], line: int) -> LabelledBattle | RejectedRow:
    fields = label_fields(cells)
    battle = battle_of_cells(cells)
    return battle if isinstance(battle, RejectedRow) else _labelled(battle, fields, line)


def label_fields(cells: Mapping[str, str]) -> dict[str, object]:
    """What a row of CSV says beside its battle, as the same fields would be in JSON; what can't be so stays a text.

    An empty cell is how CSV says null. There are no votes in CSV.
    """
    kinds: dict[str, Callable[[str], object]] = {
        **dict.fromkeys((*WINNER_COLUMNS, "weight"), _to_number),
        "ties_possible": lambda cell: _FLAGS.get(cell.lower(), cell),
        **dict.fromkeys(("winner", "source", "tier"), str),
    }
    return {name: to_value(cells[name]) for name, to_value in kinds.items() if cells.get(name)}


def _to_number(cell: str) -> object:
    try:
        return float(cell)
    except ValueError:
        return cell


_LABELLED: Final = RowParser(
    (*REQUIRED_COLUMNS, (WINNER_COLUMNS, ("winner",), ("votes",))),
    (*OPTIONAL_COLUMNS, "weight", "ties_possible", "source", "tier"),
    from_object=_from_object,
    from_cells=_from_cells,
    warnings=lambda cells, row: cell_warnings(cells, row.battle),
)


def _perhaps_from_object(fields: Mapping[str, Any], line: int) -> PerhapsLabelled:
    del line
    return _perhaps_labelled(parse_battle(contract_fields(fields)), fields)


def _perhaps_from_cells(cells: Mapping[str, str], line: int) -> PerhapsLabelled | RejectedRow:
    del line
    battle = battle_of_cells(cells)
    return battle if isinstance(battle, RejectedRow) else _perhaps_labelled(battle, label_fields(cells))


def _perhaps_labelled(battle: Battle, fields: Mapping[str, Any]) -> PerhapsLabelled:
    said = any(fields.get(name) is not None for name in _SAID)
    return PerhapsLabelled(battle, label_of(fields) if said else None)


_SAID: Final = ("winner", "votes", *WINNER_COLUMNS)
"""A label stands in any of these."""

_PERHAPS_LABELLED: Final = RowParser(
    REQUIRED_COLUMNS,
    (*OPTIONAL_COLUMNS, *_SAID, "weight", "ties_possible", "source", "tier"),
    from_object=_perhaps_from_object,
    from_cells=_perhaps_from_cells,
    warnings=lambda cells, row: cell_warnings(cells, row.battle),
)


def _labelled(battle: Battle, fields: Mapping[str, Any], line: int) -> LabelledBattle | RejectedRow:
    try:
        return LabelledBattle(battle, _label(fields), line, _name(fields, "source"), _name(fields, "tier"))
    except _BadLabelError as error:
        return RejectedRow(BAD_LABEL, str(error))


def _label(fields: Mapping[str, Any]) -> Label:
    winner = _winner(fields)
    votes = _votes(fields)
    shares = None
    if votes is not None:
        shares = votes[0] / sum(votes), votes[1] / sum(votes), votes[2] / sum(votes)
        most = [outcome for outcome, count in zip(OUTCOMES, votes, strict=True) if count == max(votes)]
        if winner in OUTCOMES[:2] and winner not in most:
            raise _BadLabelError("winner has fewer votes than another outcome; correct one of them, or leave one out")
        winner = winner or (most[0] if len(most) == 1 else "tie")
    if winner is None:
        raise _BadLabelError(
            f"no label: give winner ({', '.join(OUTCOMES)}), votes, or the columns {', '.join(WINNER_COLUMNS)}"
        )
    target = shares or _one_hot(winner)
    ties_possible = _ties_possible(fields)
    if not ties_possible and (winner == "tie" or target[2]):
        raise _BadLabelError("a tie although ties_possible is false; correct the label, or set ties_possible to true")
    return Label(winner, target, _weight(fields), ties_possible, both_bad=_is_both_bad(fields), votes=votes)


def _winner(fields: Mapping[str, Any]) -> Outcome | None:
    """What `winner` and Kaggle's columns say; None where neither is there."""
    spelled = fields.get("winner")
    named = SPELLINGS.get(normal_spelling(spelled)) if isinstance(spelled, str) else None
    if spelled is not None and named is None:
        raise _BadLabelError(f"winner is {_shown_label(spelled)}, none of those that are known ({SPELLINGS_HELP})")
    marked = _marked_winner(fields)
    if named and marked and named != marked:
        raise _BadLabelError(f"winner and the columns {', '.join(WINNER_COLUMNS)} contradict each other; leave one out")
    return named or marked


def _shown_label(value: object) -> str:
    """A label that is not known, for people. Where columns are mixed up it is a battle's text, and is not shown."""
    if isinstance(value, list | dict):
        return f"of the type {type(value).__name__}"
    if not isinstance(value, str):
        return repr(value)
    return repr(value) if _LIKE_A_LABEL.fullmatch(value) else f"a text of {len(value):,} characters"


def _is_both_bad(fields: Mapping[str, Any]) -> bool:
    winner = fields.get("winner")
    return isinstance(winner, str) and normal_spelling(winner) in BOTH_BAD


def _marked_winner(fields: Mapping[str, Any]) -> Outcome | None:
    marks = [fields.get(name) for name in WINNER_COLUMNS]
    if marks == [None, None, None]:
        return None
    if (marks.count(1), marks.count(0)) != (1, 2) or any(isinstance(mark, bool) for mark in marks):
        raise _BadLabelError(f"of {', '.join(WINNER_COLUMNS)} exactly one must be 1, the others 0")
    return OUTCOMES[marks.index(1)]


def _votes(fields: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """How many said what; None where there are no votes."""
    votes = fields.get("votes")
    if votes is None:
        return None
    if not isinstance(votes, dict) or not set(votes) <= set(OUTCOMES):
        raise _BadLabelError(f"votes must be an object from {', '.join(OUTCOMES)} to how many said so; no other keys")
    counts = [votes.get(outcome, 0) for outcome in OUTCOMES]
    if not all(_is_amount(count) for count in counts) or not 0 < sum(counts) < math.inf:
        raise _BadLabelError("votes must be numbers from 0 up, at least one of them above 0")
    return counts[0], counts[1], counts[2]


def _one_hot(winner: Outcome) -> tuple[float, float, float]:
    return float(winner == "model_a"), float(winner == "model_b"), float(winner == "tie")


def _weight(fields: Mapping[str, Any]) -> float:
    weight = fields.get("weight")
    if weight is None:
        return 1.0
    if not _is_amount(weight):
        raise _BadLabelError("weight must be a finite number from 0 up")
    return float(weight)


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _ties_possible(fields: Mapping[str, Any]) -> bool:
    flag = fields.get("ties_possible")
    if flag is None:
        return True
    if not isinstance(flag, bool):
        raise _BadLabelError("ties_possible must be true or false")
    return flag


def _name(fields: Mapping[str, Any], field: str) -> str | None:
    name = fields.get(field)
    if name is None or name == "":
        return None
    if not isinstance(name, str) or len(name) > MAX_NAME_CHARS:
        raise _BadLabelError(f"{field} must be a name of at most {MAX_NAME_CHARS} characters")
    return name
