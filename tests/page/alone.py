"""A page in a browser of its own that nobody drives: it is spoken to when somebody looks, and then as little as can be.

A browser that is driven grows by itself: after 20 minutes, garbage collected, a driven board held 165 MB and one left
alone 77. And each time that Playwright connected, a page's scripts took .7 MB more.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from tests.page.world import MB
from tests.support.browser import ARGUMENTS, DESKTOP, chromium_path
from tests.support.streams import wait_until

_QUIET: Final = (
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Chromium by itself has other things to do, which are no page's."""

_GIVES_BACK_S: Final = 2.0
"""After it was told that memory is short; what is slower than that shows as going up and down."""

_TO_CHROMIUM, _FROM_CHROMIUM = 3, 4
"""Descriptors on which `--remote-debugging-pipe` speaks the DevTools protocol: a JSON object, then a zero byte."""


class Alone:
    """A page that is left alone.

    Args:
        process: of its browser.
        to: descriptor that what is asked is written to.
        answers: descriptor that what it says is read from.
    """

    def __init__(self, process: psutil.Process, to: int, answers: int) -> None:
        self._process = process
        self._to = to
        self._answers = answers
        self._rest = b""
        self._numbers = itertools.count(1)

    @contextmanager
    def looked_at(self) -> Iterator[Looking]:
        """Its page, for as long as the look takes."""
        session = self.ask("Target.attachToTarget", {"targetId": self.page(), "flatten": True})["sessionId"]
        try:
            yield Looking(self, session)
        finally:
            self.ask("Target.detachFromTarget", {"sessionId": session})

    def page(self) -> str:
        """The id of its page; empty where there is none yet."""
        targets = self.ask("Target.getTargets")["targetInfos"]
        return next((one["targetId"] for one in targets if one["type"] == "page" and "http" in one["url"]), "")

    def ask(self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None) -> dict[str, Any]:
        """Call a method of the DevTools protocol.

        Args:
            method: with its domain.
            parameters: of it.
            session: of the page that is meant; None for the browser.
        """
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters or {}}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (told := self._next()).get("id") != number:
            pass  # an event, which nobody waits for
        assert "error" not in told, f"{method}: {told['error']}"
        result: dict[str, Any] = told["result"]
        return result

    def memory_mb(self) -> float:
        """Of its browser's processes, without what they share with other processes, and what they would give back.

        Left alone they keep caches and freed memory until the machine is short of it: over half after 20 minutes.
        """
        self.ask("Memory.simulatePressureNotification", {"level": "critical"})
        time.sleep(_GIVES_BACK_S)
        total = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            try:
                total += process.memory_full_info().uss / MB
            except psutil.Error:  # it ended meanwhile
                continue
        return total

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._answers, 1 << 16)
            assert piece, "the browser ended"
            self._rest += piece
        first, _, self._rest = self._rest.partition(b"\0")
        told: dict[str, Any] = json.loads(first)
        return told


class Looking:
    """A look at a page.

    Args:
        alone: whose page it is.
        session: of the DevTools protocol.
    """

    def __init__(self, alone: Alone, session: str) -> None:
        self._alone = alone
        self._session = session

    def ask(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call a method of the DevTools protocol on the page."""
        return self._alone.ask(method, parameters, self._session)

    def evaluate(self, script: str) -> Any:
        """What a script comes to, in the page."""
        return self.ask("Runtime.evaluate", {"expression": script, "returnByValue": True})["result"].get("value")


@contextmanager
def left_alone(url: str, profile: Path) -> Iterator[Alone]:
    """Open an address in a browser of its own.

    Args:
        url: of the page.
        profile: an empty folder, for what the browser keeps.
    """
    size = f"--window-size={DESKTOP[0]},{DESKTOP[1]}"
    command = [chromium_path(), "--headless=new", *ARGUMENTS, *_QUIET, size, f"--user-data-dir={profile}"]
    with ExitStack() as stack:
        theirs_in, to = os.pipe()
        answers, theirs_out = os.pipe()
        for descriptor in (to, answers):
            stack.callback(os.close, descriptor)
        # A shell gives the pipes the numbers that Chromium takes them by: by way of others, lest one take the other's.
        others = f"exec {{low}}<&{theirs_in} {{high}}>&{theirs_out}"
        numbered = f'{others} && exec "$@" {_TO_CHROMIUM}<&$low {_FROM_CHROMIUM}>&$high'
        process = stack.enter_context(
            subprocess.Popen(
                ["/bin/bash", "-c", numbered, "chromium", *command, "--remote-debugging-pipe", url],
                pass_fds=(theirs_in, theirs_out),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        os.close(theirs_in)
        os.close(theirs_out)
        stack.callback(process.terminate)
        alone = Alone(psutil.Process(process.pid), to, answers)
        wait_until(lambda: bool(alone.page()), what="the page")
        yield alone
