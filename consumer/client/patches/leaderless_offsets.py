"""Of some partitions no offset is told, as if they had no record of that time.

What goes wrong: who asks for offsets by time, or for ends, of several partitions gets none for those whose leader the
client does not know at that moment, as where it has read another topic since it heard of theirs: asking by time, None,
which means that no record is as young; asking for ends, a KeyError. Here they are asked for again, once their leader
is known.

Versions: 3.0.0, 3.0.9 and 3.0.12; the others were not looked at.

Upstream: no issue known. Java's client asks again.

Remove when: kafka-python asks again for partitions whose leader was not known.
"""

from __future__ import annotations

from typing import Any

from kafka.consumer.fetcher import Fetcher

from prefstream.consumer.client.patches.patch import Method, Patch


def _asking_again(send: Method) -> Method:
    async def _send_list_offsets_requests(self: Any, timestamps: Any) -> Any:
        # Before the first await, as the one that is replaced looks: both see the same. With no leader at all it raises.
        leaders = {one: self._manager.cluster.leader_for_partition(one) for one in timestamps}
        offsets, again = await send(self, timestamps)
        return offsets, again | {one for one, leader in leaders.items() if leader in {None, -1}}

    return _send_list_offsets_requests


PATCHES = (Patch(Fetcher, "_send_list_offsets_requests", ("timestamps",), _asking_again, needs=("_manager",)),)
