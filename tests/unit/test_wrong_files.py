"""Whatever stands in a file of ours that a person may have written: the answer is an error of ours, in our words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import BaseModel

from prefstream.consumer.config import StreamConfig
from prefstream.schemas import PrefstreamError
from prefstream.scoring.config import PanelConfig, load_panel_config
from prefstream.scoring.finetune.features.recipe import FeaturesRecipe, load_any_recipe
from prefstream.scoring.finetune.recipe import RECIPES, Recipe, load_recipe
from prefstream.scoring.judges.calibration import CalibrationFile
from prefstream.scoring.loading.adapter_record import RECORD, AdapterRecord
from prefstream.scoring.loading.features import FeaturesRecord

FOREIGN: Final = re.compile(
    r"Input |valid (tuple|list|dict|str|int|boolean)|Value error|validation error|has no attribute|object is not"
    r"|unhashable|not subscriptable|NoneType|<class|type=|pydantic|Traceback|Expecting|constructor|instance of|Decimal"
    r"|recursion|codec can't|could not be parsed|unable to parse|\bNone\b|\bdict\b|\btuple\b"
)
"""Words of Python's and pydantic's."""

WRONG_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    -7,
    1.5,
    "zz",
    "",
    [],
    [1, "a"],
    {},
    {"a": 1},
    [[[]]],
    {"a": {"b": [None]}},
)
WRONG_WHOLES: Final[tuple[Any, ...]] = (None, True, 7, "some text", [], ["a"], [{}], {"zz": 1})
BROKEN: Final = {
    "empty": b"",
    "no text": b"\xff\xfe\x00{",
    "half": b'{"format": [',
    "deep": b"[" * 100_000,
    "deep mappings": b'{"a":' * 50_000,
    "two documents": b"a: 1\n---\nb: 2\n",
    "a tag": b"!!python/object:os.system {}\n",
    "a list as key": b"? [a, b]\n: 1\n",
    "a date that is none": b"seed: 2026-13-40\n",
    "an unknown alias": b"a: *b\n",
    "a tab": b"a:\n\t- b\n",
}


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: of the file.
        read: as a command reads it.
        model: what it holds.
        whole: a right one.
        is_json: written as JSON, else as YAML.
        needs_content: whether an empty file is wrong.
    """

    name: str
    read: Callable[[Path], object]
    model: type[BaseModel]
    whole: Mapping[str, Any]
    is_json: bool = False
    needs_content: bool = True

    def encode(self, content: object) -> bytes:
        return (json.dumps(content) if self.is_json else yaml.safe_dump(content)).encode()


JUDGE: Final = {"name": "p", "kind": "prior", "probabilities": {"model_a": 0.4, "model_b": 0.4, "tie": 0.2}}
KINDS: Final = (
    Kind("prefstream.yaml", StreamConfig.load, StreamConfig, {"group_id": "g"}, needs_content=False),
    Kind("panel.yaml", load_panel_config, PanelConfig, {"judges": [JUDGE]}),
    Kind(
        "recipe.yaml",
        lambda path: load_recipe(str(path)),
        Recipe,
        yaml.safe_load((RECIPES / "gemma-3-270m.yaml").read_text()),
    ),
    Kind("calibration.json", CalibrationFile.read, CalibrationFile, {"format": 1}, is_json=True),
    Kind(
        RECORD,
        lambda path: AdapterRecord.read(path.parent),
        AdapterRecord,
        {
            "kind": "pointwise",
            "labels": ["score", "tie"],
            "template": "gemma-pointwise-1",
            "template_hash": "0" * 64,
            "max_length": 8,
        },
        is_json=True,
    ),
    Kind(
        "features.yaml",
        lambda path: load_any_recipe(str(path)),
        FeaturesRecipe,
        yaml.safe_load((RECIPES / "lexical-demo.yaml").read_text()),
    ),
    Kind(
        RECORD,
        lambda path: FeaturesRecord.read(path.parent),
        FeaturesRecord,
        {
            "kind": "features",
            "template": "features-1",
            "template_hash": "0" * 64,
            "features": {"hash_bits": 8},
            "weights_hash": "0" * 64,
        },
        is_json=True,
    ),
)


def wrong_parts(kind: Kind) -> Iterator[tuple[str, object]]:
    """A right file in which one setting, of the whole or of a judge in it, is of another kind."""
    for name in kind.model.model_fields:
        for value in WRONG_VALUES:
            yield f"{name}={value!r}", {**kind.whole, name: value}
    if kind.model is PanelConfig:
        for name in (*JUDGE, "weight", "simulate", "base", "adapter"):
            for value in WRONG_VALUES:
                yield f"judges.{name}={value!r}", {"judges": [{**JUDGE, name: value}]}
        for value in WRONG_VALUES:
            yield f"judges[0]={value!r}", {"judges": [value]}
            yield f"kind=pairwise, base={value!r}", {"judges": [{"name": "m", "kind": "pairwise", "base": value}]}
            yield f"kind=features, adapter={value!r}", {"judges": [{"name": "f", "kind": "features", "adapter": value}]}


def refusal(kind: Kind, path: Path) -> str | None:
    """What is said of a file; None where it is right. Anything but an error of ours fails the test."""
    try:
        kind.read(path)
    except PrefstreamError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_right_file_is_read(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / kind.name
    path.write_bytes(kind.encode(dict(kind.whole)))
    assert refusal(kind, path) is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_setting_of_another_kind_is_refused_in_plain_words_with_its_place(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / kind.name
    told = {}
    for what, content in wrong_parts(kind):
        path.write_bytes(kind.encode(content))
        if (message := refusal(kind, path)) is not None:
            told[what] = message
    assert len(told) > len(kind.model.model_fields)
    assert {what: message for what, message in told.items() if FOREIGN.search(message)} == {}
    assert {what for what, message in told.items() if str(path) not in message} == set()
    for what, message in told.items():
        assert what.partition("=")[0].partition("[")[0].split(".")[-1].split(",")[0] in message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("content", WRONG_WHOLES, ids=repr)
def test_a_file_that_is_no_mapping_is_refused_in_plain_words(kind: Kind, content: object, tmp_path: Path) -> None:
    path = tmp_path / kind.name
    path.write_bytes(kind.encode(content))
    message = refusal(kind, path)
    if content is None and not kind.needs_content:
        assert message is None
        return
    assert message
    assert str(path) in message
    assert not FOREIGN.search(message), message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_that_can_not_be_parsed_is_refused_in_plain_words(kind: Kind, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / kind.name
    path.write_bytes(content)
    message = refusal(kind, path)
    if not content and not kind.needs_content:
        assert message is None
        return
    assert message
    assert str(path) in message
    assert not FOREIGN.search(message), message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_key_given_twice_is_refused_by_its_name(kind: Kind, tmp_path: Path) -> None:
    """Neither parser tells: the last would win."""
    path = tmp_path / kind.name
    name, value = next(iter(kind.whole.items()))
    pair = f"{json.dumps(name)}: {json.dumps(value)}"
    path.write_text(f"{{{pair}, {pair}}}")
    message = refusal(kind, path)
    assert message
    assert f"key {name} is given twice" in message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_file_and_a_folder_are_refused_in_plain_words(kind: Kind, tmp_path: Path) -> None:
    folder = tmp_path / kind.name
    missing = refusal(kind, folder)
    folder.mkdir()
    for message in (missing, refusal(kind, folder)):
        assert message
        assert str(folder) in message
        assert not FOREIGN.search(message), message
