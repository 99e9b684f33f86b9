"""What a secured Kafka cluster needs: certificates, users, ACLs. Everything is made anew for each test run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme
from cryptography.hazmat.primitives import serialization
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.admin import ACLResourcePatternType as PatternType

from prefstream.consumer.config import StreamConfig, TopicNames
from prefstream.consumer.dead_letters.retry import DEFAULT_GROUP

ADDRESSES: Final = ("localhost", "127.0.0.1")
"""What the brokers' certificates are for."""

AGAIN: Final = "preferences.again"
"""Where what is scored once more goes."""


@dataclass(frozen=True)
class Acl:
    """One operation on one resource.

    Attributes:
        operation: as Kafka's tools write it: `Read`.
        resource: `topic`, `group` or `transactional-id`.
        name: of the resource.
        prefixed: whether all resources are meant whose names begin so.
    """

    operation: str
    resource: str
    name: str
    prefixed: bool = False

    def binding(self, user: str) -> ACL:
        """What allows it to a user, from everywhere."""
        pattern = PatternType.PREFIXED if self.prefixed else PatternType.LITERAL
        return ACL(
            f"User:{user}",
            "*",
            ACLOperation[self.operation.upper()],
            ACLPermissionType.ALLOW,
            ResourcePattern(ResourceType[self.resource.replace("-", "_").upper()], self.name, pattern),
        )


def needed_acls(config: StreamConfig) -> tuple[Acl, ...]:
    """All that `prefstream run` needs: what deploy/README.md says, which a test compares."""
    if config.shadow:
        return (
            Acl("Read", "topic", config.battles_topic),
            Acl("Write", "topic", config.shadow_topic),
            Acl("Read", "group", config.group),
            Acl("Write", "transactional-id", f"{config.group}-", prefixed=True),
        )
    return (
        Acl("Read", "topic", config.battles_topic),
        Acl("Write", "topic", config.preferences_topic),
        Acl("Write", "topic", config.dead_letters_topic),
        *((Acl("Write", "topic", config.review_topic),) if config.review_topic else ()),
        *((Acl("Read", "topic", config.panels_topic),) if config.panels else ()),
        Acl("Read", "group", config.group_id),
        Acl("Write", "transactional-id", f"{config.group_id}-", prefixed=True),
    )


def acls_of_watch(names: TopicNames, group_id: str = "prefstream") -> tuple[Acl, ...]:
    """What the board needs to watch the stream; it serves without, too."""
    return (
        Acl("Describe", "topic", names.battles_topic),
        Acl("Describe", "group", group_id),
        Acl("Read", "topic", names.dead_letters_topic),
    )


def needed_acls_of_board(names: TopicNames, group_id: str = "prefstream") -> tuple[Acl, ...]:
    """All that the board needs: what deploy/README.md says, which a test compares."""
    return (
        Acl("Read", "topic", names.preferences_topic),
        Acl("Read", "topic", names.votes_topic),
        Acl("Write", "topic", names.votes_dead_letters_topic),
        Acl("Read", "topic", names.votes_dead_letters_topic),
        *acls_of_watch(names, group_id),
        Acl("Write", "topic", names.battles_topic),  # --allow-battles
        Acl("Read", "topic", names.battles_topic),  # --show-texts
        Acl("Read", "topic", names.shadow_topic),  # --shadow
    )


def needed_acls_of_calibration(names: TopicNames) -> tuple[Acl, ...]:
    """All that live calibration needs: what deploy/README.md says, which a test compares."""
    return (
        Acl("Read", "topic", names.preferences_topic),
        Acl("Read", "topic", names.votes_topic),
        Acl("Read", "topic", names.panels_topic),
        Acl("Write", "topic", names.panels_topic),
    )


