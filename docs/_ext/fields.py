"""Tables of a message's fields, out of its JSON Schema, where a document has `<!-- fields: PATH -->`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from sphinx.application import Sphinx

PLACE: Final = re.compile(r"^<!-- fields: (\S+) -->$", re.MULTILINE)

Schema = dict[str, Any]


def fields(schema: Schema, level: int) -> str:
    """A schema in Markdown: its fields, and a section for each of the objects in them.

    Args:
        schema: JSON Schema of an object, as pydantic makes it.
        level: of the sections' headings.
    """
    definitions = schema.get("$defs", {})
    parts = [_table(schema, definitions)]
    for name, definition in definitions.items():
        body = _table(definition, definitions) if "properties" in definition else f"{_kind(definition)}."
        parts.append(f"{'#' * level} {name}\n\n{_text(definition)}\n\n{body}")
    return "\n\n".join(parts)


def _table(schema: Schema, definitions: dict[str, Schema]) -> str:
    lines = ["| field | type | what |", "|---|---|---|"]
    for name, field in schema["properties"].items():
        kind = _kind(field) + ("; **required**" if name in schema.get("required", []) else "")
        what = _text(field) or _text(definitions.get(_name(field), {}))
        lines.append(f"| `{name}` | {kind} | {what} |")
    return "\n".join(lines)


def _name(schema: Schema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _text(schema: Schema) -> str:
    return re.sub(r"\s+", " ", schema.get("description", "")).replace("|", "\\|")


def _kind(schema: Schema) -> str:
    if "$ref" in schema:
        return f"[{_name(schema)}](#{_name(schema).lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        items = _kind(schema["items"])
        return f"list ({items})" if " or " in items else f"list of {items}"
    return f"{schema.get('format', schema['type'])}{_range(schema)}"


def _range(schema: Schema) -> str:
    least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if least is None or abs(least) > 1e9:
        return ""
    above = "above " if "exclusiveMinimum" in schema else ""
    return f", {above}{least:g} to {most:g}" if most is not None else f", from {least:g}"


def _on_source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    def table(found: re.Match[str]) -> str:
        path = Path(app.env.doc2path(docname)).parent / found[1]
        app.env.note_dependency(path, docname=docname)
        return fields(json.loads(path.read_text(encoding="utf-8")), level=3)

    source[0] = PLACE.sub(table, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of it."""
    app.connect("source-read", _on_source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
