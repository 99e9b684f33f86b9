"""A board that is asked while it takes records in: how long who asks waits."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.config import TopicNames
from tests.support.board_topics import taken_in
from tests.support.boards import ask, board_service

PAGES = ("board", "models?method=votes&style_control=true", "pairs", "trust", "review", "status")
"""Among them all of it in one."""

EVERY_S = 0.1
"""Between two requests: more than a page of many viewers asks for."""


def ask_while_reading(names: TopicNames, folder: Path, every: int) -> tuple[int, float, float]:
    """Let `prefstream board` take all in from the beginning, and ask for one page after another meanwhile.

    Args:
        names: the topics, filled.
        folder: for the file and the log.
        every: records on the topics.

    Returns:
        How many answers there were, and their median and 95th percentile in milliseconds.
    """
    waited_s: list[float] = []
    with board_service(names, folder) as (process, url):
        while taken_in(folder / "board.sqlite") < every:
            assert not process.ended, process.log
            page = PAGES[len(waited_s) % len(PAGES)]
            began = time.perf_counter()
            answer = ask(url, f"{API}/{page}", accept_encoding="gzip")
            waited_s.append(time.perf_counter() - began)
            assert answer.status == 200, answer.body
            time.sleep(EVERY_S)
    median, most = np.quantile(waited_s, [0.5, 0.95]) * 1000
    return len(waited_s), float(median), float(most)
