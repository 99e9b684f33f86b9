"""A small server of a sequence classifier, by the contract of vLLM's `/classify`, that insists on every word of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import orjson
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from tests.support.threaded_server import serving

TOKEN = "a token of the server's"  # noqa: S105 - of a server that lives as long as a test


class _Request(BaseModel):
    """What vLLM's documentation lets a client say, as far as it says how we ask."""

    model_config = ConfigDict(extra="forbid", strict=True)
    model: str
    input: list[list[int]]
    add_special_tokens: Literal[False]
    use_activation: bool


@dataclass
class Serving:
    """A server that runs.

    Attributes:
        url: of it.
        model: name of what it serves.
        requests: battles' sequences in each request that it answered.
        failures: statuses to give instead of answers, in turn.
        ignores_activation: gives probabilities whatever was asked, as an old version does.
        garble: called with an answer before it is sent.
        wanted_token: without it nobody gets an answer.
    """

    url: str
    model: str
    requests: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    ignores_activation: bool = False
    garble: Any = None
    wanted_token: str | None = None
    max_model_len: int = 4096


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        serving = self.server.serving
        known = {
            "/v1/models": {"object": "list", "data": [{"id": serving.model, "max_model_len": serving.max_model_len}]},
            "/version": {"version": "0.12.1"},
        }
        self._answer(*((200, known[self.path]) if self.path in known else (404, {})))

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(*(self._classify(content) if self.path == "/classify" else (404, {})))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        """Say nothing."""

    def _classify(self, content: bytes) -> tuple[int, object]:
        serving = self.server.serving
        if serving.failures:
            return serving.failures.pop(0), {"error": {"message": "what a user wrote"}}
        try:
            request = _Request.model_validate_json(content)
        except ValidationError as error:
            return 400, {"error": {"message": str(error)}}
        if request.model != serving.model:
            return 404, {"error": {"message": "no such model"}}
        rows = self.server.logits(request.input)
        if request.use_activation or serving.ignores_activation:
            rows = [row.softmax(-1) for row in rows]
        answer = {
            "object": "list",
            "model": serving.model,
            "data": [
                {"index": index, "label": "LABEL_0", "probs": row.tolist(), "num_classes": len(row)}
                for index, row in reversed(list(enumerate(rows)))  # their order is not promised
            ],
            "usage": {"prompt_tokens": sum(map(len, request.input)), "completion_tokens": 0},
        }
        serving.requests.append(len(rows))
        return 200, serving.garble(answer) if serving.garble else answer

    def _answer(self, status: int, content: object) -> None:
        wanted = self.server.serving.wanted_token
        if wanted and self.headers["Authorization"] != f"Bearer {wanted}":
            status, content = 401, {"error": "Unauthorized"}
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    def __init__(self, folder: Path, model: str, port: int) -> None:
        from transformers import AutoModelForSequenceClassification

        super().__init__(("127.0.0.1", port), _Handler)
        self.serving = Serving(f"http://127.0.0.1:{self.server_port}", model)
        self._classifier = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
        self._one_at_a_time = threading.Lock()

    def logits(self, sequences: list[list[int]]) -> list[torch.Tensor]:
        with self._one_at_a_time, torch.inference_mode():
            return [self._classifier(torch.tensor([sequence])).logits[0] for sequence in sequences]


@contextmanager
def serve(folder: Path, *, model: str = "judge", port: int = 0) -> Iterator[Serving]:
    """Serve a merged model.

    Args:
        folder: of the model.
        model: name to serve it under.
        port: to listen on; any free one if 0.
    """
    server = _Server(folder, model, port)
    with serving(server):
        yield server.serving
