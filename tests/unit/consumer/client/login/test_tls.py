"""Certificates and keys: what can't be used is told before anything connects, and nobody is asked for a password."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from prefstream.consumer.client.login.tls import client_context
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.errors import UsageError
from tests.support.kafka.security import Authority

PASSWORD = "key-secret"  # noqa: S105 - looked for where it must not be


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def context(**settings: Any) -> ssl.SSLContext:
    return client_context(KafkaConnection.load(security_protocol="SSL", **settings))


def test_certificate_and_name_of_the_other_side_are_checked(authority: Authority) -> None:
    for made in (context(), context(ssl_cafile=authority.cafile)):
        assert made.verify_mode == ssl.CERT_REQUIRED
        assert made.check_hostname
        assert made.minimum_version == ssl.TLSVersion.TLSv1_2
    assert len(context(ssl_cafile=authority.cafile).get_ca_certs()) == 1


def test_a_certificate_with_an_encrypted_key_can_be_used(authority: Authority) -> None:
    certfile, keyfile = authority.client("me", PASSWORD)
    context(ssl_certfile=certfile, ssl_keyfile=keyfile, ssl_password=SecretStr(PASSWORD))


@pytest.mark.parametrize("password", ["wrong " + PASSWORD, "", "x" * 2_000])
def test_a_key_with_another_password_is_a_usage_error_without_it(authority: Authority, password: str) -> None:
    """The empty one, too: OpenSSL would ask the terminal."""
    certfile, keyfile = authority.client("me", PASSWORD)
    with pytest.raises(UsageError, match="ssl_password must be the key's") as fault:
        context(ssl_certfile=certfile, ssl_keyfile=keyfile, ssl_password=SecretStr(password))
    assert PASSWORD not in str(fault.value)
    assert "x" * 100 not in str(fault.value)


def test_a_key_of_another_certificate_is_a_usage_error(authority: Authority) -> None:
    (certfile, _), (_, keyfile) = authority.client("me", PASSWORD), authority.client("you", PASSWORD)
    with pytest.raises(UsageError, match="must belong together"):
        context(ssl_certfile=certfile, ssl_keyfile=keyfile, ssl_password=SecretStr(PASSWORD))


@pytest.mark.parametrize("setting", ["ssl_cafile", "ssl_certfile"])
def test_a_file_that_holds_none_is_a_usage_error_with_its_name(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "empty.pem"
    path.write_text("nothing")
    with pytest.raises(UsageError, match=r"empty\.pem"):
        context(**{setting: path})
