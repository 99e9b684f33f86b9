"""How the app answers: bodies that are ready, packed for those who take that, and problems."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from prefstream.consumer.board.api.answers import MOST_STALE_S, AnswerCache, Key, ReadyAnswer

API: Final = "/api/v1"

JSON: Final = "application/json"


class ApiProblem(BaseModel):
    """Why a request is not answered."""

    detail: str


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {422: {"model": ApiProblem}, 503: {"model": ApiProblem}}
"""What any address may answer instead."""


async def cached_response(request: Request, answers: AnswerCache[Key], key: Key) -> Response:
    """Send what is kept or computed, and say how old it is.

    `Age` says since when, and `Cache-Status` (RFC 9211) for how long it is still fresh: below 0 a newer one is being
    computed, for which who asks again does not wait. With `Cache-Control: max-stale` (RFC 9111) a client says that an
    older one will do for a beginning.

    Args:
        request: says what the client has, and what will do.
        answers: where the answer is kept.
        key: of what.

    Raises:
        PrefstreamError: it can't be computed now.
    """
    given = await answers.get(key, most_stale_s=_most_stale_s(request))
    # Of a fresh one, too: a browser keeps what it was told of a body until it is told otherwise, with a 304 as well.
    headers = {"Age": str(int(given.age_s)), "Cache-Status": f"prefstream; hit; ttl={math.floor(given.ttl_s)}"}
    return ready_response(request, given.answer, headers)


def ready_response(request: Request, answer: ReadyAnswer, headers: Mapping[str, str] | None = None) -> Response:
    """Send what is ready, or say that the client has it already.

    Args:
        request: says what the client has, and whether it takes packed bodies.
        answer: to be sent.
        headers: beside those of every such answer.
    """
    told = {"ETag": answer.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding", **(headers or {})}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if answer.etag in known or "*" in known:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=told)
    body = answer.body
    if answer.packed is not None and _takes_gzip(request):
        told["Content-Encoding"] = "gzip"
        body = answer.packed
    return Response(body, media_type=answer.media_type, headers=told)


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Say why a request is not answered.

    Args:
        status: of HTTP.
        detail: what is wrong, and what to do; nothing that a stranger wrote.
        headers: beside those of every problem.
    """
    return JSONResponse(
        ApiProblem(detail=detail).model_dump(), status, headers={"Cache-Control": "no-store", **(headers or {})}
    )


def _most_stale_s(request: Request) -> float:
    """For how long an answer may not have been fresh, by what a client says; 0 where it says nothing."""
    for directive in request.headers.get("cache-control", "").lower().split(","):
        name, given, seconds = directive.strip().partition("=")
        if name == "max-stale" and not given:
            return MOST_STALE_S
        if name == "max-stale" and seconds.isascii() and seconds.isdigit():
            return min(float(seconds), MOST_STALE_S)
    return 0.0


def _takes_gzip(request: Request) -> bool:
    for coding in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = coding.partition(";")
        if name.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
