"""A wait for the network names no socket, which takes system calls; to wait twice is still refused."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest
from kafka.net.selector import NetworkSelector

from prefstream.consumer.client import patches


class Nameless(socket.socket):
    """Must not be put into words."""

    def __repr__(self) -> str:
        raise AssertionError("named")


def goes_on() -> None:
    """Stands for who waits."""


@pytest.fixture
def selector() -> Iterator[NetworkSelector]:
    patches.apply()
    selector = NetworkSelector()
    yield selector
    selector.close()


def test_a_socket_is_not_put_into_words_to_be_waited_for(selector: NetworkSelector) -> None:
    with Nameless() as nameless:
        for _ in range(2):
            selector.add_reader(nameless, goes_on)
            selector.remove_reader(nameless)


def test_a_socket_is_read_and_written_at_once_but_not_read_twice(selector: NetworkSelector) -> None:
    with socket.socket() as plain:
        selector.add_reader(plain, goes_on)
        selector.add_writer(plain, goes_on)
        assert selector._selector.get_key(plain).events == selectors.EVENT_READ | selectors.EVENT_WRITE
        with pytest.raises(RuntimeError, match="EVENT_READ already registered"):
            selector.add_reader(plain, goes_on)
        selector.remove_writer(plain)
        selector.remove_reader(plain)
