"""A token endpoint for client credentials, whose tokens Apache Kafka takes without a key: unsecured JWS."""

from __future__ import annotations

import base64
import itertools
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from tests.support.threaded_server import serving


class TokenServer(ThreadingHTTPServer):
    """Gives tokens to one client.

    Args:
        client_id: of that client, which is also whom Kafka takes the bearer for.
        secret: of that client.
        life_s: how long a token is valid, in seconds.

    Attributes:
        asked: the forms of all requests.
        given: the tokens.
        answer: status and body that every request gets instead; None for tokens.
        wait_s: how long every answer takes, in seconds.
    """

    daemon_threads = True

    def __init__(self, client_id: str, secret: str, *, life_s: float = 300.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.client_id = client_id
        self.life_s = life_s
        self.asked: list[dict[str, list[str]]] = []
        self.given: list[str] = []
        self.answer: tuple[int, bytes, dict[str, str]] | None = None
        self.wait_s = 0.0
        self.scheme = "http"
        self._secret = secret
        self._numbers = itertools.count()

    @property
    def url(self) -> str:
        """Where it gives tokens."""
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/token"

    def knows(self, authorization: str) -> bool:
        """Whether a request comes from the client."""
        login = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        client_id, _, secret = login.partition(":")
        return (unquote_plus(client_id), unquote_plus(secret)) == (self.client_id, self._secret)

    def new_token(self, life_s: float) -> str:
        """A token, each another one.

        Args:
            life_s: how long it is valid, in seconds.
        """
        now = time.time()
        claims = {"sub": self.client_id, "iat": now - 600, "exp": now + life_s, "jti": str(next(self._numbers))}
        token = ".".join([_encoded({"alg": "none"}), _encoded(claims), ""])
        self.given.append(token)
        return token


@contextmanager
def token_server(
    client_id: str, secret: str, *, life_s: float = 300.0, keystore: Path | None = None
) -> Iterator[TokenServer]:
    """A running token endpoint.

    Args:
        client_id: of the one client that it knows.
        secret: of that client.
        life_s: how long a token is valid, in seconds.
        keystore: its key and certificate, to speak TLS (PEM).
    """
    server = TokenServer(client_id, secret, life_s=life_s)
    if keystore is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(keystore)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.scheme = "https"
    with serving(server):
        yield server


class _Handler(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked.append(form)
        time.sleep(self.server.wait_s)
        if self.server.answer is not None:
            self._send(*self.server.answer)
        elif not self.server.knows(self.headers["Authorization"]):
            self._send(HTTPStatus.UNAUTHORIZED, b'{"error": "invalid_client", "error_description": "wrong secret"}', {})
        elif form["grant_type"] != ["client_credentials"]:
            self._send(HTTPStatus.BAD_REQUEST, b'{"error": "unsupported_grant_type"}', {})
        else:
            token = {
                "access_token": self.server.new_token(self.server.life_s),
                "token_type": "Bearer",
                "expires_in": self.server.life_s,
            }
            self._send(HTTPStatus.OK, json.dumps(token).encode(), {})

    def do_GET(self) -> None:
        self.server.asked.append({"method": ["GET"]})
        self._send(HTTPStatus.OK, b"{}", {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
