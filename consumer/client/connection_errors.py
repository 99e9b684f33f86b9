"""Why there is no connection to the brokers: kafka-python writes that to its log alone, and raises a time-out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from prefstream.consumer.connection import KafkaConnection

_REASONS: Final = (
    (("Hostname mismatch", "IP address mismatch"), "the broker's certificate is not for the name in its address"),
    (("certificate has expired",), "the broker's certificate has expired"),
    (("CERTIFICATE_VERIFY_FAILED",), "the broker's certificate is not signed by {ca}"),
    (("UnsupportedSaslMechanism",), "the broker does not take sasl_mechanism {mechanism} at this port"),
    (("IllegalSaslState",), "the broker asks for no login at this port; check security_protocol"),
    (("SaslAuthenticationFailed",), "the broker refused the login; check {login}"),
    (
        ("ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE", "CERTIFICATE_REQUIRED", "ALERT_UNKNOWN_CA"),
        "the broker {certificate}",
    ),
    (("[SSL", "Handshake failed"), "the TLS handshake failed; does this port speak TLS?"),
    (("ECONNREFUSED", "onnection refused"), "nothing listens there; start the broker, or check bootstrap_servers"),
    (("Name or service not known", "name resolution"), "the host name is unknown; check bootstrap_servers"),
    (
        ("does not support the 'MetadataRequest'",),
        "this listener answers no clients (a controller's?); give the address of a broker's",
    ),
    (("socket disconnected",), "the broker hangs up; is security_protocol the one of this port?"),
)
"""Words of kafka-python's log lines and what they mean, the most telling first."""


MOST_LINES: Final = 100
"""Kept of what is overheard: the reason is among the last few, and a service listens for as long as it lives."""


@contextmanager
def overheard(logger: str) -> Iterator[deque[str]]:
    """Collect what a logger says at WARNING and above while the block runs, the last lines of it."""
    lines: deque[str] = deque(maxlen=MOST_LINES)
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    target = logging.getLogger(logger)
    target.addHandler(handler)
    try:
        yield lines
    finally:
        target.removeHandler(handler)


def explain(heard: Iterable[str], connection: KafkaConnection) -> str | None:
    """The most telling of the log lines in our words, and what to do; None where none tells anything.

    Args:
        heard: what kafka-python said while it tried to connect; its threads may go on saying it meanwhile.
        connection: how it was told to.
    """
    words = {
        "ca": "the CA given (ssl_cafile)" if connection.ssl_cafile else "a CA that this machine trusts (ssl_cafile)",
        "certificate": "refused our certificate; check ssl_certfile"
        if connection.ssl_certfile
        else "asks for our certificate; give ssl_certfile and ssl_keyfile",
        "mechanism": connection.sasl_mechanism,
        "login": "what it expects of an access token (sasl_oauth_scope)"
        if connection.oauth_client
        else "sasl_username, sasl_password and sasl_mechanism",
    }
    lines = list(heard)  # one step, which no other thread comes between
    for clues, reason in _REASONS:
        if any(clue in line for line in lines for clue in clues):
            return reason.format_map(words)
    return None
