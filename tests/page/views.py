"""The page in Chromium: how long until it is filled, what that takes over the wire, and many pages at a time."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from prefstream.consumer.board.api.responses import API
from tests.page.world import MB, World
from tests.support.board import MODELS
from tests.support.browser import DESKTOP, WAIT_MS

PER_CONTEXT: Final = 4
"""Pages of one visitor: a browser opens six connections to a server, without HTTP/2, and each page keeps one."""

SETTLE_S: Final = 10.0
"""After pages were closed."""

FEW_PROCESSES: Final = "--renderer-process-limit=8"
"""Fifty pages in as many processes are more than a small machine has memory for."""

_FILLED: Final = """names => {
  const told = document.querySelector("main")?.textContent ?? "";
  return names.every((name) => told.includes(name)) && performance.now();
}"""
_PAINTED: Final = 'performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null'


@dataclass(frozen=True)
class FirstView:
    """A visitor who never was there opens the page.

    Attributes:
        filled_ms: from the navigation until every model stands in the view; None: not within `WAIT_MS`.
        painted_ms: until anything was painted; None where nobody knows.
        requests: that were answered until all were but the stream of events.
        kilobytes: that came over the wire for them, heads included, by what: `page`, `api`.
    """

    filled_ms: float | None
    painted_ms: float | None
    requests: int
    kilobytes: dict[str, float]


@dataclass(frozen=True)
class OpenPages:
    """What many pages that are open at a time take.

    Attributes:
        pages: in Chromium, each with a stream of events.
        streams: of events that are open without a page.
        before_mb: resident memory of the server before.
        most_mb: the greatest while they were open.
        after_mb: when they were open for the time that was asked for.
        closed_mb: some seconds after they were closed.
        server_cpu: share of a core that the server had meanwhile.
        chromium_mb: proportional memory of all of Chromium's processes, at the end; None without pages.
        live: how many pages said that they are live, at the end; None without pages.
    """

    pages: int
    streams: int
    before_mb: float
    most_mb: float
    after_mb: float
    closed_mb: float
    server_cpu: float
    chromium_mb: float | None
    live: int | None


@contextmanager
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """One with nothing kept from before."""
    context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    context.set_default_timeout(WAIT_MS)
    try:
        yield context
    finally:
        context.close()


def first_view(browser: Browser, url: str, *, wait_ms: float = WAIT_MS) -> FirstView:
    """Open the page as who never was there.

    Args:
        browser: that opens it.
        url: of the board.
        wait_ms: for all models to stand there.
    """
    with visitor(browser) as context:
        page = context.new_page()
        wire = _Wire(context.new_cdp_session(page))
        page.goto(f"{url}/", wait_until="commit")
        filled = _filled(page, wait_ms)
        while wire.under_way:
            page.wait_for_timeout(50)
        return FirstView(filled, page.evaluate(_PAINTED), len(wire.bytes), wire.kilobytes())


def _filled(page: Page, wait_ms: float) -> float | None:
    try:
        return float(page.wait_for_function(_FILLED, arg=list(MODELS), timeout=wait_ms).json_value())
    except PlaywrightTimeoutError:
        return None


class _Wire:
    """What comes over the wire, by request, as Chromium's network counts it: packed bodies, and heads.

    Args:
        session: of a page, before it goes anywhere.
    """

    def __init__(self, session: CDPSession) -> None:
        self.bytes: dict[str, float] = {}
        self._paths: dict[str, str] = {}
        self._open: set[str] = set()
        session.on("Network.requestWillBeSent", self._begins)
        session.on("Network.loadingFinished", self._ends)
        session.on("Network.loadingFailed", lambda told: self._open.discard(told["requestId"]))
        session.send("Network.enable")

    @property
    def under_way(self) -> bool:
        """Whether something but the stream of events is still coming."""
        return bool(self._open)

    def kilobytes(self) -> dict[str, float]:
        """What came, of the page's own files and of the API."""
        found: defaultdict[str, float] = defaultdict(float)
        for request, count in self.bytes.items():
            found["api" if self._paths[request].startswith(API) else "page"] += count / 1000
        return dict(found)

    def _begins(self, told: dict[str, Any]) -> None:
        path = urlsplit(told["request"]["url"]).path
        if not path.endswith("/events"):
            self._paths[told["requestId"]] = path
            self._open.add(told["requestId"])

    def _ends(self, told: dict[str, Any]) -> None:
        if told["requestId"] in self._open:
            self._open.discard(told["requestId"])
            self.bytes[told["requestId"]] = told["encodedDataLength"]


