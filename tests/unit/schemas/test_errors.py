"""The root of the error tree, and the one error of the contract."""

from __future__ import annotations

import copy

import pytest

from prefstream.schemas import InvalidEventError, PrefstreamError, Reason


def test_message_is_reason_and_detail() -> None:
    error = InvalidEventError(Reason.NOT_JSON, "not JSON at line 1 column 2")
    assert str(error) == "not_json: not JSON at line 1 column 2"
    assert (error.reason, error.detail) == (Reason.NOT_JSON, "not JSON at line 1 column 2")


def test_is_caught_as_any_prefstream_error() -> None:
    with pytest.raises(PrefstreamError):
        raise InvalidEventError(Reason.NULL_VALUE, "the record has no value")


def test_survives_the_way_between_processes() -> None:
    """Multiprocessing and copy rebuild an exception by `__reduce__`."""
    error = InvalidEventError(Reason.TOO_DEEP, "deep")
    twin = copy.copy(error)
    assert (type(twin), twin.reason, twin.detail, str(twin)) == (
        InvalidEventError,
        error.reason,
        error.detail,
        str(error),
    )
