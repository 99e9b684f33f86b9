"""An embedded Kafka broker: one node, in memory, for tests and demos.

It speaks Kafka's own protocol, so any client can use it: idempotent and transactional producers, consumer
groups, admin clients. What goes wrong in a real cluster can be made to go wrong here, request by request.

    with EmbeddedBroker() as broker:
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers)
        broker.faults.drop("Produce", after_apply=True)

It keeps everything in memory, for as long as a topic's `retention.ms` and the broker's offsets retention say (no
compaction, no `retention.bytes`), and trusts everybody (no TLS, no SASL, no ACLs): it is no place for data that
anybody needs.
"""

from __future__ import annotations

from prefstream.consumer.broker.embedded import EmbeddedBroker
from prefstream.consumer.broker.faults import FaultPlan
from prefstream.consumer.broker.node.errors import BrokerError, BrokerNotRunningError, ErrorCode, PortInUseError
from prefstream.consumer.broker.node.settings import BrokerSettings
from prefstream.consumer.broker.server import serve

__all__ = [
    "BrokerError",
    "BrokerNotRunningError",
    "BrokerSettings",
    "EmbeddedBroker",
    "ErrorCode",
    "FaultPlan",
    "PortInUseError",
    "serve",
]
