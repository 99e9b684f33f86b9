"""The page's files as a browser gets them: from the package, under any path, with a policy that runs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from prefstream.consumer.board.api.page import MEDIA_TYPES, POLICY, page_files
from prefstream.consumer.board.api.responses import API
from tests.support.boards import ask, open_store, served

FOLDER = Path(str(files("prefstream.consumer.board"))) / "page"
NAMES = sorted(name for name, _ in page_files())


@pytest.fixture(scope="module", params=["", "/board", "/a/board"])
def under(request: pytest.FixtureRequest) -> str:
    """The path under which a proxy shows the board."""
    path: str = request.param
    return path


@pytest.fixture(scope="module")
def url(under: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_store(tmp_path_factory.mktemp("page")) as store, served(store, root_path=under) as url:
        yield url


@pytest.fixture(params=["passed on", "taken off"])
def asked_under(request: pytest.FixtureRequest, under: str) -> str:
    """What the proxy leaves of that path."""
    return under if request.param == "passed on" else ""


def test_all_that_lies_in_the_folder_is_served() -> None:
    lie = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert {name for name in lie if Path(name).suffix in MEDIA_TYPES} == set(NAMES)
    assert {Path(name).suffix for name in lie} <= {*MEDIA_TYPES, ".ts", ".json"}  # types, for who writes the scripts


def test_the_page_is_there_with_and_without_the_path(url: str, asked_under: str) -> None:
    answer = ask(url, f"{asked_under}/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.body == (FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "index.html"])
def test_a_file_of_it_is_there(url: str, asked_under: str, name: str) -> None:
    answer = ask(url, f"{asked_under}/page/{name}")
    assert answer.status == 200
    assert answer.headers["content-type"] == MEDIA_TYPES[Path(name).suffix]
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.body == (FOLDER / name).read_bytes()


def test_what_the_page_names_lies_beside_it(url: str, under: str) -> None:
    page = ask(url, f"{under}/").body.decode()
    named = [place for place in re.findall(r'(?:href|src)="([^"#][^"]*)"', page) if not place.startswith("api/")]
    assert named
    for place in named:
        assert ask(url, urlsplit(urljoin(f"{url}{under}/", place)).path).status == 200, place


def test_the_path_without_its_slash_leads_to_the_page(url: str, under: str) -> None:
    """From there every relative address would be wrong. Where to does not depend on what the request calls us."""
    if not under:
        return
    answer = ask(url, under, Host="127.0.0.1:1")
    assert answer.status == 307
    assert urljoin(f"https://board.example{under}", answer.headers["location"]) == f"https://board.example{under}/"


def test_who_has_a_file_is_spared_it(url: str) -> None:
    first = ask(url, "/")
    again = ask(url, "/", If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["content-security-policy"] == POLICY


def test_a_long_file_is_packed_for_those_who_take_that(url: str) -> None:
    name = max(NAMES, key=lambda name: (FOLDER / name).stat().st_size)
    place = "/" if name == "index.html" else f"/page/{name}"
    packed, plain = ask(url, place, Accept_Encoding="gzip"), ask(url, place)
    assert packed.body == plain.body
    assert "content-encoding" not in plain.headers
    assert (packed.headers.get("content-encoding") == "gzip") is (len(plain.body) >= 1024)


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/index.html",
        "/page/../service.py",
        "/page/..%2fservice.py",
        "/page/%2e%2e/service.py",
        "/page//etc/passwd",
        "/page/js",
        "/page/js/main.js/",
        "/index.html",
    ],
)
def test_nothing_else_lies_there(url: str, path: str) -> None:
    answer = ask(url, path)
    assert answer.status == 404
    assert set(answer.json) == {"detail"}


def test_the_api_keeps_its_stricter_policy(url: str) -> None:
    assert ask(url, f"{API}/status").headers["content-security-policy"].startswith("default-src 'none'")
    assert ask(url, "/page/nothing.js").headers["content-security-policy"].startswith("default-src 'none'")


def test_nothing_in_the_page_is_inline() -> None:
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page)
