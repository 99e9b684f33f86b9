"""Settings of the stream. Strongest first: CLI flags, environment PREFSTREAM_*, secret files, YAML file, defaults.

The description of each field is the help text of its command-line option: each setting is explained once, here.
Secrets have no flag: a command line can be read by every user of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
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
from prefstream.schemas import Framing
from prefstream.scoring.config import DEMO_PANEL
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.settings_files import read_yaml
from prefstream.scoring.validation_messages import error_lines

ENV_PREFIX = "PREFSTREAM_"
ENV_CONFIG_FILE = "PREFSTREAM_CONFIG"
ENV_SECRETS_DIR = "PREFSTREAM_SECRETS_DIR"

BYTES_PER_TOKEN: Final = 4
"""JSON of English chat has about 4.3 bytes a token, other scripts 3 to 6: near enough to close a batch by."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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
        known = {name: value for name, value in fields.items() if name in cls.model_fields or not _of_service(name)}
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


class TopicNames(KafkaConnection):
    """The stream's topics, and where they are."""

    battles_topic: Annotated[str, Field(description="Topic to read battles from.")] = "battles"
    preferences_topic: Annotated[str, Field(description="Topic to write preferences to.")] = "preferences"
    dead_letters_topic: Annotated[str, Field(description="Topic for what can't be scored.")] = "battles.dead-letters"

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        topics = {self.battles_topic, self.preferences_topic, self.dead_letters_topic}
        if len(topics) < 3:
            raise ValueError("battles_topic, preferences_topic and dead_letters_topic must be three topics")
        return self


TOPIC_FIELDS: Final = tuple(name for name in TopicNames.model_fields if name not in KafkaConnection.model_fields)
"""The settings that name topics. Commands that work on one topic have an option of their own for it."""


