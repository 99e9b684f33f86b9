"""CloudEvents in structured mode: one JSON object, the envelope, with the event's attributes and, in `data`, the event.

In binary mode attributes are headers, and the record's value is the event itself. Which mode it is, the header
`content-type` says: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md. The
envelope is checked as
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md has it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from prefstream.schemas.battle import OccurredAt, explain
from prefstream.schemas.dead_letter import Reason, WithHeaders, header
from prefstream.schemas.errors import InvalidEventError

CONTENT_TYPE: Final = "content-type"

STRUCTURED: Final = "application/cloudevents+json"

_ENVELOPES: Final = "application/cloudevents"
_PLACE: Final = "the CloudEvents envelope"
_NAME: Final = re.compile(r"[a-z0-9]+")
_JSON: Final = re.compile(r"[^/;\s]+/(json|[^/;\s]+\+json)\s*(;.*)?", re.IGNORECASE)
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_INTEGERS: Final = range(-(2**31), 2**31)

_Attribute = Annotated[StrictStr, Field(min_length=1)]


def content_type_of(record: WithHeaders) -> str | None:
    """What a record says that its value is; None where it says nothing."""
    return header(record, CONTENT_TYPE) if record.headers else None


def is_structured(content_type: str | None) -> bool:
    """Whether a value is an envelope.

    Args:
        content_type: of the record.

    Raises:
        InvalidEventError: it is one in a format, or in letters, that are not read.
    """
    if content_type is None or not content_type.strip().lower().startswith(_ENVELOPES):
        return False
    media_type = content_type.partition(";")[0].strip().lower()
    charset = _CHARSET.search(content_type)
    if media_type != STRUCTURED or (charset and charset[1].lower() not in {"utf-8", "us-ascii"}):
        raise InvalidEventError(
            Reason.WRONG_TYPE,
            f"header {CONTENT_TYPE}: CloudEvents are read as {STRUCTURED}, in UTF-8, and in binary mode",
        )
    return True


class CloudEventEnvelope(BaseModel):
    """An envelope. What is not named here is an extension; of those only `traceparent` means something to us."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    specversion: Literal["1.0"]
    id: _Attribute
    source: _Attribute
    type: _Attribute
    subject: _Attribute | None = None
    dataschema: _Attribute | None = None
    datacontenttype: _Attribute | None = None
    time: OccurredAt = None
    traceparent: StrictStr | None = None
    data: Annotated[Any, Field(repr=False)] = None
    data_base64: Annotated[StrictStr | None, Field(repr=False)] = None

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Read an envelope.

        Args:
            fields: the JSON object.

        Raises:
            InvalidEventError: it is no envelope; the text names the attribute, and holds nothing of its value.
        """
        for position, (name, value) in enumerate(fields.items(), 1):
            if name not in cls.model_fields and not _is_extension(name, value):
                # Not named: whoever wrote it may have put a text there.
                raise InvalidEventError(
                    Reason.WRONG_TYPE,
                    f"{_PLACE}: attribute {position} is no extension: a name of a-z and 0-9, and a text, true, false "
                    "or an integer of 32 bits",
                )
        if fields.get("data") is not None and fields.get("data_base64") is not None:
            raise InvalidEventError(Reason.WRONG_TYPE, f"{_PLACE} has both data and data_base64")
        try:
            return cls.model_validate(dict(fields))
        except ValidationError as error:
            found = explain(error)
            raise InvalidEventError(found.reason, f"{_PLACE}: {found.detail}") from None

    @field_validator("datacontenttype")
    @classmethod
    def _is_json(cls, told: str | None) -> str | None:
        if told is not None and not _JSON.fullmatch(told):
            raise PydanticCustomError("media_type", "should be a media type of JSON")
        return told

    def unpacked(self) -> Mapping[str, Any] | bytes:
        """What is in it: an object, or the bytes of one.

        Raises:
            InvalidEventError: nothing is, or something else.
        """
        if self.data_base64 is not None:
            try:
                return base64.b64decode(self.data_base64, validate=True)
            except (binascii.Error, ValueError):
                raise InvalidEventError(Reason.WRONG_TYPE, f"{_PLACE}: field data_base64 should be base64") from None
        if self.data is None:
            raise InvalidEventError(Reason.MISSING_FIELD, f"{_PLACE}: field data is missing")
        if not isinstance(self.data, dict):
            raise InvalidEventError(Reason.NOT_AN_OBJECT, f"{_PLACE}: field data should be an object")
        return self.data

    def complete(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A battle's fields, with what it does not say of itself: its id, and when it took place."""
        told = {"id": self.id} | ({"occurred_at": self.time} if self.time is not None else {})
        return {**told, **fields}


def _is_extension(name: str, value: object) -> bool:
    if not _NAME.fullmatch(name):
        return False
    return value is None or isinstance(value, str | bool) or (isinstance(value, int) and value in _INTEGERS)
