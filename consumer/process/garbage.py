"""Python's garbage collector, set for a process that loads much once and then lets messages pass through.

Left as it is, it looks through everything that was loaded again and again: 14 times while torch and two small judges
load (3.1 s of a processor, of 3.4 for all its collections), and through a stream's batches, of which hardly anything is
garbage, for an eighth of their time. Nearly all that we let go of goes by reference counts, at once.

Commands call this, each for its own process; nothing that others import does, because the collector is theirs.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prefstream.scoring.config import PanelConfig

COLLECT_EVERY: Final = 100_000
"""Objects that come and are not gone yet, between two collections. Python's 700 are those of 45 battles. What is in
flight is to stay below: 2,000 battles of a stream are some 32,000, a thousand preferences that the board takes in
80,000. Cycles come to 16 objects a batch and judge, which are some megabytes by then."""


_YOUNG: Final = 1
_ALL: Final = 2
"""Generations that a collection looks through, up to this one."""


def collect_rarely() -> None:
    """From now on; first of all in a command, so that it imports and loads faster, too."""
    gc.set_threshold(COLLECT_EVERY)


def keep_what_is_loaded() -> None:
    """Let go of what loading left behind, and never look through the rest again: .3 s a time where torch is loaded.

    Where something was set aside before, what came since is young. Looking through the old, too, would hold a stream up
    that runs beside.
    """
    gc.collect(_YOUNG if gc.get_freeze_count() else _ALL)
    gc.freeze()


@contextmanager
def loading(panel: PanelConfig) -> Iterator[None]:
    """Collect nothing while a panel is loaded in the block, for it is there to stay; then `keep_what_is_loaded`.

    The libraries that it takes are imported first, and not looked through even once: they are nearly all that there is,
    and hold hardly any garbage.

    Args:
        panel: that the block loads.
    """
    from prefstream.scoring.panel.load import import_libraries

    gc.disable()
    try:
        if import_libraries(panel):
            gc.freeze()
        yield
        keep_what_is_loaded()
    finally:
        gc.enable()
