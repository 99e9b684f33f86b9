"""The page's scripts, checked by TypeScript's compiler against the types that the API's document gives."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest

from prefstream.consumer.board.api.responses import API
from tests.support.boards import ask, open_store, served
from tests.support.npm import NPM_S, TYPESCRIPT, run

SCRIPTS: Final = Path(str(files("prefstream.consumer.board"))).resolve() / "page" / "js"
PAGE_TYPES: Final = SCRIPTS / "types.d.ts"
TAKING: Final = "taking.ts"
MISSPELT: Final = "misspelt.ts"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_store(tmp_path_factory.mktemp("board")) as store, served(store) as url:
        return ask(url, f"{API}/openapi.json").json


@pytest.fixture(scope="module")
def errors(node_programs: Path, tmp_path_factory: pytest.TempPathFactory, document: Any) -> list[tuple[str, str]]:
    """What the compiler finds in two scripts, checked as those of the page are: file and error."""
    folder = tmp_path_factory.mktemp("checked")
    config = json.loads((TYPESCRIPT / "page.json").read_text(encoding="utf-8"))
    (folder / "tsconfig.json").write_text(json.dumps(config | {"include": [], "files": [TAKING, MISSPELT]}))
    (folder / "api.schema.json").write_text(json.dumps(as_schema(document)))
    options = ("--no-additionalProperties", "--unreachableDefinitions")
    run(str(node_programs / "json2ts"), *options, "api.schema.json", "api.ts", folder=folder)
    both = in_both(document)
    lines = [
        'import type * as Api from "./api.js";',
        f'import type * as Page from "{PAGE_TYPES.with_suffix("").with_suffix("")}.js";',
        *(
            f"declare const given{name}: Api.{name};\nexport const taken{name}: Page.{name} = given{name};"
            for name in both
        ),
    ]
    (folder / TAKING).write_text("\n".join(lines))
    (folder / MISSPELT).write_text(
        f'import {{ get }} from "{SCRIPTS}/api.js";\nimport type {{ BoardStatus }} from "{SCRIPTS}/types.js";\n'
        'export const behind = async () => (await get<BoardStatus>("status")).behinde;\n'
    )
    tsc = (str(node_programs / "tsc"), "--project", ".")
    done = subprocess.run(tsc, cwd=folder, capture_output=True, text=True, timeout=NPM_S)
    return re.findall(r"^([^(]+)\(.*?\): error (.+?)\.(?: |$)", done.stdout, re.MULTILINE)


def in_both(document: Any) -> list[str]:
    """Names of the payloads that the API has and the page takes."""
    theirs = re.findall(r"^export (?:interface|type) (\w+)", PAGE_TYPES.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(theirs)) == len(theirs)
    return sorted({*theirs} & {*document["components"]["schemas"]})


def test_the_scripts_are_sound(node_programs: Path) -> None:
    run(str(node_programs / "tsc"), "--project", str(TYPESCRIPT / "page.json"), folder=TYPESCRIPT)


def test_the_page_takes_payloads_for_what_the_api_gives(document: Any, errors: list[tuple[str, str]]) -> None:
    """Its types may leave out what it does not use; what the API does not give may not be in them."""
    assert len(in_both(document)) > 20
    assert [error for error in errors if error[0] != MISSPELT] == []


def test_a_field_that_is_misspelt_is_found(errors: list[tuple[str, str]]) -> None:
    """Or the types would hold nothing."""
    told = "TS2551: Property 'behinde' does not exist on type 'BoardStatus'"
    assert [error for error in errors if error[0] == MISSPELT] == [(MISSPELT, told)]


def as_schema(document: Any) -> dict[str, Any]:
    """The document's payloads as one JSON Schema; in an answer of ours no field is ever missing."""
    definitions = json.loads(
        json.dumps(document["components"]["schemas"]).replace("#/components/schemas/", "#/definitions/")
    )
    for definition in definitions.values():
        definition["required"] = list(definition.get("properties", {}))
        for field in definition.get("properties", {}).values():
            field.pop("title", None)  # it would become a type of its own
            if names := field.pop("propertyNames", {}).get("enum"):  # which is nothing that TypeScript is made from
                each = field.pop("additionalProperties")
                field |= {"properties": dict.fromkeys(names, each), "required": names}
    return {"title": "Payloads", "type": "object", "definitions": definitions}
