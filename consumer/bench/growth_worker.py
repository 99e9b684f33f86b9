"""A command of ours in a process of its own: `python -m MODULE NAME REQUEST ANSWER`.

REQUEST is a JSON file with the words of its command line, ANSWER gets what it took. When it fails, the last line of
stderr says why.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path

from prefstream.scoring import runtime
from prefstream.scoring.bench.process import Stopwatch, peak_memory_bytes


def main() -> None:
    """Run the command that the request holds."""
    _, request, answer = sys.argv[1:]
    runtime.ensure_fast_process()
    [command] = entry_points(group="console_scripts", name="prefstream")
    command_line = command.load()
    sys.argv[1:] = json.loads(Path(request).read_bytes())
    with Stopwatch() as watch:
        try:
            command_line()
        except SystemExit as done:
            if done.code:
                raise
    fields = {
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    Path(answer).write_text(json.dumps(fields), encoding="utf-8")


if __name__ == "__main__":
    main()
