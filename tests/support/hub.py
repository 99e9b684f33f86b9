"""A model hub on this machine: as much of one as its own client asks for to make repositories, commit and fetch."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest
import yaml

from tests.support.threaded_server import serving

TOKEN: Final = "hf_a-token-that-may-write"  # noqa: S105 - of a hub that lives as long as a test
READER: Final = "hf_a-token-that-may-read"
OWNER: Final = "someone"
"""Whose repositories the tokens are for."""

Files = dict[str, bytes]


@dataclass
class Repository:
    """One repository.

    Attributes:
        private: whether it hides from who has no token.
        commits: files by commit, the newest last.
        messages: of the commits.
        names: branches and tags, each with its commit.
    """

    private: bool
    commits: dict[str, Files] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], message: str = "by hand") -> str:
        """Add files to what `main` has; the commit's hash."""
        whole = {**self.commits.get(self.names.get("main", ""), {}), **files}
        digest = hashlib.sha1(usedforsecurity=False)
        for part in (str(len(self.commits)), *sorted(whole)):
            digest.update(part.encode() + whole.get(part, b""))
        self.commits[digest.hexdigest()] = whole
        self.names["main"] = digest.hexdigest()
        self.messages.append(message)
        return digest.hexdigest()


@dataclass
class Hub:
    """A hub that runs.

    Attributes:
        url: of it.
        repositories: by name.
        requests: method and path of each, in order.
        failures: statuses to give instead of answers to POSTs whose path ends so.
    """

    url: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    def publish(self, name: str, folder: Path) -> str:
        """Have a repository with a folder's files; the commit's hash."""
        repository = self.repositories.setdefault(name, Repository(private=False))
        return repository.commit({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})


class _RefusalError(Exception):
    def __init__(self, status: int, code: str = "", **body: str) -> None:
        self.status, self.code, self.body = status, code, body


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_HEAD(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        """Say nothing."""

    def _serve(self, content: bytes) -> None:
        hub, path = self.server.hub, urlsplit(self.path).path
        hub.requests.append(f"{self.command} {path}")
        failure = next((status for end, status in hub.failures.items() if path.endswith(end)), None)
        if failure is not None:
            self._answer(b"{}", status=failure)
            return
        parts = [unquote(part) for part in path.strip("/").split("/")]
        try:
            if parts[0] == "api":
                self._answer(json.dumps(self._api(parts[1:], content)).encode())
            else:
                commit, body = self._file(parts)
                self._answer(body, {"X-Repo-Commit": commit})
        except _RefusalError as refusal:
            headers = {"X-Error-Code": refusal.code} if refusal.code else {}
            self._answer(json.dumps(refusal.body).encode(), headers, refusal.status)

    def _file(self, parts: list[str]) -> tuple[str | None, bytes]:
        owner, name, resolve, revision, *file = parts
        commit, files = self._at(f"{owner}/{name}", revision)
        if resolve != "resolve" or "/".join(file) not in files:
            raise _RefusalError(404, "EntryNotFound")
        return commit, files["/".join(file)]

    def _api(self, parts: list[str], content: bytes) -> Any:
        match parts:
            case ["repos", "create"]:
                return self._create(json.loads(content))
            case ["validate-yaml"]:
                head = yaml.safe_load(json.loads(content)["content"].split("---\n")[1])
                return {"errors": [] if isinstance(head, dict) else [{"message": "no head"}], "warnings": []}
            case ["models", owner, name, *asked] if self.command == "POST":
                self._insist_on_writing(owner)
                return self._written(f"{owner}/{name}", asked, content)
            case ["models", owner, name, "auth-check", "write"]:
                self._repository(f"{owner}/{name}")
                self._insist_on_writing(owner)
                return {}
            case ["models", owner, name, *asked]:
                return self._read(f"{owner}/{name}", asked)
        raise _RefusalError(404)

    def _read(self, name: str, asked: list[str]) -> Any:
        match asked:
            case [] | ["revision", _]:
                commit, files = self._at(name, asked[1] if asked else "main", empty=True)
                siblings = [{"rfilename": path} for path in files]
                return {"id": name, "sha": commit, "private": self._repository(name).private, "siblings": siblings}
            case ["tree", revision]:
                return [
                    {"type": "file", "path": path, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}  # noqa: S324
                    for path, body in self._at(name, revision)[1].items()
                ]
        raise _RefusalError(404)

    def _written(self, name: str, asked: list[str], content: bytes) -> Any:
        match asked:
            case ["preupload", "main"]:
                files = [file["path"] for file in json.loads(content)["files"]]
                return {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in files]}
            case ["commit", "main"]:
                return self._commit(name, content)
        raise _RefusalError(404)

    def _create(self, asked: dict[str, Any]) -> dict[str, str]:
        self._insist_on_writing(asked["organization"])
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.hub.repositories:
            raise _RefusalError(409, url=f"{self.server.hub.url}/{name}")
        self.server.hub.repositories[name] = Repository(private=asked["visibility"] == "private")
        return {"url": f"{self.server.hub.url}/{name}", "name": name}

    def _commit(self, name: str, content: bytes) -> dict[str, Any]:
        head, *lines = map(json.loads, content.splitlines())
        assert head["key"] == "header"
        assert {line["key"] for line in lines} == {"file"}
        files = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines}
        commit = self._repository(name).commit(files, head["value"]["summary"])
        return {"success": True, "commitOid": commit, "commitUrl": f"{self.server.hub.url}/{name}/commit/{commit}"}

    def _repository(self, name: str) -> Repository:
        repository = self.server.hub.repositories.get(name)
        if repository is None or (repository.private and not self._token()):
            raise _RefusalError(404, "RepoNotFound")
        return repository

    def _at(self, name: str, revision: str, *, empty: bool = False) -> tuple[str | None, Files]:
        repository = self._repository(name)
        commit = repository.names.get(revision, revision)
        if commit not in repository.commits:
            if empty and not repository.commits:
                return None, {}
            raise _RefusalError(404, "RevisionNotFound")
        return commit, repository.commits[commit]

    def _token(self) -> str | None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given not in {TOKEN, READER}:
            raise _RefusalError(401)
        return given or None

    def _insist_on_writing(self, owner: str | None) -> None:
        if self._token() != TOKEN or owner != OWNER:
            raise _RefusalError(403)

    def _answer(self, body: bytes, headers: Mapping[str, str | None] | None = None, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        for name, text in (headers or {}).items():
            self.send_header(name, str(text))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    hub: Hub


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """A hub without repositories, until the block ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    with serving(server):
        yield server.hub


def ask_only(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, token: str | None = TOKEN) -> None:
    """Have this process ask that hub, with an empty cache and this token alone.

    The hub's client reads its environment when it is imported.
    """
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
