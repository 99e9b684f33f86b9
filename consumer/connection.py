"""How brokers are reached and settings are loaded: what every command that speaks to Kafka has.

The description of each field is the help text of its command-line option: each setting is explained once, in its model.
Secrets have no flag: a command line can be read by every user of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from prefstream.consumer.errors import UsageError
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.settings_files import read_yaml
from prefstream.scoring.validation_messages import error_lines

ENV_PREFIX = "PREFSTREAM_"
ENV_CONFIG_FILE = "PREFSTREAM_CONFIG"
ENV_SECRETS_DIR = "PREFSTREAM_SECRETS_DIR"


class OAuthClient(NamedTuple):
    """Who gets access tokens, and where."""

    token_url: str
    client_id: str
    client_secret: SecretStr
    scope: str | None
    cafile: Path | None


_PASSWORD_LOGIN: Final = ("sasl_mechanism", "sasl_username", "sasl_password")
_OAUTH_LOGIN: Final = ("sasl_mechanism", "sasl_oauth_token_url", "sasl_oauth_client_id", "sasl_oauth_client_secret")
"""What a login needs; the secret comes last."""


class KafkaConnection(BaseSettings):
    """How to reach the brokers, and who we are to them."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,  # compose files and charts pass on what they have, empty or not
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    _file_fields: ClassVar[Mapping[str, Any]] = {}
    """What the YAML file holds that is being loaded."""

    bootstrap_servers: Annotated[
        str, Field(description="Brokers to ask first: HOST:PORT, several with commas.", min_length=1)
    ] = "localhost:9092"
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Field(description="How to talk to the brokers."),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None, Field(description="How to log in.")
    ] = None
    sasl_username: Annotated[str | None, Field(description="User name for PLAIN and SCRAM.")] = None
    sasl_password: Annotated[SecretStr | None, Field(description="Password for PLAIN and SCRAM.")] = None
    ssl_cafile: Annotated[Path | None, Field(description="CA that signed the brokers' certificates (PEM).")] = None
    ssl_certfile: Annotated[Path | None, Field(description="Our own certificate (PEM), where brokers ask for one.")] = (
        None
    )
    ssl_keyfile: Annotated[Path | None, Field(description="Private key of our certificate (PEM).")] = None
    ssl_password: Annotated[SecretStr | None, Field(description="Password of the private key.")] = None
    sasl_oauth_token_url: Annotated[
        str | None, Field(description="Token endpoint for OAUTHBEARER, which gives tokens for client credentials.")
    ] = None
    sasl_oauth_client_id: Annotated[str | None, Field(description="Our name at the token endpoint.")] = None
    sasl_oauth_client_secret: Annotated[SecretStr | None, Field(description="Our secret at the token endpoint.")] = None
    sasl_oauth_scope: Annotated[str | None, Field(description="Scope to ask for, where the endpoint wants one.")] = None
    sasl_oauth_cafile: Annotated[
        Path | None, Field(description="CA that signed the token endpoint's certificate (PEM).")
    ] = None

    @classmethod
    def settings_of_others(cls) -> Collection[str]:
        """Settings of other commands, which a file that serves them all may hold."""
        return ()

    @property
    def oauth_client(self) -> OAuthClient | None:
        """Whom OAUTHBEARER gets its tokens as; None where we log in otherwise."""
        if not (self.sasl_oauth_token_url and self.sasl_oauth_client_id and self.sasl_oauth_client_secret):
            return None
        return OAuthClient(
            self.sasl_oauth_token_url,
            self.sasl_oauth_client_id,
            self.sasl_oauth_client_secret,
            self.sasl_oauth_scope,
            self.sasl_oauth_cafile,
        )

    @model_validator(mode="after")
    def _brokers_have_ports(self) -> Self:
        servers = [server.strip() for server in self.bootstrap_servers.split(",")]
        if without := [server for server in servers if server and not server.rpartition(":")[0]]:
            raise ValueError(f"bootstrap_servers: the port of {', '.join(without)} is missing; write HOST:PORT")
        return self

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        given = {name for name in type(self).model_fields if name.startswith("sasl_") and getattr(self, name)}
        if not self.security_protocol.startswith("SASL"):
            if given:
                raise ValueError(
                    f"{', '.join(sorted(given))}: no effect with security_protocol {self.security_protocol}; "
                    "choose SASL_SSL or SASL_PLAINTEXT"
                )
            return self
        oauth = self.sasl_mechanism == "OAUTHBEARER"
        needed = _OAUTH_LOGIN if oauth else _PASSWORD_LOGIN
        if not given.issuperset(needed):
            secret = needed[-1]
            raise ValueError(
                f"security_protocol {self.security_protocol} needs {', '.join(needed[:-1])} and {secret} "
                f"({ENV_PREFIX}{secret.upper()}, or a file {secret} in {ENV_SECRETS_DIR})"
            )
        if useless := sorted(name for name in given - set(needed) if name.startswith("sasl_oauth") is not oauth):
            raise ValueError(f"{', '.join(useless)}: no effect with sasl_mechanism {self.sasl_mechanism}")
        return self

    @model_validator(mode="after")
    def _secret_is_not_sent_in_the_open(self) -> Self:
        if self.sasl_oauth_token_url is None:
            return self
        url = urlsplit(self.sasl_oauth_token_url)
        on_this_machine = url.scheme == "http" and url.hostname in {"localhost", "127.0.0.1", "::1"}
        if not url.hostname or url.port == 0 or not (url.scheme == "https" or on_this_machine):
            raise ValueError("sasl_oauth_token_url: must be https://HOST/..., or http:// on this machine")
        if url.username or url.password:
            raise ValueError(
                "sasl_oauth_token_url: holds a login; use sasl_oauth_client_id and sasl_oauth_client_secret"
            )
        return self

    @model_validator(mode="after")
    def _certificates_exist(self) -> Self:
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "sasl_oauth_cafile"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name}: {path} is no file")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("ssl_keyfile: no effect without ssl_certfile")
        return self

    @model_validator(mode="after")
    def _tls_is_meant(self) -> Self:
        given = [name for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile") if getattr(self, name)]
        if given and not self.security_protocol.endswith("SSL"):
            raise ValueError(
                f"{', '.join(given)}: no effect with security_protocol {self.security_protocol}, which sends all in "
                "the open; choose SSL or SASL_SSL"
            )
        return self

    @classmethod
    def load(cls, file: Path | None = None, **flags: Any) -> Self:
        """Gather the settings from flags, environment, secret files and a YAML file.

        Args:
            file: the YAML file; None takes the one that PREFSTREAM_CONFIG names, if any.
            flags: settings given on the command line; None means not given.

        Raises:
            UsageError: a setting is unknown or out of range; all errors are listed.
        """
        file = file or (Path(name) if (name := os.environ.get(ENV_CONFIG_FILE)) else None)
        fields = _read_file(file) if file is not None else {}
        secrets_dir = os.environ.get(ENV_SECRETS_DIR)
        if secrets_dir and not Path(secrets_dir).is_dir():
            raise UsageError(f"{ENV_SECRETS_DIR} names {secrets_dir}, which is no folder")
        # A command that needs less than the service takes it from the service's file.
        others = cls.settings_of_others()
        known = {name: value for name, value in fields.items() if name in cls.model_fields or name not in others}
        # pydantic-settings asks the class for its sources, so each load has a class of its own.
        bound = type(cls.__name__, (cls,), {"__module__": cls.__module__, "_file_fields": known})
        try:
            settings: Self = bound(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            raise UsageError(_list_errors(error, cls, file)) from None
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The precedence, strongest first."""
        del dotenv_settings, file_secret_settings
        if isinstance(env_settings, EnvSettingsSource):
            # Variables are written as the options tell them: pydantic-settings would take any mixture of cases.
            env_settings.env_vars = {
                name.lower(): text for name, text in os.environ.items() if name == name.upper() and text
            }
        sources = [init_settings, env_settings]
        if secrets_dir := os.environ.get(ENV_SECRETS_DIR):
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=secrets_dir, env_prefix=""))
        return (*sources, InitSettingsSource(settings_cls, init_kwargs=dict(cls._file_fields)))


def _read_file(file: Path) -> dict[str, Any]:
    """The settings that a YAML file holds.

    Raises:
        UsageError: it can't be read, is not YAML, gives a key twice, or is no mapping.
    """
    try:
        fields = read_yaml(file, absent="does not exist")
    except ConfigError as error:
        raise UsageError(f"configuration file {file}: {'; '.join(error.errors)}") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise UsageError(f"configuration file {file}: must be a mapping of settings to values")
    return {str(name): value for name, value in fields.items()}


def _list_errors(error: ValidationError, model: type[KafkaConnection], file: Path | None) -> str:
    source = f"flags, {ENV_PREFIX}* and {file}" if file else f"flags and {ENV_PREFIX}*"
    return f"{'; '.join(error_lines(error, model))} (from {source})"
