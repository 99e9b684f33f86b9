"""Access tokens for OAUTHBEARER, by the client credentials grant of OAuth 2 (RFC 6749, section 4.4).

kafka-python asks for a token whenever it connects or logs in anew, in the thread that sends heartbeats, too: a token is
kept until the next is due, and getting one takes a bounded time. Neither the secret nor a token is in any message.
"""

from __future__ import annotations

import base64
import http.client
import json
import math
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import IO, Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import structlog
from kafka.errors import KafkaConnectionError
from kafka.net.sasl.oauth import AbstractTokenProvider

from prefstream.consumer.client.login.tls import trusting_context
from prefstream.consumer.connection import OAuthClient
from prefstream.consumer.errors import NoTokenError

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 5.0
"""An endpoint answers in milliseconds. kafka-python gives a new connection 10 s, login included."""

RENEW_AT: Final = 0.8
"""Share of a token's life after which the next is fetched. kafka-python logs in anew after 0.85 of it or later."""

PAUSE_S: Final = 1.0
"""Between two requests that fail: kafka-python would try again and again without one."""

UNSTATED_LIFE_S: Final = 60.0
"""Life of a token whose endpoint does not tell it. Short: one that the broker refuses is offered as long."""

MAX_ANSWER_BYTES: Final = 1024 * 1024
"""Tokens have some kilobytes."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What a token is made of (RFC 6750): nothing that could end it early in the login's message."""

_CHECK_LOGIN: Final = "check sasl_oauth_client_id and sasl_oauth_client_secret"
_REMEDIES: Final = {
    "invalid_client": _CHECK_LOGIN,
    "unauthorized_client": f"{_CHECK_LOGIN}, and that the client may use the grant client_credentials",
    "unsupported_grant_type": "it must offer the grant client_credentials",
    "invalid_scope": "check sasl_oauth_scope",
    "invalid_request": "check sasl_oauth_token_url and sasl_oauth_scope",
}
"""The error codes of RFC 6749. Nothing else of an answer is repeated: who wrote it has seen the secret."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    renew_at: float
    expires_at: float


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """Gives kafka-python a valid token whenever it asks for one. Thread-safe.

    Args:
        client: who asks, and where.
        clock: seconds that only go forward.

    Raises:
        UsageError: the file of CA certificates can't be used.
    """

    def __init__(self, client: OAuthClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._token = _Token("", -math.inf, -math.inf)
        self._refusal = ""
        self._ask_again_at = -math.inf
        url = urlsplit(client.token_url)
        self._where = f"the token endpoint {url.scheme}://{url.netloc}{url.path}"
        https = urllib.request.HTTPSHandler(context=trusting_context(client.cafile, "sasl_oauth_cafile"))
        # A proxy passes https on as it is, but would read the secret of a request to this machine.
        proxies: dict[str, str] | None = None if url.scheme == "https" else {}
        self._opener = urllib.request.build_opener(https, urllib.request.ProxyHandler(proxies), _NoRedirect)

    def token(self) -> str:
        """A token that is valid now, for kafka-python.

        Raises:
            KafkaConnectionError: there is none; kafka-python tries again, as if the broker were away.
        """
        try:
            return self.valid_token()
        except NoTokenError as error:
            raise KafkaConnectionError(str(error)) from error

    def valid_token(self) -> str:
        """A token that is valid now.

        Raises:
            NoTokenError: the endpoint did not answer in time, or refused us, and no valid token is left.
        """
        with self._lock:
            now = self._clock()
            if now >= max(self._token.renew_at, self._ask_again_at):
                try:
                    self._token = self._fetch(now)
                except NoTokenError as error:
                    self._refusal = str(error)
                    self._ask_again_at = self._clock() + PAUSE_S
                    if now < self._token.expires_at:
                        log.warning("no new access token", error=self._refusal)
            if now >= self._token.expires_at:
                raise NoTokenError(self._refusal)
            return self._token.text

    def _fetch(self, now: float) -> _Token:
        answer = self._ask_in_time()
        try:
            document = json.loads(answer)
            text, kind = document["access_token"], document.get("token_type", "bearer")
            life_s = float(document.get("expires_in", UNSTATED_LIFE_S))
        except (ValueError, TypeError, KeyError, RecursionError):
            # Without the error itself: it quotes the answer.
            raise NoTokenError(f"{self._where} answers with something else than a token; is it one?") from None
        if not isinstance(text, str) or not _TOKEN.fullmatch(text) or str(kind).lower() != "bearer" or not life_s > 0:
            raise NoTokenError(f"{self._where} gives no valid bearer token; look at the client's settings there")
        return _Token(text, now + RENEW_AT * life_s, now + life_s)

    def _ask_in_time(self) -> bytes:
        """Ask from a thread of its own: time-outs of sockets bound neither look-ups of names nor answers that drip."""
        answer: Future[bytes] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._ask())
            except Exception as error:  # noqa: BLE001 - raised again where the answer is waited for
                answer.set_exception(error)

        threading.Thread(target=ask, name="token", daemon=True).start()
        try:
            return answer.result(TIMEOUT_S)
        except TimeoutError:
            raise NoTokenError(f"{self._where} does not answer within {TIMEOUT_S:g} s; is it up?") from None

    def _ask(self) -> bytes:
        form = {"grant_type": "client_credentials"} | ({"scope": self._client.scope} if self._client.scope else {})
        login = f"{quote_plus(self._client.client_id)}:{quote_plus(self._client.client_secret.get_secret_value())}"
        request = urllib.request.Request(  # noqa: S310 - the settings take https, and http on this machine
            self._client.token_url,
            data=urlencode(form).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
                "Accept": "application/json",
            },
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return bytes(answer.read(MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, _error_code(error)) from None
        except urllib.error.URLError as error:
            untrusted = isinstance(error.reason, ssl.SSLCertVerificationError)
            remedy = "check sasl_oauth_cafile" if untrusted else "check sasl_oauth_token_url"
            raise NoTokenError(f"{self._where} can't be reached ({error.reason}); {remedy}") from error
        except (OSError, http.client.HTTPException) as error:
            raise NoTokenError(f"{self._where} breaks off its answer ({type(error).__name__}); is it one?") from error

    def _refused(self, status: int, code: str) -> NoTokenError:
        reason = f"HTTP {status}" + (f", {code}" if code in _REMEDIES else "")
        remedy = _REMEDIES.get(code) or (_CHECK_LOGIN if status == http.HTTPStatus.UNAUTHORIZED else "look at its log")
        return NoTokenError(f"{self._where} refuses the client {self._client.client_id} ({reason}); {remedy}")


@cache
def token_provider(client: OAuthClient) -> ClientCredentials:
    """The one provider for a client, so that all connections of this process share a token."""
    return ClientCredentials(client)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: the secret would go along."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _error_code(answer: IO[bytes]) -> str:
    try:
        return str(json.loads(answer.read(MAX_ANSWER_BYTES))["error"])
    except (ValueError, TypeError, KeyError, RecursionError, OSError, http.client.HTTPException):
        return ""
