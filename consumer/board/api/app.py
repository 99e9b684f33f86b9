"""The board's app: the live page, its JSON API under `/api/v1`, and what probes and Prometheus ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Final, TypeAlias, get_args

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, SecretStr

from prefstream.consumer.board.api.access import Access, TokenRequired, session_routes
from prefstream.consumer.board.api.answers import AnswerCache, ReadyAnswer
from prefstream.consumer.board.api.battles import battle_routes
from prefstream.consumer.board.api.hosts import KnownHosts
from prefstream.consumer.board.api.live import live_routes
from prefstream.consumer.board.api.middleware import SECURITY, AsMeant, SecurityHeaders
from prefstream.consumer.board.api.page import add_page_routes
from prefstream.consumer.board.api.responses import API, JSON, PROBLEMS, cached_response, problem_response
from prefstream.consumer.board.battles.texts import TextReader
from prefstream.consumer.board.battles.writer import BattleWriter
from prefstream.consumer.board.live.feed import LiveFeed
from prefstream.consumer.board.report.choices import Step, TableName
from prefstream.consumer.board.report.payloads import (
    BoardQuery,
    BoardReport,
    BoardStatus,
    LanguageTables,
    ReviewPage,
    StrengthTable,
    TieTable,
    TimeSlices,
    WinRates,
)
from prefstream.consumer.board.report.reports import Reports
from prefstream.consumer.board.report.stream_payloads import StreamReport
from prefstream.consumer.observe.health import HealthState, ProbeAnswer, encoder
from prefstream.schemas import PrefstreamError
from prefstream.scoring.trust.results import TrustReport, TrustTime

PROMPT_S: Final = 1.0
"""Of what is quickly computed and tells of now: a page asks every few seconds, and many pages may."""

JSON_LINES: Final = "application/x-ndjson"
CSV: Final = "text/csv; charset=utf-8; header=present"

_OTHER_HOST: Final = (
    "this board is for its own machine, and the request's Host names another one: ask for localhost, or start it with "
    "--http-names and that name"
)

_MOST_BODY_BYTES: Final = 64 * 1024
"""Of a request: a battle that is tried out, at most."""


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What the app needs beside what it reports.

    Attributes:
        refresh_s: an answer that is older begins to be computed anew when it is asked for.
        health: what probes are answered from; None: there are no probes.
        registry: what `/metrics` shows; None: nothing is.
        hosts: names that may be asked for beside addresses and `localhost`; None: any.
        root_path: under which a proxy shows it, whether it passes the path on or takes it off.
        live: what happens, as it happens; None: nobody is told.
        token: that requests must have; None: everybody may ask.
        battles: writes battles that are tried out; None: nobody may.
        texts: reads battles' texts; None: nobody may see them.
    """

    refresh_s: float = 5.0
    health: HealthState | None = None
    registry: CollectorRegistry | None = None
    hosts: frozenset[str] | None = None
    root_path: str = ""
    live: LiveFeed | None = None
    token: SecretStr | None = None
    battles: BattleWriter | None = None
    texts: TextReader | None = None


