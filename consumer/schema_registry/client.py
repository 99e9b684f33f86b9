"""Asks a schema registry which number the schema of preferences has; by the REST calls that Confluent's has.

Once, at the start: a number never changes its schema. The standard library's client does: one request needs no more,
and who runs a stream of priors has no other. Neither a password nor a registry's own words are in any message.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import quote

from prefstream.consumer.client.login.tls import trusting_context
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import SchemaRegistryError
from prefstream.schemas.documents import PREFERENCE_SCHEMA, documents
from prefstream.schemas.wire import frame

TIMEOUT_S: Final = 10.0
"""A registry answers in milliseconds; one that has to elect its leader takes seconds."""

MAX_ANSWER_BYTES: Final = 4 << 20
"""An answer may repeat the schema, which has some ten kilobytes."""

MAX_SCHEMA_ID: Final = 2**31 - 1
"""Registries number by Java's ints."""

_CONTENT_TYPE: Final = "application/vnd.schemaregistry.v1+json"


def preference_frame(config: StreamConfig, topic: str) -> bytes:
    """What stands before each preference on a topic; empty where nothing does, and then nobody is asked.

    Args:
        config: names the registry.
        topic: of the preferences.

    Raises:
        SchemaRegistryError: the registry gives no number.
        UsageError: the file of CA certificates can't be used.
    """
    if config.preferences_framing == "none":
        return b""
    return frame(schema_id(config, f"{topic}-value"))


def schema_id(config: StreamConfig, subject: str) -> int:
    """The number of the preferences' schema under a subject, registered where that is allowed.

    Args:
        config: names the registry.
        subject: whose versions are looked at.

    Raises:
        SchemaRegistryError: the registry gives no number.
        UsageError: the file of CA certificates can't be used.
    """
    return _number(config, subject, _post(config, subject, "/versions" if config.schema_registry_register else ""))


def find_schema(config: StreamConfig, subject: str) -> int | None:
    """The number that the schema has already; registers nothing.

    Args:
        config: names the registry.
        subject: whose versions are looked at.

    Returns:
        None where it has none, and may be registered.

    Raises:
        SchemaRegistryError: the registry does not answer, or the schema must be there and is not.
        UsageError: the file of CA certificates can't be used.
    """
    try:
        return _number(config, subject, _post(config, subject, ""))
    except _SchemaAbsentError:
        if config.schema_registry_register:
            return None
        raise


def _number(config: StreamConfig, subject: str, answer: bytes) -> int:
    try:
        number: Any = json.loads(answer)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        number = None
    if type(number) is not int or not 0 <= number <= MAX_SCHEMA_ID:
        raise SchemaRegistryError(
            f"{_registry(config)} answers with something else than a number for {subject}; is it one?"
        )
    return number


class _SchemaAbsentError(SchemaRegistryError):
    """The subject does not have the schema."""


def _post(config: StreamConfig, subject: str, rest: str) -> bytes:
    """Send the schema; the answer has its number."""
    call = f"{(config.schema_registry_url or '').rstrip('/')}/subjects/{quote(subject, safe='')}{rest}"
    body = json.dumps({"schemaType": "JSON", "schema": documents()[PREFERENCE_SCHEMA].decode()}).encode()
    headers = {"Content-Type": _CONTENT_TYPE, "Accept": f"{_CONTENT_TYPE}, application/json"}
    if config.schema_registry_username is not None and config.schema_registry_password is not None:
        login = f"{config.schema_registry_username}:{config.schema_registry_password.get_secret_value()}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    https = urllib.request.HTTPSHandler(
        context=trusting_context(config.schema_registry_cafile, "schema_registry_cafile")
    )
    # A proxy passes https on as it is, but would read the password of a request to this machine.
    proxies: dict[str, str] | None = None if call.startswith("https:") else {}
    opener = urllib.request.build_opener(https, urllib.request.ProxyHandler(proxies), _NoRedirect)
    request = urllib.request.Request(call, data=body, headers=headers)  # noqa: S310 - the settings take http and https
    where = _registry(config)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read(MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            kind = _SchemaAbsentError if error.code == http.HTTPStatus.NOT_FOUND else SchemaRegistryError
            raise kind(f"{where} refuses (HTTP {error.code}): {_remedy(error.code, subject)}") from None
    except urllib.error.URLError as error:
        untrusted = isinstance(error.reason, ssl.SSLCertVerificationError)
        setting = "schema_registry_cafile" if untrusted else "schema_registry_url"
        raise SchemaRegistryError(f"{where} can't be reached ({error.reason}); check {setting}") from error
    except TimeoutError:
        raise SchemaRegistryError(f"{where} does not answer within {TIMEOUT_S:g} s; is it up?") from None
    except (OSError, http.client.HTTPException) as error:
        raise SchemaRegistryError(f"{where} breaks off its answer ({type(error).__name__}); is it one?") from error


def _registry(config: StreamConfig) -> str:
    return f"the schema registry {config.schema_registry_url}"


def _remedy(status: int, subject: str) -> str:
    match status:
        case http.HTTPStatus.UNAUTHORIZED:
            return "check schema_registry_username and schema_registry_password"
        case http.HTTPStatus.FORBIDDEN:
            return (
                f"grant this user to write subject {subject}, or register it once and set schema_registry_register off"
            )
        case http.HTTPStatus.NOT_FOUND:
            return (
                f"subject {subject} does not have the schema of this version: register it, or check schema_registry_url"
            )
        case http.HTTPStatus.CONFLICT:
            return (
                f"it finds the schema incompatible with an earlier version of subject {subject}: set that subject's "
                "compatibility to NONE, or name another preferences_topic"
            )
        case http.HTTPStatus.UNPROCESSABLE_ENTITY:
            return "it does not take the schema: does it know JSON Schema?"
        case _:
            return "look at its log"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Sends no password to another address."""

    def redirect_request(self, *_: Any) -> None:
        """Never."""
