"""What kafka-python says to its log, in words that say what to do."""

from __future__ import annotations

import logging
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from prefstream.consumer.client.connection_errors import MOST_LINES, explain, overheard
from prefstream.consumer.connection import KafkaConnection

PASSWORD_LOGIN: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "me",
    "sasl_password": SecretStr("secret"),
}
OAUTH_LOGIN: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauth_token_url": "https://login.test/token",
    "sasl_oauth_client_id": "me",
    "sasl_oauth_client_secret": SecretStr("secret"),
}
UNTRUSTED = "Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


@pytest.mark.parametrize(
    ("line", "login", "named"),
    [
        (UNTRUSTED + "unable to get local issuer certificate", {}, "a CA that this machine trusts (ssl_cafile)"),
        (UNTRUSTED + "IP address mismatch, certificate is not valid for '10.0.0.1'", {}, "not for the name"),
        (UNTRUSTED + "certificate has expired", {}, "has expired"),
        ("Connection lost: [SSL: SSLV3_ALERT_BAD_CERTIFICATE]", {}, "asks for our certificate"),
        ("Connection lost: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]", {}, "asks for our certificate"),
        ("Handshake failed: [SSL: UNEXPECTED_EOF_WHILE_READING]", {}, "does this port speak TLS?"),
        ("Connection lost: [Error 58] SaslAuthenticationFailedError", PASSWORD_LOGIN, "sasl_password"),
        ("Connection lost: [Error 58] SaslAuthenticationFailedError", OAUTH_LOGIN, "access token"),
        ("[Error 33] UnsupportedSaslMechanismError", PASSWORD_LOGIN, "sasl_mechanism SCRAM-SHA-512"),
        ("[Error 34] IllegalSaslStateError", PASSWORD_LOGIN, "asks for no login"),
        ("Kafka broker does not support the 'MetadataRequest' Kafka protocol", {}, "answers no clients"),
        ("<KafkaSSLTransport []>: socket disconnected", {}, "security_protocol"),
        ("KafkaConnectionError: 111 ECONNREFUSED", {}, "nothing listens there"),
        ("[Errno -2] Name or service not known", {}, "host name is unknown"),
    ],
)
def test_a_line_of_the_log_is_a_reason(line: str, login: dict[str, Any], named: str) -> None:
    reason = explain(["first", line, "last"], KafkaConnection.load(**login))
    assert reason is not None
    assert named in reason


def test_what_was_given_decides_what_to_check(tmp_path: Path) -> None:
    (file := tmp_path / "some.pem").touch()
    connection = KafkaConnection.load(security_protocol="SSL", ssl_cafile=file, ssl_certfile=file)
    assert "not signed by the CA given" in str(explain([UNTRUSTED], connection))
    assert "refused our certificate" in str(explain(["[SSL: TLSV1_ALERT_UNKNOWN_CA]"], connection))


def test_the_more_telling_line_counts_wherever_it_stands() -> None:
    lines = ["ECONNREFUSED", "SaslAuthenticationFailedError", "socket disconnected"]
    assert "login" in str(explain(lines, KafkaConnection.load(**PASSWORD_LOGIN)))


def test_of_what_is_not_known_nothing_is_said() -> None:
    assert explain(["something else"], KafkaConnection.load()) is None


def test_warnings_are_heard_while_it_lasts() -> None:
    logger = logging.getLogger("a.client")
    logger.setLevel(logging.WARNING)  # whatever other tests left at the root
    with overheard("a") as heard:
        logger.warning("one %d", 1)
        logger.info("two")
    logger.warning("three")
    assert list(heard) == ["one 1"]


def test_of_much_that_is_said_the_last_is_kept() -> None:
    with overheard("a.client") as heard:
        for number in range(MOST_LINES + 1):
            logging.getLogger("a.client").warning("%d", number)
    assert (len(heard), heard[-1]) == (MOST_LINES, str(MOST_LINES))


def test_what_is_said_while_the_lines_are_read_disturbs_nobody() -> None:
    heard: deque[str] = deque(maxlen=MOST_LINES)

    class Line(str):
        """In the middle of its being read, another thread says something."""

        __slots__ = ()

        def __contains__(self, clue: object) -> bool:
            heard.append("something else")
            return False

    heard.extend(Line() for _ in range(3))
    assert explain(heard, KafkaConnection.load()) is None
    assert len(heard) > 3