def create_app(reports: Reports, settings: AppSettings) -> FastAPI:
    """Make the app. Its own threads compute; they end with its lifespan.

    Args:
        reports: what the board says; called from several threads.
        settings: of the app.
    """

    def compute(wanted: _Wanted) -> ReadyAnswer:
        return ReadyAnswer.of(wanted.render(reports, wanted.query), wanted.media_type)

    answers: AnswerCache[_Wanted] = AnswerCache(compute, fresh_s=settings.refresh_s)
    prompt: AnswerCache[_Wanted] = AnswerCache(compute, fresh_s=min(PROMPT_S, settings.refresh_s), cost=0, stale_s=0)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        yield
        answers.close()
        prompt.close()

    app = FastAPI(
        title="prefstream board",
        summary="Strengths of models from votes and preferences, and whether the judges can be trusted.",
        version=version("prefstream"),
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # their pages fetch scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,  # where to would be what the request's Host says
        separate_input_output_schemas=False,
        max_body_size=_MOST_BODY_BYTES,
    )
    access = Access(settings.token, reports.file_key)
    app.add_middleware(TokenRequired, access=access)  # the one that is added last is passed first
    if settings.hosts is not None:
        app.add_middleware(
            KnownHosts, names=settings.hosts, refuse=lambda status: problem_response(status, _OTHER_HOST)
        )
    app.add_middleware(AsMeant, root_path=settings.root_path)
    app.add_middleware(SecurityHeaders)
    app.include_router(_routes(answers, prompt))
    live = settings.live
    session = session_routes(
        access,
        texts=settings.texts is not None,
        battles=settings.battles is not None,
        on_sign_out=live.broadcast.end_session if live else lambda _: None,
    )
    app.include_router(session, prefix=API, responses=PROBLEMS)
    app.include_router(battle_routes(settings.battles, settings.texts), prefix=API, responses=PROBLEMS)
    if live is not None:
        app.include_router(live_routes(live, access.session_of), prefix=API, responses=PROBLEMS)
    app.add_exception_handler(PrefstreamError, _failed)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(Exception, _broke)
    for status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        app.add_exception_handler(status, _no_such)
    add_page_routes(app)
    _add_probes(app, settings)
    return app


_Render: TypeAlias = Callable[[Reports, BoardQuery], str]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an answer is of: the key by which it is kept."""

    render: _Render
    media_type: str
    query: BoardQuery


@dataclass(frozen=True, slots=True)
class _Page:
    """One address of the API.

    Attributes:
        name: in the address.
        payload: what it answers.
        summary: for the document.
        make: computes it.
        takes_query: whether it can be asked for in other ways.
        is_prompt: whether it is quickly computed, and tells of now: nobody is given one that is older than `PROMPT_S`.
    """

    name: str
    payload: type[BaseModel]
    summary: str
    make: Callable[[Reports, BoardQuery], BaseModel]
    takes_query: bool = True
    is_prompt: bool = False

    def render(self, reports: Reports, query: BoardQuery) -> str:
        """The page's body."""
        return self.make(reports, query).model_dump_json()


_PAGES: Final = (
    _Page("board", BoardReport, "All of it in one, as `board --once --format json` prints it.", Reports.board),
    _Page("models", StrengthTable, "Strengths of models, best first.", Reports.models),
    _Page("pairs", WinRates, "How often one model wins against another.", Reports.pairs),
    _Page("ties", TieTable, "Ties as an outcome of their own: Davidson's model of votes.", Reports.ties),
    _Page("languages", LanguageTables, "Strengths by language.", Reports.languages),
    _Page("time", TimeSlices, "Strengths by hour or day.", Reports.time),
    _Page(
        "status",
        BoardStatus,
        "How far it has read, and whether that is of now.",
        lambda reports, _: reports.status(),
        takes_query=False,
        is_prompt=True,
    ),
    _Page(
        "stream",
        StreamReport,
        "What the stream does: how much and how fast, what waits for it, what it could not score.",
        lambda reports, _: reports.stream(),
        takes_query=False,
        is_prompt=True,
    ),
    _Page("trust", TrustReport, "Can the judges be trusted?", lambda reports, _: reports.trust(), takes_query=False),
    _Page("review", ReviewPage, "Where to look.", lambda reports, _: reports.review(), takes_query=False),
)


