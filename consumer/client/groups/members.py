"""Members of a consumer group, looked at and removed from outside it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from kafka.admin import MemberToRemove
from kafka.errors import NoError, UnknownMemberIdError

from prefstream.consumer.client.clients import admin_client
from prefstream.consumer.client.kafka_errors import KafkaError, Translator
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.errors import StreamError

LEFT: Final = "stopped for good"
"""Why a member leaves, for the brokers' logs."""


def hosts_of_others(connection: KafkaConnection, group_id: str, client_id: str, member_id: str) -> list[str]:
    """Where else a client of this name is a member of the group, as far as the brokers tell.

    Args:
        connection: to the brokers.
        group_id: the group.
        client_id: the name.
        member_id: ours, which does not count.
    """
    with suppress(KafkaError, StreamError), admin_client(connection) as admin:
        members = admin.describe_groups([group_id])[group_id]["members"]
        hosts = {
            member["client_host"].removeprefix("/")
            for member in members
            if member["client_id"] == client_id and member["member_id"] != member_id
        }
        return sorted(hosts)
    return []


def remove_static_member(connection: KafkaConnection, group_id: str, instance_id: str, member_id: str) -> None:
    """Take a static member out of its group, which does not happen when its consumer closes.

    Args:
        connection: to the brokers.
        group_id: the group.
        instance_id: the member's name.
        member_id: its id: a twin that took the name over is not removed.

    Raises:
        StreamError: it could not be removed; the brokers do it when its session is over.
    """
    leaving = Translator(f"leaving group {group_id}")
    with leaving.translating(), admin_client(connection) as admin:
        removed = admin.remove_group_members(
            group_id, [MemberToRemove(member_id=member_id, group_instance_id=instance_id, reason=LEFT)]
        )
        for error in removed.values():
            if error not in {NoError, UnknownMemberIdError}:  # unknown: its session was over
                raise error()
