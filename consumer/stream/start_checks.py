"""What brokers would refuse once judges are loaded, found out before that."""

from __future__ import annotations

from contextlib import suppress

from prefstream.consumer.broker_bounds import other_assignor, outside_bounds
from prefstream.consumer.client.clients import admin_client, broker_settings
from prefstream.consumer.client.kafka_errors import KafkaError
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import UsageError


def require_settings_taken(config: StreamConfig) -> None:
    """Check that brokers and group take our settings, as far as we may see theirs; joining tells the rest.

    Raises:
        UsageError: a time-out is outside the brokers' bounds, or the group shares partitions in another way.
        BrokerUnreachableError: no broker answered.
    """
    with admin_client(config) as admin:
        wrong = outside_bounds(config, broker_settings(admin))
        # Asked once: what can't be told now, the join tells. A ValueError is kafka-python's, of a member whose client
        # writes its assignment in another way.
        with suppress(KafkaError, ValueError):
            group = admin.describe_groups([config.group])[config.group]
            if problem := other_assignor(config, group):
                wrong.append(problem)
    if wrong:
        raise UsageError("; ".join(wrong))
