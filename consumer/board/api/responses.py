"""How the app answers: bodies that are ready, packed for those who take that, and problems."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from prefstream.consumer.board.api.answers import ReadyAnswer

API: Final = "/api/v1"

JSON: Final = "application/json"


class ApiProblem(BaseModel):
    """Why a request is not answered."""

    detail: str


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {422: {"model": ApiProblem}, 503: {"model": ApiProblem}}
"""What any address may answer instead."""


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


def _takes_gzip(request: Request) -> bool:
    for coding in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = coding.partition(";")
        if name.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
