"""How long each address of the API takes while several clients ask for one after another."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from prefstream.consumer.board.api.responses import API
from tests.support.boards import ask

CLIENTS: Final = 4

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
        answers: how many there were.
        first_ms: the first one of all, for which nothing was ready.
        p50_ms: the median of the others.
        p95_ms: the 95th percentile of the others.
        kilobytes: of the last answer, unpacked.
    """

    address: str
    answers: int
    first_ms: float
    p50_ms: float
    p95_ms: float
    kilobytes: float


def addresses_of(document: dict[str, Any]) -> list[str]:
    """All addresses that a page may ask for again and again.

    Args:
        document: as `openapi.json` has it.
    """
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
    return found


def ask_all(url: str, *, seconds: float, clients: int = CLIENTS, seed: int = 0) -> list[Waited]:
    """Ask for one address after another, each client in an order of its own.

    Args:
        url: of the board.
        seconds: how long; every address is asked for once at least.
        clients: how many ask at a time.
        seed: of the orders.
    """
    addresses = addresses_of(ask(url, f"{API}/openapi.json").json)
    waited: defaultdict[str, list[float]] = defaultdict(list)
    sizes: dict[str, int] = {}

    def once(address: str) -> None:
        began = time.perf_counter()
        answer = ask(url, f"{API}/{address}", accept_encoding="gzip")
        took = time.perf_counter() - began
        assert answer.status == 200, (address, answer.status)
        waited[address].append(took * 1000)
        sizes[address] = len(answer.body)

    for address in addresses:
        once(address)
    end = time.monotonic() + seconds
    failures: list[BaseException] = []

    def client(number: int) -> None:
        rng = random.Random(1_000 * seed + number)
        try:
            while time.monotonic() < end:
                for address in rng.sample(addresses, len(addresses)):
                    once(address)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [_told(address, waited[address], sizes[address]) for address in addresses]


def _told(address: str, waited_ms: list[float], size: int) -> Waited:
    first, *others = waited_ms
    median, most = np.quantile(others or [first], [0.5, 0.95])
    return Waited(address, len(waited_ms), first, float(median), float(most), size / 1000)
