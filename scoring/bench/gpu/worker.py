"""One section of a report, in a process of its own: `python -m MODULE SECTION REQUEST ANSWER`.

So a section finds the card as a fresh program does, and what breaks the card for one process (a failed assertion in a
kernel does) breaks nothing for the sections after it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from prefstream.scoring import runtime
from prefstream.scoring.bench.request import Request


def main() -> None:
    """Carry out the section that the arguments name."""
    section, request, answer = sys.argv[1:]
    runtime.ensure_fast_process()
    from prefstream.scoring.bench.gpu.sections import carry_out

    found = carry_out(section, Request.read(Path(request)))
    Path(answer).write_text(json.dumps(asdict(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