def needed_acls_of_commands(names: TopicNames, group_id: str = "prefstream") -> dict[str, tuple[Acl, ...]]:
    """All that commands need that somebody calls now and then: what deploy/README.md says, which a test compares."""
    battles, preferences = Acl("Read", "topic", names.battles_topic), Acl("Read", "topic", names.preferences_topic)
    panels, letters = Acl("Read", "topic", names.panels_topic), Acl("Read", "topic", names.dead_letters_topic)
    shadow = Acl("Read", "topic", names.shadow_topic)
    return {
        "audit": (battles, preferences, letters, Acl("Describe", "group", group_id)),
        "audit --shadow": (battles, shadow, Acl("Describe", "group", f"{group_id}-shadow")),
        "diff": (preferences, shadow, Acl("Read", "topic", names.votes_topic)),
        "diff --replay": (preferences, battles),
        "panels list": (panels,),
        "panels use": (panels, Acl("Write", "topic", names.panels_topic)),
        "replay": (Acl("Write", "topic", names.battles_topic),),
        "replay --votes": (Acl("Write", "topic", names.votes_topic),),
        "dead-letters retry": (
            letters,
            Acl("Read", "group", DEFAULT_GROUP),
            Acl("Write", "topic", names.battles_topic),
            Acl("Write", "transactional-id", f"{DEFAULT_GROUP}-~retry"),
        ),
        "rescore -o FILE": (battles,),
        "rescore -o TOPIC": (
            battles,
            Acl("Write", "topic", AGAIN),
            Acl("Read", "group", "prefstream-rescore-", prefixed=True),
            Acl("Write", "transactional-id", "prefstream-rescore-", prefixed=True),
        ),
    }


def grant(bootstrap_servers: str, acls: Mapping[str, Iterable[Acl]]) -> None:
    """Allow users what they need.

    Args:
        bootstrap_servers: a listener on which we are a super user.
        acls: by user.
    """
    bindings = [wanted.binding(user) for user, some in acls.items() for wanted in some]
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        assert admin.create_acls(bindings)["failed"] == []


def revoke(bootstrap_servers: str, user: str, wanted: Acl) -> None:
    """Take an ACL away.

    Args:
        bootstrap_servers: a listener on which we are a super user.
        user: who has it.
        wanted: as it was granted.
    """
    acl = wanted.binding(user)
    pattern = ACLFilter(acl.principal, acl.host, acl.operation, acl.permission_type, acl.resource_pattern)
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        [(_, removed, _)] = admin.delete_acls([pattern])
    assert len(removed) == 1


class Authority:
    """Signs certificates, and writes them as PEM where brokers and clients find them.

    Args:
        folder: for its own certificate and those that it signs.

    Attributes:
        cafile: its own certificate.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.cafile = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.cafile)

    def keystore(self, *addresses: str) -> Path:
        """A broker's key and certificate in one file, as Kafka reads them.

        Args:
            addresses: of the broker.
        """
        signed = self._ca.issue_cert(*addresses)
        path = self._folder / f"keystore-{addresses[0]}.pem"
        path.write_bytes(_pkcs8(signed) + b"".join(pem.bytes() for pem in signed.cert_chain_pems))
        return path

    def client(self, name: str, password: str) -> tuple[Path, Path]:
        """A client's certificate, and its key in a file of its own.

        Args:
            name: who the client is.
            password: that the key is encrypted with.
        """
        signed = self._ca.issue_cert(f"{name}.test", common_name=name)
        certfile, keyfile = (self._folder / f"{name}.{kind}.pem" for kind in ("certificate", "key"))
        certfile.write_bytes(b"".join(pem.bytes() for pem in signed.cert_chain_pems))
        keyfile.write_bytes(_pkcs8(signed, password))
        return certfile, keyfile


def broker_settings(authority: Authority) -> dict[str, object]:
    """A broker's properties for TLS and ACLs: nothing is allowed unless one says so.

    Who has no name, on the listener between brokers above all, may do everything.
    """
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": authority.keystore(*ADDRESSES),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": authority.cafile,
        # A client's certificate names its user by the common name alone.
        "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
    }


def plain_users(listener: str, users: Mapping[str, str]) -> dict[str, object]:
    """A broker's properties for users who log in by PLAIN.

    Args:
        listener: its name, in small letters.
        users: name to password.
    """
    logins = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {f"listener.name.{listener}.plain.sasl.jaas.config": f"{module} required {logins};"}


def scram_listener(listener: str) -> dict[str, object]:
    """A broker's properties for users who log in by SCRAM; who they are is said when the data folder is made.

    Args:
        listener: its name, in small letters.
    """
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    return {f"listener.name.{listener}.scram-sha-512.sasl.jaas.config": f"{module} required;"}


def _pkcs8(signed: trustme.LeafCert, password: str | None = None) -> bytes:
    """The private key in the one form that Kafka reads."""
    key = serialization.load_pem_private_key(signed.private_key_pem.bytes(), None)
    encryption = (
        serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password.encode())
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
