"""A topic is created by asking for it, although the client was told not to.

What goes wrong: kafka-python takes `allow_auto_create_topics` and hands it on to nobody. Where brokers create what is
asked for (Kafka's default), a topic that was deleted comes back empty, with the wrong number of partitions.

Versions: 3.0.0 to 3.0.12, and master. 2.3.3 obeys the setting; the network client that 3.0 brought does not.

Upstream: no issue known. In issue 2083 of dpkp/kafka-python the setting is named as the way to prevent this.

Remove when: kafka-python's connection manager hands `allow_auto_create_topics` on to its metadata.
"""

from __future__ import annotations

from typing import Any

from kafka.net.manager import KafkaConnectionManager

from prefstream.consumer.client.patches.patch import Method, Patch


def _obeying(connect: Method) -> Method:
    def __init__(self: Any, net: Any, **configs: Any) -> None:  # noqa: N807 - the method that is replaced
        connect(self, net, **configs)
        self.cluster.config["allow_auto_create_topics"] = configs.get("allow_auto_create_topics", True)

    return __init__


PATCHES = (Patch(KafkaConnectionManager, "__init__", ("net", "configs"), _obeying, needs=("cluster",)),)
