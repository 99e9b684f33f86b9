"""One run of a side of the training benchmark, in a process of its own: `python -m MODULE TASK REQUEST ANSWER`.

TASK is `trainer` or `bare`. REQUEST and ANSWER are JSON files. When it fails, the last line of stderr says why.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prefstream.scoring import runtime
from prefstream.scoring.bench.process import peak_memory_bytes


def main() -> None:
    """Do the task that the arguments name."""
    task, request, answer = sys.argv[1:]
    runtime.ensure_fast_process()
    from prefstream.scoring.bench.training_arms import ARMS, Job

    fields = ARMS[task](Job.read(Path(request)))
    fields["peak_memory_bytes"] = peak_memory_bytes()
    Path(answer).write_text(json.dumps(fields), encoding="utf-8")


if __name__ == "__main__":
    main()
