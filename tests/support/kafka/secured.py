"""A cluster of one broker that lets nobody in without reason: users who log in by SCRAM, and what each may do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr

from prefstream.consumer.config import TopicNames
from tests.support.kafka.cluster import ENV_HOME, KafkaCluster, kafka_home
from tests.support.kafka.security import Acl, Authority, broker_settings, grant, scram_listener

PASSWORD: Final = "zqsecret-of-a-cluster-for-a-test"  # noqa: S105 - it lives for one file of tests


@dataclass(frozen=True)
class Secured:
    """The cluster, and who signed its certificate."""

    cluster: KafkaCluster
    cafile: Path

    @property
    def inside(self) -> TopicNames:
        """The topics, seen by a super user."""
        return TopicNames(bootstrap_servers=self.cluster.internal_servers)

    def login(self, user: str) -> dict[str, Any]:
        """Settings of a user."""
        return {
            "bootstrap_servers": self.cluster.servers("CLIENT"),
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": user,
            "sasl_password": SecretStr(PASSWORD),
            "ssl_cafile": self.cafile,
        }


@contextmanager
def secured_cluster(folders: pytest.TempPathFactory, users: Mapping[str, Iterable[Acl]]) -> Iterator[Secured]:
    """The cluster; a test is skipped where there is no Apache Kafka.

    Args:
        folders: for its data and its certificates.
        users: what each may do.
    """
    home = kafka_home() or pytest.skip(f"needs an unpacked Apache Kafka: name it by {ENV_HOME} (and have Java 17)")
    authority = Authority(folders.mktemp("authority"))
    cluster = KafkaCluster(
        home,
        folders.mktemp("kafka"),
        protocol="SASL_SSL",
        scram_users=dict.fromkeys(users, PASSWORD),
        settings=broker_settings(authority)
        | scram_listener("client")
        | {"listener.name.client.sasl.enabled.mechanisms": "SCRAM-SHA-512"},
    )
    with cluster:
        grant(cluster.internal_servers, users)
        yield Secured(cluster, authority.cafile)
