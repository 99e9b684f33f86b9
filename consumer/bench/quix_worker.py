"""quix-streams on the job of `bench overhead`: `python quix_worker.py`, request on standard input, times on output.

Imports nothing of prefstream, so that any interpreter that has quix-streams can run it. Its settings are the defaults,
but for what the job asks: exactly once, committed records only, so many battles in a transaction.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from typing import Any

from quixstreams import Application


class _Watched(Application):  # type: ignore[misc]  # not installed where types are checked
    """Takes the time from the first record until nothing is left to commit, before clients are closed."""

    began: tuple[float, float] | None = None
    took: tuple[float, float] | None = None

    def stop(self, fail: bool = False) -> None:  # noqa: FBT001, FBT002 - as quix-streams calls it
        """Called by `run` once its loop has ended."""
        if self.took is None and self.began is not None:
            self.took = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        super().stop(fail)


def main() -> None:
    """Do what the request says."""
    request = json.load(sys.stdin)
    answer: bytes = b"x" * request["answer_bytes"]
    with tempfile.TemporaryDirectory() as state:
        application = _Watched(
            broker_address=request["bootstrap_servers"],
            consumer_group=request["group_id"],
            auto_offset_reset="earliest",
            processing_guarantee="exactly-once",
            commit_every=request["batch"],
            commit_interval=600.0,
            consumer_extra_config={"isolation.level": "read_committed"},
            auto_create_topics=False,
            use_changelog_topics=False,
            state_dir=state,
            loglevel=None,
        )
        battles = application.topic(request["battles_topic"], key_deserializer="bytes", value_deserializer="bytes")
        preferences = application.topic(request["preferences_topic"], key_serializer="bytes", value_serializer="bytes")

        def judge(_: Any) -> bytes:
            if application.began is None:
                application.began = time.perf_counter(), time.process_time()
            return answer

        application.dataframe(battles).apply(judge).to_topic(preferences)
        application.run(count=request["battles"], collect=False)
    if application.took is None:
        raise SystemExit("quix-streams ended without a word")
    seconds, cpu_seconds = application.took
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds}))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
