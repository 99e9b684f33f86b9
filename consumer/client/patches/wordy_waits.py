"""Each wait for a broker's answer puts its socket into words that nobody reads.

What goes wrong: a wait registers its socket, and asks first whether it is registered already. Python's selectors answer
that it is not by an error whose text names the socket, with both its addresses: three system calls, each of which lets
go of the interpreter and waits to get it back. A transaction of ours waits a dozen times. Here the socket is
registered, and only one that is there already is asked about.

Versions: 3.0.0, 3.0.9 and 3.0.12; others, and master, were not looked at.

Upstream: no issue known.

Remove when: kafka-python registers a socket without asking for it first.
"""

from __future__ import annotations

import selectors
from typing import Any

from kafka.net.selector import NetworkSelector, Task

from prefstream.consumer.client.patches.patch import Method, Patch


def _without_asking(register: Method) -> Method:
    def register_event(self: Any, fileobj: Any, event: int, task: Any) -> None:
        if not isinstance(task, Task):
            task = Task(task)
        try:
            self._selector.register(fileobj, event, (task, None) if event == selectors.EVENT_READ else (None, task))
        except KeyError:  # for the other kind of event
            register(self, fileobj, event, task)

    return register_event


PATCHES = (
    Patch(NetworkSelector, "register_event", ("fileobj", "event", "task"), _without_asking, needs=("_selector",)),
)