def open_pages(browser: Browser, world: World, count: int, *, seconds: float, settle_s: float = SETTLE_S) -> OpenPages:
    """Open many pages, and leave them open for a while.

    Args:
        browser: that opens them, `PER_CONTEXT` a visitor.
        world: the board.
        count: of pages.
        seconds: how long they stay open.
        settle_s: until the server has noticed that they are gone.
    """
    watch = _Watch(world, settle_s)
    with ExitStack() as stack:
        pages: list[Page] = []
        context: BrowserContext | None = None
        for number in range(count):
            if context is None or number % PER_CONTEXT == 0:
                context = stack.enter_context(visitor(browser))
            page = context.new_page()
            page.goto(f"{world.url}/", wait_until="domcontentloaded")
            pages.append(page)
            watch.look()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pages[0].wait_for_timeout(1_000)
            watch.look()
        live = sum(page.locator("#live").get_attribute("data-state") == "live" for page in pages)
        chromium, after = chromium_mb(), world.rss_mb
        cpu = watch.cpu()
    return watch.told(pages=count, streams=0, after_mb=after, cpu=cpu, chromium_mb=chromium, live=live)


def open_streams(world: World, count: int, *, seconds: float, settle_s: float = SETTLE_S) -> OpenPages:
    """The same without Chromium: as many streams of events, of which all that comes is taken and nothing is done with.

    Args:
        world: the board.
        count: of streams.
        seconds: how long they stay open.
        settle_s: until the server has noticed that they are gone.
    """
    watch = _Watch(world, settle_s)
    with ThreadPoolExecutor(1) as thread:  # Playwright may keep an event loop in this one
        after = thread.submit(asyncio.run, _streams_open(world, count, seconds, watch)).result()
    return watch.told(pages=0, streams=count, after_mb=after, cpu=watch.cpu(), chromium_mb=None, live=None)


async def _streams_open(world: World, count: int, seconds: float, watch: _Watch) -> float:
    place = urlsplit(world.url)
    request = f"GET {place.path}{API}/events HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()

    async def take() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            writer.write(request)
            assert b" 200 " in await reader.readline()
            while await reader.read(1 << 16):
                pass
            raise AssertionError("the server closed a stream")
        finally:
            writer.close()

    async with asyncio.TaskGroup() as group:
        streams = [group.create_task(take()) for _ in range(count)]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(1.0)
            watch.look()
        after = world.rss_mb
        for one in streams:
            one.cancel()
    return after


class _Watch:
    """The server while pages are open."""

    def __init__(self, world: World, settle_s: float) -> None:
        self._world = world
        self._settle_s = settle_s
        self._before = self._most = world.rss_mb
        self._began, self._cpu_s = time.monotonic(), self._world.cpu_s

    def look(self) -> None:
        self._most = max(self._most, self._world.rss_mb)

    def cpu(self) -> float:
        return (self._world.cpu_s - self._cpu_s) / (time.monotonic() - self._began)

    def told(
        self, *, pages: int, streams: int, after_mb: float, cpu: float, chromium_mb: float | None, live: int | None
    ) -> OpenPages:
        time.sleep(self._settle_s)
        closed = self._world.rss_mb
        return OpenPages(pages, streams, self._before, self._most, after_mb, closed, cpu, chromium_mb, live)


def chromium_mb() -> float:
    """Of all processes of Chromium that this one began; what they share is divided among them."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if "chrom" in process.name():
                total += process.memory_full_info().pss / MB
        except psutil.Error:  # it ended meanwhile
            continue
    return total