class StreamConfig(TopicNames):
    """The service: what it reads, how it batches, when it gives up."""

    group_id: Annotated[str, Field(description="Consumer group; its committed offsets are the progress.")] = (
        "prefstream"
    )
    instance_id: Annotated[
        str | None,
        Field(
            description="Name of this process in the group: stable over restarts, unique among live processes. It "
            "makes a static member: a restart within session_timeout_ms moves no partition. By default the host's name "
            "and the first free slot on it, of a member that is not static.",
            pattern=r"^[A-Za-z0-9._-]{1,200}$",
        ),
    ] = None
    leave_on_stop: Annotated[
        bool,
        Field(
            description="Give partitions up at SIGTERM or SIGINT, with an instance_id, too: others go on with them at "
            "once. For who is stopped for good, or loads judges for longer than session_timeout_ms."
        ),
    ] = False
    panel: Annotated[
        Path | None,
        Field(
            description=f"Panel file: who judges; {DEMO_PANEL}: the demo's two small judges, for trying out. There is "
            "no default: what serves is chosen by a person."
        ),
    ] = None
    battles_framing: Annotated[
        Framing,
        Field(
            description="confluent: read past the five bytes that Confluent's serializers put before "
            "JSON. The schema registry itself is not asked; a value without them is read as it is."
        ),
    ] = "none"

    publish_models: Annotated[
        bool,
        Field(
            description="Pass on who wrote the responses (model_a, model_b of the battle) in preferences. No judge "
            "sees it either way."
        ),
    ] = True

    max_batch_battles: Annotated[int, Field(ge=1, description="A batch closes when it has this many battles.")] = 64
    max_batch_tokens: Annotated[
        int,
        Field(ge=1, description="A batch closes when its battles are estimated at this many tokens, by their bytes."),
    ] = 32_768
    linger_ms: Annotated[int, Field(ge=0, description="A batch closes this long after its first battle arrived.")] = 50
    max_in_flight: Annotated[
        int, Field(ge=1, le=64, description="Batches read but not committed; beyond that reading pauses.")
    ] = 3
    # Some ninety times what three batches hold by default, and of records that are as large as a topic takes by default
    # thirty-two. They are decoded meanwhile, which may take four times as much again.
    max_in_flight_bytes: Annotated[
        int,
        Field(ge=2**20, description="Bytes of battles read but not committed; beyond that reading pauses."),
    ] = 32 * 1024 * 1024
    # A record batch is a megabyte at most by default, and text packs three- to tenfold: what unpacks to more is hardly
    # text. It is unpacked whole, and as many bytes again of the batches of other partitions may be waiting.
    max_unpacked_bytes: Annotated[
        int,
        Field(
            ge=2**20,
            description="A compressed record batch that unpacks to more is not read: its records become dead letters "
            "without their values.",
        ),
    ] = 32 * 1024 * 1024
    on_data_loss: Annotated[
        Literal["stop", "earliest", "latest"],
        Field(description="What to do when battles were deleted unread, or their topic was recreated."),
    ] = "stop"
    on_lost_offsets: Annotated[
        Literal["resume", "stop", "earliest"],
        Field(
            description="What to do where the group has no committed offsets (they expired, or were deleted) though "
            "its answers are there. resume: read on behind them where they prove to be for this topic, else stop; "
            "earliest: answer again from the beginning."
        ),
    ] = "resume"
    # A stop holds good battles up, too: it is worth it where most of what comes can't be scored. Less than that is
    # seen by the alert on dead letters, which fires from 1 % on.
    dead_letter_limit: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="Stop when more than this share of a partition's last records are dead letters; 1: never.",
        ),
    ] = 0.5
    # Long enough that a burst of some hundred bad events passes, short enough that few get through before the stop.
    # At most what fits, a bit a record, into the 4096 bytes that a broker takes along with a committed offset.
    dead_letter_window: Annotated[
        int, Field(ge=1, le=10_000, description="Last records of a partition that dead_letter_limit looks at.")
    ] = 1_000

    # The partitions of a process that was killed stand still for so long. Kafka's own default of 45 s spares a group
    # rebalances that stop it; ours reads on in one, so that only the partitions that move pay for an early one.
    # Heartbeats are sent by a thread of their own, 15 in a session, and judges hold the interpreter for moments.
    session_timeout_ms: Annotated[
        int, Field(ge=1_000, description="A member that is silent for so long loses its partitions.")
    ] = 10_000
    max_poll_interval_ms: Annotated[
        int, Field(ge=1_000, description="A member that does not poll for so long leaves the group.")
    ] = 300_000
    # Longer than the failover of a transaction coordinator (about 9 s), shorter than the patience of a reader,
    # who sees nothing behind an open transaction whose owner died and did not come back.
    transaction_timeout_ms: Annotated[
        int, Field(ge=1_000, description="The broker ends a transaction that is open for so long.")
    ] = 20_000
    # Twice the minute that a cluster may need to come back from losing all its brokers.
    broker_timeout_s: Annotated[
        Seconds,
        Field(
            description="A broker call that hangs, or reading or committing that fails, for longer ends the process."
        ),
    ] = 120.0
    score_timeout_s: Annotated[Seconds, Field(description="A batch whose scoring takes longer ends the process.")] = (
        900.0
    )
    # A batch in flight takes seconds; Kubernetes kills after 30 s by default.
    drain_seconds: Annotated[
        float, Field(ge=0, description="Time to finish the batches in flight after SIGTERM or SIGINT.")
    ] = 20.0

    http: Annotated[bool, Field(description="Serve /metrics, /livez and /readyz.")] = True
    http_host: Annotated[str, Field(description="Address of the HTTP port.")] = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65_535, description="HTTP port; 0 picks a free one.")] = 9464

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="What to log.")] = "info"
    log_format: Annotated[
        Literal["auto", "console", "json"], Field(description="auto: JSON when standard error is no terminal.")
    ] = "auto"

    def require_panel(self) -> Path:
        """The panel that serves.

        Raises:
            UsageError: none was chosen.
        """
        if self.panel is None:
            raise UsageError(
                "no panel: say who judges, by --panel FILE, PREFSTREAM_PANEL, or panel in the configuration file; "
                f"--panel {DEMO_PANEL} takes the demo's two small judges, for trying out"
            )
        return self.panel


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


def _of_service(name: str) -> bool:
    return name in StreamConfig.model_fields


def _list_errors(error: ValidationError, model: type[KafkaConnection], file: Path | None) -> str:
    source = f"flags, {ENV_PREFIX}* and {file}" if file else f"flags and {ENV_PREFIX}*"
    return f"{'; '.join(error_lines(error, model))} (from {source})"
