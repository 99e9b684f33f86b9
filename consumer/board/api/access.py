"""Who may ask: everybody who reaches the port, or who has the token; and which pages may send something.

A browser's stream of events sends no `Authorization`, so the page exchanges the token for a cookie. It holds no token
and nothing else worth knowing, is signed with the token as the key, and ends with it: another token, and it is void.
The board keeps no list of those who have one, so signing out takes it from one browser; streams of events that were
opened with it end.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from itsdangerous import BadSignature, TimestampSigner
from pydantic import BaseModel, ConfigDict, SecretStr
from starlette.requests import HTTPConnection

from prefstream.consumer.board.api.middleware import App
from prefstream.consumer.board.api.page import PAGE
from prefstream.consumer.board.api.responses import API, ApiProblem, problem_response

_COOKIE: Final = "prefstream_board_"
"""What the cookie's name begins with. A browser sends a host's cookies to all its ports, so that boards with one name
would take each other's away."""

COOKIE_S: Final = 30 * 86_400
"""A month, in seconds: who looks every week signs in once, and a browser that is given away forgets."""

WRONG_S: Final = 0.5
"""How long a wrong token is thought about. It slows those down who guess; that they never get there is the token's
length, of which the settings demand enough."""

MOST_WRONG: Final = 8
"""Wrong tokens that are thought about at a time; further ones are refused at once, so that they pile up nowhere."""

_SALT: Final = "prefstream.board.session"
_SIGNED_IN: Final = b"1"

_OPEN: Final = frozenset({"/", "/livez", "/readyz", "/metrics", f"{API}/session", f"{API}/openapi.json"})
"""What is answered without the token, beside the page's files: the form for it, and what machines look after."""

_NO_STORE: Final = {"Cache-Control": "no-store"}


class Access:
    """The token, and the cookies that it signs.

    Args:
        token: that requests must have; None: everybody may ask.
        board: what tells this board from others, and stays over restarts; nobody learns it by the cookie's name.

    Attributes:
        cookie: the cookie's name.
        required: whether a token is asked for.
    """

    def __init__(self, token: SecretStr | None, board: str) -> None:
        self.cookie = _COOKIE + hashlib.blake2b(board.encode(), digest_size=4).hexdigest()
        self._token = b"" if token is None else token.get_secret_value().encode()
        # A key derived by HMAC-SHA-256 instead of the package's SHA-1.
        self._signer = TimestampSigner(self._token, salt=_SALT, key_derivation="hmac", digest_method=hashlib.sha256)
        self.required = token is not None

    def is_token(self, text: str) -> bool:
        """Whether this is the token; how long that takes tells nothing of it but its length."""
        return self.required and hmac.compare_digest(text.encode(errors="surrogatepass"), self._token)

    def new_cookie(self) -> str:
        """What a browser sends from now on in place of the token."""
        return self._signer.sign(_SIGNED_IN).decode()

    def admits(self, request: HTTPConnection) -> bool:
        """Whether a request may be answered: by its `Authorization: Bearer`, or by its cookie."""
        if not self.required:
            return True
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(token.strip()):
            return True
        return self.session_of(request) is not None

    def session_of(self, request: HTTPConnection) -> str | None:
        """The cookie by which a request may be answered; None where it has none of ours.

        Two browsers that signed in within the same second have the same one.
        """
        # Not by `request.cookies`, which has one of a name: a browser may have one of each path that it is shown under.
        sent = (one.strip().partition("=") for header in request.headers.getlist("cookie") for one in header.split(";"))
        ours = (cookie for name, _, cookie in sent if name == self.cookie and self._is_ours(cookie))
        return next(ours, None) if self.required else None

    def _is_ours(self, cookie: str) -> bool:
        try:
            _, signed_at = self._signer.unsign(cookie, return_timestamp=True)
        except BadSignature:
            return False
        # Not by the package's own age, which refuses what a clock that was set back has yet to reach.
        return datetime.now(UTC) - signed_at <= timedelta(seconds=COOKIE_S)


