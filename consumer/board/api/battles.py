"""`POST /api/v1/battles`, a battle that is tried out, and `GET /api/v1/texts`, the texts of one: where that is allowed.

A body is bounded while it is read: nothing that comes behind the bound is read, the connection is closed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from prefstream.consumer.board.api.access import same_site
from prefstream.consumer.board.api.responses import ApiProblem, problem_response
from prefstream.consumer.board.battles.gate import Gate, TooManyError
from prefstream.consumer.board.battles.payloads import BattleDraft, BattleTexts, SentBattle
from prefstream.consumer.board.battles.texts import TextReader
from prefstream.consumer.board.battles.writer import BattleWriter
from prefstream.consumer.errors import TextsMissingError, UnconfirmedError
from prefstream.schemas import InvalidEventError
from prefstream.schemas.battle import MAX_ID_CHARS
from prefstream.schemas.plain_words import plain_words
from prefstream.schemas.wire import decode_object

MOST_BYTES: Final = 64 * 1024
"""Of a body: some fifteen thousand tokens, several times what a judge reads, and a sixteenth of what a topic takes."""

BODY_S: Final = 10.0
"""For the whole body to come: one that drips would hold a place for ever."""

WRITERS: Final = 4
"""Battles that are written at once: people type, and a thread waits for each."""

A_MINUTE: Final = 30
"""Battles in a minute: a person tries a handful, and judges have others' battles to read."""

READERS: Final = 8
"""Texts that are asked for at once; one thread reads, and they wait for each other."""

_JSON: Final = "application/json"
_NOT_STORED: Final = {"Cache-Control": "no-store"}
_FIELDS: Final = ", ".join(BattleDraft.model_fields)

_NO_BATTLES: Final = "this board writes no battles: start it with --allow-battles to try some out"
_NO_TEXTS: Final = "this board shows no texts of battles: start it with --show-texts where everybody who sees it may"


class UnconfirmedBattle(ApiProblem):
    """A battle of which nobody knows whether it was written."""

    id: Annotated[str, Field(description="Its verdict has it, if there will be one.")]


class TextsQuery(BaseModel):
    """Which record is meant: a preference's `id` and `source`."""

    id: Annotated[str, Field(max_length=MAX_ID_CHARS)]
    partition: Annotated[int, Field(ge=0, lt=2**31)]
    offset: Annotated[int, Field(ge=0, lt=2**63)]
    topic: Annotated[str | None, Field(max_length=249, description="Refused if it is not the one that is read.")] = None


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def battle_routes(writer: BattleWriter | None, reader: TextReader | None) -> APIRouter:
    """Both addresses; where they are not allowed they say so.

    Args:
        writer: writes battles that are tried out; None: nobody may.
        reader: reads battles' texts; None: nobody may see them.
    """
    router = APIRouter()
    problems: dict[int | str, dict[str, Any]] = {404: {"model": ApiProblem}, 429: {"model": ApiProblem}}
    router.add_api_route(
        "/battles",
        _battles(writer),
        methods=["POST"],
        dependencies=[Depends(same_site)],
        max_body_size=sys.maxsize,  # _body has a bound; the framework's goes on reading what it refused
        status_code=HTTPStatus.ACCEPTED,
        response_model=SentBattle,
        summary="Write a battle to its topic; the verdict comes among the others. Only with --allow-battles.",
        operation_id="try_battle",
        responses=problems
        | {status: {"model": ApiProblem} for status in (403, 408, 413, 415)}
        | {503: {"model": UnconfirmedBattle | ApiProblem}},
        openapi_extra={
            "requestBody": {"required": True, "content": {_JSON: {"schema": BattleDraft.model_json_schema()}}}
        },
    )
    router.add_api_route(
        "/texts",
        _texts(reader),
        response_model=BattleTexts,
        summary="Prompt and answers of one battle, as they stand on its topic. Only with --show-texts.",
        operation_id="texts",
        responses=problems,
    )
    return router


def _battles(writer: BattleWriter | None) -> Callable[[Request], Awaitable[Response]]:
    gate = Gate(WRITERS, A_MINUTE)

    async def battles(request: Request) -> Response:
        if writer is None:
            return problem_response(HTTPStatus.NOT_FOUND, _NO_BATTLES)
        try:
            with gate.enter():
                draft = _draft(await _body(request))
                gate.count()
                sent = await run_in_threadpool(writer.write, draft)
        except _RefusedError as error:
            return problem_response(error.status, str(error), {"Connection": "close"})
        except TooManyError as error:
            return _too_many(error)
        except UnconfirmedError as error:
            told = UnconfirmedBattle(detail=str(error), id=error.record_id)
            return JSONResponse(told.model_dump(), HTTPStatus.SERVICE_UNAVAILABLE, headers=_NOT_STORED)
        return Response(sent.model_dump_json(), HTTPStatus.ACCEPTED, headers=_NOT_STORED, media_type=_JSON)

    return battles


def _texts(reader: TextReader | None) -> Callable[[TextsQuery], Awaitable[Response]]:
    gate = Gate(READERS)

    async def texts(query: Annotated[TextsQuery, Query()]) -> Response:
        if reader is None:
            return problem_response(HTTPStatus.NOT_FOUND, _NO_TEXTS)
        if query.topic not in {None, reader.topic}:
            return problem_response(HTTPStatus.NOT_FOUND, f"only battles on {reader.topic} are read; this one is not")
        try:
            with gate.enter():
                found = await run_in_threadpool(reader.read, query.id, query.partition, query.offset)
        except TooManyError as error:
            return _too_many(error)
        except TextsMissingError as error:
            return problem_response(HTTPStatus.NOT_FOUND, str(error))
        return Response(found.model_dump_json(), headers=_NOT_STORED, media_type=_JSON)

    return texts


async def _body(request: Request) -> bytes:
    """The body, which is bounded in size and time."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _JSON:
        raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {_JSON}, with this Content-Type")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise _RefusedError(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the battle has more than {MOST_BYTES // 1024} KiB"
                    )
    except TimeoutError:
        raise _RefusedError(HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {BODY_S:g} s") from None
    except ClientDisconnect:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "the body ended before its end") from None
    return bytes(body)


def _draft(body: bytes) -> BattleDraft:
    """What was sent, or what is wrong with it: nothing of its texts."""
    try:
        return BattleDraft.model_validate(decode_object(body))
    except InvalidEventError as error:
        raise _RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    except ValidationError as error:
        raise _RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, _faults(error)) from None


def _faults(error: ValidationError) -> str:
    told = []
    for fault in error.errors(include_url=False, include_input=False):
        if fault["type"] == "extra_forbidden":  # its name is a stranger's text
            told.append(f"a field that is none of {_FIELDS}")
        else:
            told.append(f"field {'.'.join(map(str, fault['loc']))} {plain_words(fault)}")
    return "; ".join(dict.fromkeys(told))


def _too_many(error: TooManyError) -> Response:
    return problem_response(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"{error}; try again in {error.again_after_s} s",
        {"Retry-After": str(error.again_after_s)},
    )
