"""The page in a real browser: the system's own Chromium, watched for what a page of ours never does.

Fixtures of `conftest.py` give it to tests: `browser`, and `tabs`, which opens pages and complains at the end.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    expect,
    sync_playwright,
)

CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""What Chromium is called: by Debian, by others that package it, and by Google."""

NO_CHROMIUM: Final = "Chromium is not installed (Debian: chromium)"

# Tests may run as root, whose Chromium has no sandbox, and in containers whose /dev/shm is small. No other host has an
# address, whatever a page asks for: also what Chromium itself asks its makers for stays here.
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

WAIT_MS: Final = 30_000
"""For what a page is waited for to show: many times what it takes, for machines with much else to do."""

DESKTOP: Final = (1280, 900)
PHONE: Final = (360, 740)


@contextmanager
def launched(*arguments: str) -> Iterator[Browser]:
    """The system's Chromium, without a window; `arguments` are for it, beside `ARGUMENTS`.

    Playwright keeps an event loop in the thread that uses it: until it ends, nothing else there may begin one.
    """
    path = chromium_path()
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class Barrier:
    """What axe found: an element that keeps somebody from using the page.

    Attributes:
        rule: its name.
        impact: how much it does: minor, moderate, serious or critical.
        told: the rule in words, and where.
    """

    rule: str
    impact: str
    told: str

    @property
    def is_serious(self) -> bool:
        """Whether it is serious or worse."""
        return self.impact in {"serious", "critical"}


def barriers(page: Page) -> list[Barrier]:
    """What axe finds on a page as it is now, by all of its rules. It measures the contrast of each text on it."""
    # What passes a rule is not listed: that takes twice as long as the rules.
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [Barrier(one["id"], one["impact"], f"{one['help']}: {_where(one['nodes'])}") for one in found]


def _where(nodes: list[dict[str, Any]]) -> str:
    return ", ".join(str(node["target"]) for node in nodes[:5])


def chromium_path() -> str:
    """Where the system's Chromium is; skips the test where there is none."""
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if path is None:
        pytest.skip(NO_CHROMIUM)
    return path


class Tabs:
    """Opens pages, each as a visitor of its own; leaving the context fails where one did what it must not.

    That is: an error on the console, a refusal by the content security policy (which the console tells, too), an
    exception that nobody caught, a dialog such as `alert` opens, and a request to any other origin.

    Args:
        browser: that opens them.

    Attributes:
        complaints: what pages did that they must not.
    """

    def __init__(self, browser: Browser) -> None:
        self.complaints: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def open(
        self, url: str, *, size: tuple[int, int] = DESKTOP, dark: bool = False, expected: Collection[str] = ()
    ) -> Page:
        """Open an address.

        Args:
            url: of the page; its origin is the only one that may be asked.
            size: of the window, CSS pixels.
            dark: whether the visitor likes it dark.
            expected: regular expressions of errors that the test itself brings about.
        """
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(WAIT_MS)
        self._contexts.append(context)
        origin = _origin(url)

        def complain(told: str) -> None:
            if not any(re.search(pattern, told) for pattern in expected):
                self.complaints.append(told)

        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error":
                complain(f"console: {message.text} ({message.location['url']})")

        def on_request(request: Request) -> None:
            if _origin(request.url) != origin:
                complain(f"request to {request.url}")

        def on_dialog(dialog: Dialog) -> None:
            complain(f"dialog: {dialog.message}")
            dialog.dismiss()

        context.on("console", on_console)
        context.on("request", on_request)
        context.on("dialog", on_dialog)
        context.on("weberror", lambda error: complain(f"exception: {error.error}"))
        page = context.new_page()
        page.goto(url)
        return page

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for context in self._contexts:
            context.close()
        if error is None:
            assert not self.complaints, "the page did what it must not: " + "; ".join(self.complaints)
        elif self.complaints:
            error.add_note("complaints: " + "; ".join(self.complaints))


MODULES: Final = "page/css/tokens.css"
"""Opened instead of the page where a test only imports modules of it: a third of the work, and the same policy."""

NO_ICON: Final = "favicon.ico"
"""What a browser looks for in vain behind what is no page."""


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
