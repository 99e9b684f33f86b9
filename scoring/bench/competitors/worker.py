"""One side of `bench panel` by another program, in a process of its own: `python -m MODULE TASK REQUEST ANSWER`.

TASK is `installed` (which of the others can run), `cross-encoder` or `openvino`; files as for
`prefstream.scoring.bench.throughput_worker`. The interpreter may be another environment's: it needs the packages of
`prefstream[judges]`, and sentence-transformers or OpenVINO.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from prefstream.scoring import runtime
from prefstream.scoring.bench.process import peak_memory_bytes
from prefstream.scoring.bench.request import Request

_PACKAGES: Final = {"cross-encoder": "sentence_transformers", "openvino": "openvino"}


def run_cross_encoder(request: Request) -> dict[str, Any]:
    """Score the battles by sentence-transformers' loop."""
    from prefstream.scoring.bench.competitors.cross_encoder_loop import CrossEncoderLoop
    from prefstream.scoring.bench.throughput_worker import run_loops

    return run_loops(request, CrossEncoderLoop)


def run_openvino(request: Request) -> dict[str, Any]:
    """Score the battles with layers that OpenVINO runs."""
    from prefstream.scoring.bench.competitors.openvino_loop import OpenVinoLoop
    from prefstream.scoring.bench.throughput_worker import run_loops

    return run_loops(request, OpenVinoLoop)


def main() -> None:
    """Do the task that the arguments name."""
    task, request, answer = sys.argv[1:]
    fields: Any
    if task == "installed":
        fields = [side for side, package in _PACKAGES.items() if find_spec(package)]
    else:
        runtime.ensure_fast_process()
        side = {"cross-encoder": run_cross_encoder, "openvino": run_openvino}[task]
        fields = {**side(Request.read(Path(request))), "peak_memory_bytes": peak_memory_bytes()}
    Path(answer).write_text(json.dumps(fields), encoding="utf-8")


if __name__ == "__main__":
    main()
