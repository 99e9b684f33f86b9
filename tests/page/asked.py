"""How long each address of the API takes while several clients ask for one after another."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from prefstream.consumer.board.api.responses import API
from tests.page.world import World
from tests.support.boards import Answered, ask

CLIENTS: Final = 4

PAUSE_S: Final = 0.05
"""Of each client between two requests: together they ask for more than fifty pages do."""

VARIANTS: Final = {
    "board": ["", "?style_control=true&step=hour"],
    "models": ["", "?method=votes", "?method=judges", "?style_control=true", "?window=day"],
    "time": ["", "?step=hour"],
    "trust/time": ["", "?step=hour"],
}
"""Queries of addresses that take any; of others there is one answer."""


@dataclass(frozen=True)
class Waited:
    """How long who asked waited for one address.

    Attributes:
        address: under the API, with its query.
        answers: how many there were beside the first.
        first_ms: the first one of all, for which nothing was ready.
        first_cpu_ms: processor time that the server spent meanwhile: on a busy machine the other says little.
        p50_ms: the median of these.
        p95_ms: their 95th percentile.
        kilobytes: of the last answer, unpacked.
    """

    address: str
    answers: int
    first_ms: float
    first_cpu_ms: float
    p50_ms: float
    p95_ms: float
    kilobytes: float


def addresses_of(world: World) -> list[str]:
    """All addresses that a page may ask for again and again, as `openapi.json` has them; that of all together last."""
    document = ask(world.url, f"{API}/openapi.json").json
    found = []
    for path, methods in document["paths"].items():
        name = path.removeprefix(f"{API}/")
        operation = methods.get("get")
        if operation is None or name == "events" or any(one.get("required") and one["in"] == "query" for one in
                                                        operation.get("parameters", ())):  # fmt: skip
            continue  # a stream, or one record of many
        if "{table}" in name:
            [table] = [one for one in operation["parameters"] if one["name"] == "table"]
            found += [name.replace("{table}", each) for each in table["schema"]["enum"]]
        else:
            found += [name + query for query in VARIANTS.get(name, [""])]
    return sorted(found, key=lambda one: one.startswith("board"))  # it is made of the others


def ask_all(
    world: World, addresses: Sequence[str], *, seconds: float, clients: int = CLIENTS, seed: int = 0
) -> list[Waited]:
    """Ask for one address after another: each twice by itself, then all by several clients in orders of their own.

    The second time is not counted: what was computed minutes ago, because others took long, is computed once more.

    Args:
        world: the board.
        addresses: under its API.
        seconds: how long the clients ask; each asks for every address once at least.
        clients: how many ask at a time.
        seed: of the orders.
    """
    firsts: dict[str, tuple[float, float]] = {}
    waited_ms: defaultdict[str, list[float]] = defaultdict(list)
    sizes: dict[str, int] = {}

    def once(address: str) -> float:
        began = time.perf_counter()
        answer = _patiently(world, address)
        took = time.perf_counter() - began
        assert answer.status == 200, (address, answer.status)
        sizes[address] = len(answer.body)
        return took * 1000

    for address in addresses:
        spent_s = world.cpu_s
        firsts[address] = once(address), 1000 * (world.cpu_s - spent_s)
    for address in addresses:
        once(address)
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        rng = random.Random(1_000 * seed + number)
        while True:
            for address in rng.sample(addresses, len(addresses)):
                waited_ms[address].append(once(address))
                time.sleep(PAUSE_S)
            if time.monotonic() > end:
                return

    with ThreadPoolExecutor(clients) as threads:
        for done in [threads.submit(client, number) for number in range(clients)]:
            done.result()
    return [_told(one, *firsts[one], waited_ms[one], sizes[one]) for one in addresses]


def _patiently(world: World, address: str) -> Answered:
    """The answer, however long a busy machine takes to compute it: it goes on where who asked gave up."""
    while True:
        with suppress(TimeoutError):
            return ask(world.url, f"{API}/{address}", accept_encoding="gzip")


def _told(address: str, first_ms: float, cpu_ms: float, waited_ms: list[float], size: int) -> Waited:
    median, most = np.quantile(waited_ms, [0.5, 0.95])
    return Waited(address, len(waited_ms), first_ms, cpu_ms, float(median), float(most), size / 1000)
