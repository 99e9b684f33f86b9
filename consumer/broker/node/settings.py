"""Settings of the embedded broker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BrokerSettings:
    """What can be set about an embedded broker; the defaults are Kafka's unless a comment says otherwise.

    Attributes:
        host: address to listen on.
        advertised_host: where clients are told to connect to, if that is not `host` (for example because they
            reach a container by another name).
        port: port to listen on; 0 picks a free one.
        default_partitions: partitions of a topic whose creator names no number, or that a client's first
            look creates.
        auto_create_topics: whether asking for a topic that doesn't exist creates it.
        max_message_bytes: largest record batch accepted, unless the topic's `max.message.bytes` says otherwise.
        group_initial_rebalance_delay_ms: how long the first rebalance of an empty group waits for more members.
        group_min_session_timeout_ms: shortest session time-out a group member may ask for.
        group_max_session_timeout_ms: longest session time-out a group member may ask for.
        offsets_retention_ms: how long the offsets of a group without members are kept.
        offsets_retention_check_interval_ms: how often offsets are looked at for that.
        log_retention_check_interval_ms: how often records are looked at for their topic's `retention.ms`.
        offset_metadata_max_bytes: longest note that may be committed with an offset.
        transaction_max_timeout_ms: longest transaction time-out a producer may ask for.
        tick_ms: how often time-outs of groups and transactions are looked at.
        max_request_bytes: a connection that announces a larger request is closed.
    """

    host: str = "127.0.0.1"
    advertised_host: str | None = None
    port: int = 0
    default_partitions: int = 4
    auto_create_topics: bool = True
    max_message_bytes: int = 1_048_588
    # Kafka waits 3 s for members that start together; a test would pay that for every group.
    group_initial_rebalance_delay_ms: int = 0
    # Kafka's 6 s would make every test about a dead member at least that long.
    group_min_session_timeout_ms: int = 100
    group_max_session_timeout_ms: int = 1_800_000
    offsets_retention_ms: int = 604_800_000
    offsets_retention_check_interval_ms: int = 600_000
    log_retention_check_interval_ms: int = 300_000
    offset_metadata_max_bytes: int = 4096
    transaction_max_timeout_ms: int = 900_000
    # Kafka looks for timed-out transactions every 10 s. A tick costs microseconds here.
    tick_ms: int = 50
    max_request_bytes: int = 104_857_600
