"""Takes the README's pictures again: the demo in a terminal, and its page in a browser.

    python -m tests.pictures            # into .assets/

Runs `prefstream demo` with its own judges, waits for its last screen, tries a battle on the page, and looks at views
as people with light and dark screens and with a phone see them. Needs Chromium and a minute or two.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page

from tests.support.browser import Tabs, launched
from tests.support.processes import Prefstream, prefstream

ASSETS: Final = Path(__file__).parents[1] / ".assets"

VERDICT_MS: Final = 120_000
"""One battle takes the demo's judges a second on a quiet machine."""

VIEWS: Final = ("board", "quality", "verdicts", "try")


@dataclass(frozen=True)
class Screen:
    """How a visitor sees the page.

    Attributes:
        name: end of the picture's name.
        size: of the window, CSS pixels.
        dark: whether the visitor likes it dark.
    """

    name: str
    size: tuple[int, int]
    dark: bool = False


SCREENS: Final = (
    Screen("light", (1280, 860)),
    Screen("dark", (1280, 860), dark=True),
    Screen("phone", (390, 844)),
)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--into", type=Path, default=ASSETS, metavar="FOLDER", help="where they go")
    parser.add_argument("--url", help="of a page that is there already; the terminal is left out")
    options = parser.parse_args()
    with _page(options.into, options.url) as url, launched() as browser:
        for view in VIEWS:  # the form is the last one: what is tried in it would stand among the others' verdicts
            for screen in SCREENS:
                with Tabs(browser) as tabs:
                    page = tabs.open(f"{url}#{view}", size=screen.size, dark=screen.dark)
                    _prepare(page, view)
                    _save(page.screenshot(), options.into / f"page-{view}-{screen.name}.webp")


@contextmanager
def _page(folder: Path, url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory() as scratch:
        picture = folder / "demo.svg"
        with prefstream("demo", "--keep-running", "--svg", str(picture), log=Path(scratch, "log")) as process:
            found = _told(process, r"The live page: (\S+)")
            _told(process, "(Ctrl-C) ends it")
            yield found
            process.signal(signal.SIGINT)
            process.wait()


def _told(process: Prefstream, pattern: str) -> str:
    assert process.process.stdout
    for line in process.process.stdout:
        sys.stdout.write(line)
        if match := re.search(pattern, line):
            return match[1]
    raise RuntimeError(f"the demo ended before its time: {process.log}")


def _prepare(page: Page, view: str) -> None:
    """Wait until the view has what it shows."""
    page.wait_for_load_state("networkidle")
    if view == "try":
        page.get_by_role("button", name="Fill in an example").click()
        page.get_by_role("button", name="Send battle").click()
        page.get_by_text("Verdict of try 1").wait_for(state="attached", timeout=VERDICT_MS)


def _save(png: bytes, path: Path) -> None:
    """As WebP, which takes a quarter of a PNG."""
    with Image.open(BytesIO(png)) as picture:
        picture.convert("RGB").save(path, quality=85, method=6)
    sys.stdout.write(f"{path} {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
