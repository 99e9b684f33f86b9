"""A schema registry: the REST calls of Confluent's that serializers and deserializers make, for JSON Schema."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tests.support.threaded_server import serving

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


class SchemaRegistry(ThreadingHTTPServer):
    """Numbers schemas, each once.

    Attributes:
        schemas: by number.
        subjects: numbers, oldest first, by subject.
        asked: method and path of every request.
        login: user and password that it wants; None for anybody.
        answer: status and body that every request gets instead; None for what is so.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, list[int]] = {}
        self.asked: list[tuple[str, str]] = []
        self.login: tuple[str, str] | None = None
        self.answer: tuple[int, bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def register(self, subject: str, schema: str) -> int:
        """The number of a schema, a new one where it has none."""
        known = {text: number for number, text in self.schemas.items()}
        number = known.get(schema, 70_001 + len(known))
        self.schemas[number] = schema
        if number not in self.subjects.setdefault(subject, []):
            self.subjects[subject].append(number)
        return number


@contextmanager
def schema_registry() -> Iterator[SchemaRegistry]:
    """A registry that serves."""
    server = SchemaRegistry()
    with serving(server):
        yield server


class _Handler(BaseHTTPRequestHandler):
    server: SchemaRegistry

    def do_GET(self) -> None:
        self._begin()
        found = re.fullmatch(r"/schemas/ids/([0-9]+)", self.path)
        schema = self.server.schemas.get(int(found[1])) if found else None
        if schema is None:
            self._send(404, {"error_code": 40403, "message": "Schema not found"})
        else:
            self._send(200, {"schemaType": "JSON", "schema": schema})

    def do_POST(self) -> None:
        self._begin()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = re.fullmatch(r"/subjects/([^/]+)(/versions)?", self.path)
        if self.server.answer is not None:
            self._send(self.server.answer[0], self.server.answer[1])
        elif not self._allowed():
            self._send(401, {"error_code": 401, "message": "User cannot access the resource."})
        elif path is None or body["schemaType"] != "JSON" or self.headers["Content-Type"] != CONTENT_TYPE:
            self._send(422, {"error_code": 42201, "message": "Invalid schema"})
        elif path[2]:
            self._send(200, {"id": self.server.register(unquote(path[1]), body["schema"])})
        else:
            here = self.server.subjects.get(unquote(path[1]), [])
            numbers = [number for number in here if self.server.schemas[number] == body["schema"]]
            if numbers:
                self._send(200, {"subject": unquote(path[1]), "id": numbers[0], "version": 1, "schema": body["schema"]})
            else:
                self._send(404, {"error_code": 40403, "message": "Schema not found"})

    def _begin(self) -> None:
        self.server.asked.append((self.command, self.path))

    def _allowed(self) -> bool:
        if self.server.login is None:
            return True
        wanted = base64.b64encode(":".join(self.server.login).encode()).decode()
        return self.headers["Authorization"] == f"Basic {wanted}"

    def _send(self, status: int, body: dict[str, Any] | bytes) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""
