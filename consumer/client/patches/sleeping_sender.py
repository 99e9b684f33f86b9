"""The producer's thread goes to sleep with a transaction's request still to be answered.

What goes wrong: when a message fails (too large for the broker, say), the thread answers one waiting request with the
error and sleeps until the network wakes it. If that request added a partition, which nobody waits for, the offsets'
request behind it is never answered, and who sent them waits for ever. Here the thread sleeps for moments only.

Versions: 3.0.0 to 3.0.12. In master the producer was written anew (pull request 3110 of dpkp/kafka-python) and was not
tried.

Upstream: no issue known.

Remove when: a request that waits behind one that was answered with an error is answered, too.
"""

from __future__ import annotations

from typing import Any

from kafka.producer.sender import Sender

from prefstream.consumer.client.patches.patch import Method, Patch

LONGEST_SLEEP_MS = 100
"""What a request costs that was left behind; ten turns a second of an idle producer are not noticed."""


def _dozing(send: Method) -> Method:
    def _send_producer_data(self: Any, now: float | None = None) -> float:
        sleep_ms: float = send(self, now)
        return min(sleep_ms, LONGEST_SLEEP_MS)

    return _send_producer_data


PATCHES = (Patch(Sender, "_send_producer_data", ("now",), _dozing),)
