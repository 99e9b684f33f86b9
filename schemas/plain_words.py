"""What pydantic finds wrong, in words for people who write JSON and YAML, not Python."""

from __future__ import annotations

import re
from typing import Final

from pydantic_core import ErrorDetails

_WORDS: Final = {
    "missing": "is missing",
    "string_type": "should be a text",
    "path_type": "should be a path",
    "string_too_long": "should have at most {max_length} characters",
    "string_too_short": "should have at least {min_length} characters",
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), "should be a list"),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
        "should be a mapping of keys to values",
    ),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    "too_short": "should have at least {min_length} item(s)",
    "too_long": "should have at most {max_length} item(s)",
    "literal_error": "should be {expected}",
}
"""By pydantic's type of error; what stands in braces comes from its context."""

_SUBJECT: Final = re.compile(r"(Value error, )?((Input|Value|String|Tuple|List|Dictionary) (?=should))?")


def plain_words(error: ErrorDetails) -> str:
    """What is wrong with a value, to be put behind its name: `should be a whole number`. Never the value itself."""
    if error["type"] in {"too_short", "string_too_short"} and error.get("ctx", {}).get("min_length") == 1:
        return "should not be empty"
    known = _WORDS.get(error["type"])
    return known.format_map(error.get("ctx", {})) if known else _SUBJECT.sub("", error["msg"], count=1)
