"""An event that a signal handler may set, whatever the thread that it interrupts is doing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from prefstream.consumer.observe.stop_event import StopEvent
from tests.support.processes import child_environment

STRUCK = """
import faulthandler, os, signal, time
from prefstream.consumer.observe.stop_event import StopEvent

faulthandler.dump_traceback_later(100, exit=True)
stop, heard, main = StopEvent(), 0, os.getpid()

def handle(*_):
    global heard
    heard += 1
    stop.set()

signal.signal(signal.SIGUSR1, handle)
sender = os.fork()
if sender == 0:
    while True:
        time.sleep(0.0003)  # longer than a handler takes
        os.kill(main, signal.SIGUSR1)
while heard < 5_000:
    stop.clear()
    stop.wait(0.00001)
os.kill(sender, signal.SIGKILL)
os.waitpid(sender, 0)
"""
"""Handlers run at every step of a wait, again and again. With `threading.Event` this stands still within a second."""


def test_a_handler_may_set_it_at_every_step_of_a_wait() -> None:
    subprocess.run([sys.executable, "-c", STRUCK], env=child_environment(), timeout=120, check=True)


def test_who_waits_is_woken() -> None:
    stop = StopEvent()
    woken: list[bool] = []
    waiting = threading.Thread(target=lambda: woken.append(stop.wait()))
    waiting.start()
    stop.set()
    waiting.join(60)
    assert woken == [True]
    assert stop.is_set()


def test_a_wait_ends_in_time_without_it() -> None:
    stop = StopEvent()
    began = time.monotonic()
    assert not stop.wait(0.3)
    assert time.monotonic() - began >= 0.3
    assert not stop.wait(0)


@pytest.mark.parametrize("timeout", [None, 0.0, 1.0])
def test_what_is_set_is_not_waited_for_until_it_is_taken_back(timeout: float | None) -> None:
    stop = StopEvent()
    stop.set()
    assert stop.wait(timeout)
    stop.clear()
    assert not stop.wait(0)
