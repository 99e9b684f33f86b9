"""What makes a TLS connection: whom we trust, and who we are.

kafka-python would do this by itself, anew for every connection: it takes a file that can't be used for a handshake that
failed and tries again until its time is up, and OpenSSL asks the terminal for a key's password that nobody gave.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.errors import UsageError


def client_context(connection: KafkaConnection) -> ssl.SSLContext:
    """A context for connections to the brokers.

    Raises:
        UsageError: a file of certificates or keys can't be used.
    """
    context = trusting_context(connection.ssl_cafile, "ssl_cafile")
    if connection.ssl_certfile:
        password = connection.ssl_password.get_secret_value() if connection.ssl_password else ""
        try:
            context.load_cert_chain(connection.ssl_certfile, connection.ssl_keyfile, password)
        except (OSError, ValueError) as error:  # ValueError: a password longer than OpenSSL takes
            files = " and ".join(str(path) for path in (connection.ssl_certfile, connection.ssl_keyfile) if path)
            raise UsageError(
                f"the certificate can't be used ({_reason(error)}): {files} must be PEM, certificate and key must "
                "belong together, and ssl_password must be the key's"
            ) from None
    return context


def trusting_context(cafile: Path | None, setting: str) -> ssl.SSLContext:
    """A context that checks the other side's certificate and name.

    Args:
        cafile: CA certificates to trust (PEM); None trusts whom this machine trusts.
        setting: that names the file, for the error.

    Raises:
        UsageError: the file holds no certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cafile is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cafile)
    except OSError as error:
        raise UsageError(
            f"{setting}: {cafile} holds no certificates (PEM) that can be read ({_reason(error)})"
        ) from None
    return context


def _reason(error: OSError | ValueError) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__)
