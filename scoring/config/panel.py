"""The panel file: who judges, on which device, how their answers are combined.

Every path may be relative to the panel file. Unknown keys are errors. All errors are reported together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from prefstream.scoring.config.judges import JudgeConfig
from prefstream.scoring.config.sources import FOLDER, Source
from prefstream.scoring.errors import ConfigError, MisuseError
from prefstream.scoring.settings import Settings
from prefstream.scoring.settings_files import read_yaml
from prefstream.scoring.validation_messages import error_lines, nearest_of

DEMO_PANEL: Final = "demo"
"""Names the demo's panel wherever a panel file can be named. A file of this name is meant by its whole path."""

_DEMO_PANEL_FILE: Final = Path(__file__).resolve().parents[1] / "demo" / "pretrained" / "panel.yaml"


class PanelConfig(Settings):
    """Who judges, and what becomes of their answers."""

    judges: tuple[JudgeConfig, ...]
    swap: Annotated[
        bool, Field(description="Score every battle in both orders and average; free for pointwise judges.")
    ] = False
    calibration: Annotated[
        Source | None,
        Field(
            description="JSON file that `prefstream calibrate` writes: temperature and tie bias of each judge and of "
            "their mean, and weights, which take the place of those here."
        ),
    ] = None
    golden: Annotated[
        Source | None,
        Field(
            description="File that `prefstream golden make` writes: battles and the answers that this panel is known "
            "to give. It is not ready before it gives them."
        ),
    ] = None
    recuse: Annotated[
        Mapping[str, tuple[Annotated[str, Field(min_length=1)], ...]],
        Field(
            description="By judge, shell patterns for names of models (`model_a` or `model_b` of a battle) that may be "
            "of its own family: where one fits, the judge does not count. Upper and lower case are alike."
        ),
    ] = {}
    on_judge_failure: Annotated[
        Literal["stop", "degrade"],
        Field(description="What to do when a judge fails for good: stop, or go on without it and say so."),
    ] = "stop"

    @model_validator(mode="after")
    def _judges_fit_together(self) -> Self:
        errors = _joint_errors([(judge.name, judge.weight) for judge in self.judges], self.recuse)
        if errors:
            raise ValueError("; ".join(errors))
        return self


def load_panel_config(source: Path | str) -> PanelConfig:
    """Read a panel file.

    Args:
        source: the YAML file, or `demo` for the demo's panel; relative paths in it are relative to its folder.

    Raises:
        ConfigError: the file can't be read or holds errors; all of them are in the message.
        MisuseError: `source` is no path.
    """
    if not isinstance(source, Path | str):
        wanted = "the path of its file, demo, or PanelConfig(**settings)"
        raise MisuseError(f"a panel is {wanted}, not {type(source).__name__}")
    path = _DEMO_PANEL_FILE if str(source) == DEMO_PANEL else Path(source)
    fields = read_yaml(path, absent="no such file; give the path of a panel file, or demo for the one that is built in")
    try:
        return PanelConfig.model_validate(fields, context={FOLDER: path.resolve().parent})
    except ValidationError as error:
        errors = error_lines(error, PanelConfig)
        # pydantic skips checks of the whole when a part is wrong; the reader wants them all.
        judges, recuse = (fields.get("judges"), fields.get("recuse")) if isinstance(fields, Mapping) else (None, None)
        if isinstance(judges, list):
            joint = _joint_errors([_name_and_weight(judge) for judge in judges], recuse)
            errors += tuple(line for line in joint if not any(line in known for known in errors))
        raise ConfigError(str(path), errors) from None


def _name_and_weight(judge: object) -> tuple[object, object]:
    return (judge.get("name"), judge.get("weight")) if isinstance(judge, Mapping) else (None, None)


def _joint_errors(judges: Sequence[tuple[object, object]], recuse: object) -> list[str]:
    """Errors that no single judge shows.

    Args:
        judges: name and weight of each, as far as they can be read.
        recuse: what the file says of recusal, whatever that is.
    """
    names = Counter(name for name, _ in judges if isinstance(name, str))
    errors = [
        f"judges: {count} judges are named {name}; names must differ" for name, count in names.items() if count > 1
    ]
    if not judges:
        errors.append("judges: is empty; a panel needs at least one judge")
    elif all(weight == 0 for _, weight in judges):
        errors.append("judges: every weight is 0; at least one judge must count")
    if isinstance(recuse, Mapping):
        errors += _recusal_errors(recuse, list(names))
    return errors


def _recusal_errors(recuse: Mapping[object, object], judges: Sequence[str]) -> Iterator[str]:
    for name, globs in recuse.items():
        if isinstance(name, str) and judges and name not in judges:
            yield f"recuse.{name}: no judge has this name; {nearest_of(name, judges)}"
        if isinstance(globs, Sized) and not globs:
            yield f"recuse.{name}: is empty; give patterns for names of models, or leave the judge out"
