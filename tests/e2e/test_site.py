"""The site of the documents: whole, without a dead link, and its own in all that it shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pytest
import yaml

from docs.conf import pages
from tests.conftest import session_folder
from tests.support.browser import PHONE, Tabs, barriers
from tests.support.site import BUILD, ROOT, SOURCES, Page, built, served
from tests.unit.test_guides import GUIDES

WORKFLOW: Final = ROOT / ".github" / "workflows" / "docs.yml"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(session_folder(tmp_path_factory) / "site")


@pytest.fixture(scope="module")
def read(site: Path) -> dict[Path, Page]:
    """Each page by its file."""
    return {path.resolve(): Page(path) for path in site.rglob("*.html")}


@pytest.fixture
def url(site: Path) -> Iterator[str]:
    with served(site) as url:
        yield url


# --- what it is made of --------------------------------------------------------------------------------------------


def test_every_document_is_a_page(read: dict[Path, Page], site: Path) -> None:
    assert sorted(pages.values()) == sorted(str(guide.relative_to(ROOT)) for guide in GUIDES)
    assert {site.resolve() / f"{address}.html" for address in pages} <= read.keys()


def test_every_field_of_every_message_is_on_the_page_of_fields(site: Path) -> None:
    html = (site / "fields.html").read_text(encoding="utf-8")
    for path in (ROOT / "schemas").glob("*.schema.json"):
        schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for named in [schema, *schema.get("$defs", {}).values()]:
            for field in named.get("properties", {}):
                assert f'<span class="pre">{field}</span>' in html, f"{path.name}: {field}"


def test_pictures_are_there_for_light_screens_and_for_dark_ones(site: Path) -> None:
    html = (site / "overview.html").read_text(encoding="utf-8")
    for screen in ("light", "dark"):
        shown = re.findall(rf'<img [^>]*class="[^"]*only-{screen}[^>]*>', html)
        assert any(f"page-board-{screen}.webp" in picture for picture in shown)
        assert any(re.search(rf"diagram-\w+-{screen}\.svg", picture) for picture in shown)


# --- where it leads ------------------------------------------------------------------------------------------------


def test_every_link_on_it_leads_somewhere(read: dict[Path, Page]) -> None:
    """Anchors, too. Addresses elsewhere are those of the documents, but for files of the checkout."""
    dead = []
    for path, page in read.items():
        for link in page.links:
            if link.startswith(SOURCES):
                is_there = (ROOT / unquote(link.removeprefix(f"{SOURCES}/"))).exists()
            elif re.match(r"https?://|mailto:", link):
                is_there = True
            else:
                name, _, anchor = link.partition("#")
                target = (path.parent / unquote(name)).resolve() if name else path
                is_there = target.exists() and (not anchor or target not in read or unquote(anchor) in read[target].ids)
            if not is_there:
                dead.append(f"{path.name}: {link}")
    assert dead == []


def test_files_that_are_no_page_are_linked_where_the_checkout_can_be_read(site: Path) -> None:
    links = Page(site / "overview.html").links
    assert f"{SOURCES}/scoring/config" in links
    assert not any(link.endswith((".py", ".md")) for link in links if not link.startswith("http"))


def test_it_fetches_nothing_from_elsewhere(read: dict[Path, Page], site: Path) -> None:
    for path, page in read.items():
        assert page.fetched
        for asked in page.fetched:
            assert "//" not in asked, asked
            assert (path.parent / asked.partition("?")[0]).exists(), f"{path.name}: {asked}"
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style


# --- how it looks --------------------------------------------------------------------------------------------------


def test_a_page_fits_a_phone_and_everybody_can_use_it(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/run-a-service.html", size=PHONE, dark=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert [barrier.told for barrier in barriers(page) if barrier.is_serious] == []


def test_what_is_looked_for_is_found_and_nobody_else_is_asked(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/search.html?q=malformed")
    page.get_by_role("link", name="Run a service").last.click()
    page.wait_for_url("**/run-a-service.html*")


# --- how it is published -------------------------------------------------------------------------------------------


def test_what_is_published_is_built_as_here() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    assert f".venv/bin/python {' '.join(BUILD)} build/doctrees . build/site" in [
        step.get("run") for step in jobs["build"]["steps"]
    ]


def test_only_who_publishes_may_write_and_only_pages() -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    permissions = {name: job["permissions"] for name, job in workflow["jobs"].items()}
    assert permissions == {"build": {"contents": "read"}, "publish": {"pages": "write", "id-token": "write"}}
    assert "secrets." not in text
    uses = re.findall(r"uses: (.+)", text)
    assert len(uses) == 4
    assert [action for action in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []
