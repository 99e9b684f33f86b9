"""The end of a process that does not first take apart, module by module, what it has loaded.

Where that is torch and transformers, it takes longer than a small judge takes to load, and the kernel gives memory
back all the same.
"""

import atexit
import os
import sys
from collections.abc import Callable


def end_quickly_after(command: Callable[[], None]) -> None:
    """Run a command, whose process then ends quickly; to be called before anything else is imported.

    What belongs to a program's end is done: Python waits for its threads, and then calls what is registered with
    `atexit`, in which the first comes last. Where something failed, output could not be written, say, the process
    ends as any other.
    """
    codes: list[object] = []
    atexit.register(_end, codes)
    try:
        command()
    except SystemExit as leaving:
        codes.append(leaving.code or 0)
        raise
    codes.append(0)


def _end(codes: list[object]) -> None:
    code = codes[-1] if codes else None
    if not isinstance(code, int) or getattr(sys, "last_value", None) is not None:  # a traceback was printed
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads it, the disk is full, it is closed
        return
    os._exit(code)