def _routes(answers: AnswerCache[_Wanted], prompt: AnswerCache[_Wanted]) -> APIRouter:
    router = APIRouter(prefix=API, responses=PROBLEMS)
    for page in _PAGES:
        router.add_api_route(
            f"/{page.name}",
            _endpoint(page, prompt if page.is_prompt else answers),
            response_model=page.payload,
            summary=page.summary,
            operation_id=page.name,
        )

    async def review_lines(request: Request) -> Response:
        return await cached_response(request, answers, _Wanted(_review_lines, JSON_LINES, BoardQuery()))

    async def trust_time(
        request: Request, step: Annotated[Step, Query(description="Length of a slice of time.")] = "day"
    ) -> Response:
        return await cached_response(request, answers, _Wanted(_trust_time, JSON, BoardQuery(step=step)))

    async def table(request: Request, table: _Table, query: Annotated[BoardQuery, Query()]) -> Response:
        cache = prompt if table in _PROMPT_TABLES else answers
        return await cached_response(request, cache, _Wanted(_CSV[table], CSV, query))

    router.add_api_route(
        "/trust/time",
        trust_time,
        response_model=TrustTime,
        summary="Could the judges be trusted, by hour or day?",
        operation_id="trust_time",
    )
    router.add_api_route(
        "/review.jsonl",
        review_lines,
        response_class=Response,
        summary="Where to look, a JSON object a line.",
        operation_id="review_lines",
        responses={200: {"content": {JSON_LINES: {"schema": {"type": "string"}}}}},
    )
    router.add_api_route(
        "/tables/{table}.csv",
        table,
        response_class=Response,
        summary="One table as CSV. A text that begins like a formula gets an apostrophe before it.",
        operation_id="table",
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    return router


def _endpoint(page: _Page, answers: AnswerCache[_Wanted]) -> Callable[..., Awaitable[Response]]:
    async def with_query(request: Request, query: Annotated[BoardQuery, Query()]) -> Response:
        return await cached_response(request, answers, _Wanted(page.render, JSON, query))

    async def without_query(request: Request) -> Response:
        return await with_query(request, BoardQuery())

    return with_query if page.takes_query else without_query


def _review_lines(reports: Reports, query: BoardQuery) -> str:
    del query
    return reports.review_lines()


def _trust_time(reports: Reports, query: BoardQuery) -> str:
    return reports.trust_over_time(query).model_dump_json()


def _csv_of(name: TableName) -> _Render:
    return lambda reports, query: reports.csv(name, query)


_Table: TypeAlias = Annotated[TableName, Path(description="Which.")]
_PROMPT_TABLES: Final[frozenset[TableName]] = frozenset({"minutes", "lag", "dead-letters"})
"""Of a prompt page."""

_CSV: Final = {name: _csv_of(name) for name in get_args(TableName)}


async def _failed(request: Request, error: Exception) -> Response:
    del request
    return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


async def _broke(request: Request, error: Exception) -> Response:
    """Of all answers the only one that is made in front of what puts the headers on."""
    del request, error
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "failed; the board's log says why", SECURITY)


async def _refused(request: Request, error: Exception) -> Response:
    """What is wrong with each parameter; not its value, which a stranger wrote."""
    del request
    faults = error.errors() if isinstance(error, RequestValidationError) else ()
    told = "; ".join(f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in faults)
    return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, told)


async def _no_such(request: Request, error: Exception) -> Response:
    status = HTTPStatus(getattr(error, "status_code", HTTPStatus.NOT_FOUND))
    where = f"{request.scope.get('root_path', '')}{API}/openapi.json"
    return problem_response(status, f"{status.phrase}; what there is: {where}", headers=getattr(error, "headers", None))


def _add_probes(app: FastAPI, settings: AppSettings) -> None:
    """`/livez`, `/readyz` and `/metrics`, as the stream's service answers them."""
    health, registry = settings.health, settings.registry
    if health is not None:

        async def livez(request: Request) -> Response:
            del request
            return _probe(health.liveness())

        async def readyz(request: Request) -> Response:
            del request
            return _probe(health.readiness())

        app.add_route("/livez", livez, include_in_schema=False)
        app.add_route("/readyz", readyz, include_in_schema=False)
    if registry is not None:

        def metrics(request: Request) -> Response:  # in a thread of Starlette's: collecting may take time
            encode, content_type = encoder(request.headers.get("accept", ""))
            return Response(encode(registry), headers={"Content-Type": content_type, "Cache-Control": "no-store"})

        app.add_route("/metrics", metrics, include_in_schema=False)


def _probe(verdict: ProbeAnswer) -> Response:
    body = {"status": "ok"} if verdict.ok else {"status": "failed", "reason": verdict.reason}
    status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(body, status, headers={"Cache-Control": "no-store"})
