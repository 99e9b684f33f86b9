"""A data frame of battles in, the same frame with what the panel says out: pandas, Polars, PyArrow, by narwhals."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import narwhals.stable.v2 as nw
from narwhals.exceptions import DuplicateError

from prefstream.schemas import OUTCOMES, Battle, InvalidEventError, Probabilities, parse_battle, parse_row
from prefstream.scoring.errors import MisuseError
from prefstream.scoring.files.arena import CONVERSATIONS, contract_fields
from prefstream.scoring.files.battles import TEXTS, misread_turns
from prefstream.scoring.files.row_warnings import RowWarnings
from prefstream.scoring.panel.combine import PanelAnswer

if TYPE_CHECKING:
    from narwhals.stable.v2.typing import IntoDataFrameT

    from prefstream.scoring.panel.panel import Panel

PROBABILITIES: Final = tuple(f"probability_{outcome}" for outcome in OUTCOMES)
ADJUSTED: Final = tuple(f"adjusted_{outcome}" for outcome in OUTCOMES)

_MODELS: Final = ("model_a", "model_b")


def score_frame(panel: Panel, frame: IntoDataFrameT) -> IntoDataFrameT:
    """As `Panel.score_frame`."""
    try:
        rows = nw.from_native(frame, eager_only=True)
    except DuplicateError:
        raise MisuseError("score_frame: several columns of the frame have one name; rename them") from None
    except TypeError:
        kind = type(frame)
        raise MisuseError(
            f"score_frame takes a DataFrame of pandas or Polars, or a PyArrow table, not {kind.__module__}."
            f"{kind.__qualname__}; collect a lazy frame first"
        ) from None
    names = next((names for names in (TEXTS, CONVERSATIONS) if set(names) <= set(rows.columns)), None)
    if names is None:
        missing = [name for name in TEXTS if name not in rows.columns]
        raise MisuseError(
            f"score_frame: the frame has no column {', '.join(missing)}; rename those that hold it (LMArena's "
            f"{', '.join(CONVERSATIONS)} are read, too)"
        )
    misread = RowWarnings()
    # Nobody else asks who answered: a frame may have anything in these columns.
    models = tuple(name for name in _MODELS if panel.recuse and name in rows.columns)
    battles = list(_battles(rows, names, models, misread))
    for alike in misread:
        told = "1 row" if alike.rows == 1 else f"{alike.rows:,} rows"
        warnings.warn(f"score_frame: {told}, the first is number {alike.lines[0]}: {alike.warning}", stacklevel=3)
    answers = iter(panel.score(one for one in battles if isinstance(one, Battle)))
    results = [next(answers) if isinstance(one, Battle) else one for one in battles]
    given = [one if isinstance(one, PanelAnswer) else None for one in results]
    columns = dict(_triples(PROBABILITIES, [None if one is None else one.probabilities for one in given]))
    columns["preferred"] = [one and one.preferred for one in given], nw.String
    columns["disagreement"] = [one and one.disagreement for one in given], nw.Float64
    if panel.length_slope is not None:
        columns |= _triples(ADJUSTED, [None if one is None else one.adjusted for one in given])
    if panel.recuse:
        columns["recused"] = [one and (", ".join(one.recused) or None) for one in given], nw.String
    columns["error"] = [None if isinstance(one, PanelAnswer) else str(one) for one in results], nw.String
    return rows.with_columns(
        nw.new_series(name, values, dtype, backend=rows.implementation) for name, (values, dtype) in columns.items()
    ).to_native()


def _triples(
    names: tuple[str, ...], said: Sequence[Probabilities | None]
) -> Iterator[tuple[str, tuple[list[Any], Any]]]:
    """A column for each outcome, by its name."""
    for name, outcome in zip(names, OUTCOMES, strict=True):
        yield name, ([one and getattr(one, outcome) for one in said], nw.Float64)


def _battles(
    rows: nw.DataFrame[Any], names: tuple[str, ...], models: tuple[str, ...], misread: RowWarnings
) -> Iterator[Battle | InvalidEventError]:
    """Row by row; no judge reads more than the texts, so rows are told apart by their numbers, from 0."""
    read = (*names, *models)
    columns = [_plain(rows.get_column(name)) for name in read]
    for number, values in enumerate(zip(*columns, strict=True)):
        texts = {name: text for name, text in zip(read, values, strict=True) if text is not None}
        # All three as strings are cells of a CSV file, where each may hold a list.
        cells = names == TEXTS and all(isinstance(text, str) for text in values[: len(names)])
        try:
            battle = (parse_row if cells else parse_battle)(contract_fields({"id": str(number), **texts}))
        except InvalidEventError as error:
            yield error
            continue
        if cells and (warning := misread_turns(texts, battle)):
            misread.add(number, warning)
        yield battle


def _plain(column: nw.Series[Any]) -> Iterator[Any]:
    """Values as Python has them: None for each of the ways in which a frame says that there is none."""
    for value, empty in zip(column.to_list(), column.is_null().to_list(), strict=True):
        yield None if empty else _plain_value(value)


def _plain_value(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain_value(one) for one in value]
    if isinstance(value, dict):  # a message of a conversation
        return {name: _plain_value(one) for name, one in value.items()}
    return value