class TokenRequired:
    """Answers nobody without the token, but for what is open; as ASGI has it.

    What is open is named, and everything else is not: a new address is closed unless somebody opens it.

    Args:
        app: what answers.
        access: knows the token.
    """

    def __init__(self, app: App, *, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer, or refuse."""
        app = self._app
        if scope["type"] == "http" and not _is_open(scope) and not self._access.admits(HTTPConnection(scope)):
            app = problem_response(
                HTTPStatus.UNAUTHORIZED,
                "this board asks for its token: sign in on its page, or send it as Authorization: Bearer TOKEN",
                {"WWW-Authenticate": 'Bearer realm="prefstream board"'},
            )
        await app(scope, receive, send)


def _is_open(scope: dict[str, Any]) -> bool:
    path: str = scope["path"].removeprefix(scope["root_path"])
    return path in _OPEN or path.startswith(f"{PAGE}/")


def same_site(request: Request) -> None:
    """Refuse what a page of another site makes a browser send; a dependency of whatever changes something.

    Browsers say where a request comes from: by `Sec-Fetch-Site` where the board is reached by https or on this
    machine, by `Origin` elsewhere. Programs say neither, and have no cookies that could be taken advantage of.

    Raises:
        HTTPException: 403; another site's.
    """
    headers = request.headers
    fetched_from = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if fetched_from is not None:
        ours = fetched_from == "same-origin"
    else:
        # Not by a parser of addresses: those raise on what is none, and a stranger's text is then in the log.
        ours = origin is None or origin.partition("://")[2].lower() == headers.get("host", "").lower()
    if not ours:
        raise HTTPException(
            HTTPStatus.FORBIDDEN,
            "sent by a page of another site; where it is the board's own page, the proxy in front changes Host: let it "
            "pass that on as it came, port included",
            headers=_NO_STORE,
        )


class Session(BaseModel):
    """Who looks, and what there is to be seen.

    Attributes:
        version: of prefstream.
        token_required: the board asks for a token.
        signed_in: this request may have everything: it has the token or its cookie, or none is asked for.
        texts: texts of battles can be looked at.
        battles: battles can be tried.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    token_required: bool
    signed_in: bool
    texts: bool
    battles: bool


class SignIn(BaseModel):
    """The token, to be exchanged for a cookie."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: SecretStr


def session_routes(
    access: Access, *, texts: bool, battles: bool, on_sign_out: Callable[[str], None] = lambda _: None
) -> APIRouter:
    """Signing in and out, and what the page asks first.

    Args:
        access: knows the token.
        texts: texts of battles can be looked at.
        battles: battles can be tried.
        on_sign_out: hears the cookie of a browser that signs out.
    """
    router = APIRouter()
    wrong = asyncio.Semaphore(MOST_WRONG)

    @router.get("/session", summary="Who looks, and what there is to be seen.", operation_id="session")
    async def session(request: Request, response: Response) -> Session:
        response.headers.update(_NO_STORE)
        return Session(
            version=version("prefstream"),
            token_required=access.required,
            signed_in=access.admits(request),
            texts=texts,
            battles=battles,
        )

    @router.post(
        "/session",
        status_code=HTTPStatus.NO_CONTENT,
        summary="Exchange the token for a cookie.",
        operation_id="sign_in",
        dependencies=[Depends(same_site)],
        responses={403: {"model": ApiProblem}, 409: {"model": ApiProblem}, 429: {"model": ApiProblem}},
    )
    async def sign_in(request: Request, given: SignIn) -> Response:
        if not access.required:
            return problem_response(HTTPStatus.CONFLICT, "this board asks for no token")
        if access.is_token(given.token.get_secret_value()):
            response = Response(status_code=HTTPStatus.NO_CONTENT, headers=_NO_STORE)
            response.set_cookie(access.cookie, access.new_cookie(), max_age=COOKIE_S, **_cookie_of(request))
            return response
        if wrong.locked():
            return problem_response(
                HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens; try again in a second", {"Retry-After": "1"}
            )
        async with wrong:
            await asyncio.sleep(WRONG_S)
        return problem_response(HTTPStatus.FORBIDDEN, "that is not the board's token")

    @router.delete(
        "/session",
        status_code=HTTPStatus.NO_CONTENT,
        summary="Sign out: forget the cookie.",
        operation_id="sign_out",
        dependencies=[Depends(same_site)],
        responses={403: {"model": ApiProblem}},
    )
    async def sign_out(request: Request) -> Response:
        session = access.session_of(request)
        if session is not None:
            on_sign_out(session)
        response = Response(status_code=HTTPStatus.NO_CONTENT, headers=_NO_STORE)
        response.delete_cookie(access.cookie, **_cookie_of(request))
        return response

    return router


def _cookie_of(request: Request) -> dict[str, Any]:
    """How the cookie is kept: out of the reach of scripts and other sites, and of this board's path."""
    # Of a proxy that says it twice, the first is what the browser spoke.
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return {
        "path": request.scope["root_path"] or "/",
        "httponly": True,
        "samesite": "strict",
        "secure": "https" in {request.url.scheme, forwarded},
    }
