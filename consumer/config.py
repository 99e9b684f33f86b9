"""Settings of the stream. Strongest first: CLI flags, environment PREFSTREAM_*, secret files, YAML file, defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.durations import required_duration
from prefstream.consumer.errors import UsageError
from prefstream.consumer.service_settings import HttpHost, LogFormat, LogLevel, Seconds
from prefstream.schemas import Framing
from prefstream.schemas.preference import MAX_ENTROPY_BITS
from prefstream.scoring.config import DEMO_PANEL

BYTES_PER_TOKEN: Final = 4
"""JSON of English chat has about 4.3 bytes a token, other scripts 3 to 6: near enough to close a batch by."""


class TopicNames(KafkaConnection):
    """The stream's topics, and where they are."""

    battles_topic: Annotated[str, Field(description="Topic to read battles from.")] = "battles"
    preferences_topic: Annotated[str, Field(description="Topic of preferences: the panel's answers.")] = "preferences"
    dead_letters_topic: Annotated[str, Field(description="Topic for what can't be scored.")] = "battles.dead-letters"
    review_topic: Annotated[
        str | None,
        Field(
            description="Topic for preferences that a person should look at, such as battles.review; without one there "
            "is none.",
            min_length=1,
        ),
    ] = None
    shadow_topic: Annotated[str, Field(description="Topic of a shadow's preferences.")] = "preferences.shadow"
    votes_topic: Annotated[str, Field(description="Topic of votes: what people said of battles, later.")] = "votes"
    votes_dead_letters_topic: Annotated[str, Field(description="Topic for what is no vote.")] = "votes.dead-letters"
    panels_topic: Annotated[
        str, Field(description="Topic of which panel is to answer for each group; compacted. Read with panels.")
    ] = "panels"

    @classmethod
    def settings_of_others(cls) -> Collection[str]:
        """Those of the service, of the board and of live calibration."""
        from prefstream.consumer.board_config import BoardConfig  # these are made of this class
        from prefstream.consumer.recalibrate_config import RecalibrateConfig

        return {*StreamConfig.model_fields, *BoardConfig.model_fields, *RecalibrateConfig.model_fields}

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        fields = {field: name for field in TOPIC_FIELDS if (name := getattr(self, field))}
        taken = Counter(fields.values())
        if twice := [field for field, name in fields.items() if taken[name] > 1]:
            raise ValueError(f"{', '.join(twice)}: must be topics of their own, not one and the same")
        return self


TOPIC_FIELDS: Final = tuple(name for name in TopicNames.model_fields if name not in KafkaConnection.model_fields)
"""The settings that name topics. Commands that work on one topic have an option of their own for it."""


class StreamConfig(TopicNames):
    """The service: what it reads, how it batches, when it gives up."""

    group_id: Annotated[
        str,
        Field(description="Consumer group; its committed offsets are the progress. A shadow's has -shadow behind it."),
    ] = "prefstream"
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
            description=f"Panel file: who judges; {DEMO_PANEL}: the demo's small judges, for trying out. There is "
            "no default: what serves is chosen by a person."
        ),
    ] = None
    panels: Annotated[
        Path | None,
        Field(
            description="Folder of panel files, NAME.yaml: take over, without a restart, the one that `prefstream "
            "panels use NAME` chooses for this group. Until then, and where that can't be loaded, panel serves."
        ),
    ] = None
    battles_framing: Annotated[
        Framing,
        Field(
            description="confluent: read past the five bytes that Confluent's serializers put before "
            "JSON. The schema registry itself is not asked; a value without them is read as it is."
        ),
    ] = "none"
    preferences_framing: Annotated[
        Framing,
        Field(
            description="confluent: put those five bytes before each preference, with the number that the schema "
            "registry gives its schema under the subject TOPIC-value."
        ),
    ] = "none"

    schema_registry_url: Annotated[
        str | None, Field(description="Schema registry that is asked, once at the start: http:// or https://.")
    ] = None
    schema_registry_username: Annotated[str | None, Field(description="User name there, where it wants one.")] = None
    schema_registry_password: Annotated[
        SecretStr | None, Field(description="Password there; with an API key, its secret.")
    ] = None
    schema_registry_cafile: Annotated[
        Path | None, Field(description="CA that signed the schema registry's certificate (PEM).")
    ] = None
    schema_registry_register: Annotated[
        bool,
        Field(
            description="Register the schema where the subject does not have it yet; without that it must be there, "
            "and reading the registry is enough."
        ),
    ] = True

    publish_models: Annotated[
        bool,
        Field(
            description="Pass on who wrote the responses (model_a, model_b of the battle) in preferences. No judge "
            "sees it either way."
        ),
    ] = True

    review_share: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            allow_inf_nan=False,
            description="With a review_topic: probability with which any battle is chosen for it. Not 0: a vote weighs "
            "the inverse of it.",
        ),
    ] = 0.02
    review_above: Annotated[
        float,
        Field(
            ge=0,
            le=MAX_ENTROPY_BITS,
            allow_inf_nan=False,
            description="Uncertainty, in bits of entropy up to log2(3) = 1.585, from which on a battle is chosen with "
            "probability review_share_above instead.",
        ),
    ] = 1.5
    # A panel that knows nothing any more sends each battle above: what people get is bounded then, too.
    review_share_above: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            allow_inf_nan=False,
            description="Probability with which battles that uncertain are chosen; at least review_share.",
        ),
    ] = 0.2

    shadow: Annotated[
        bool,
        Field(
            description="Run as a shadow: another panel answers the same battles in a group of its own, onto "
            "shadow_topic, and serves nobody yet. It writes no dead letters, and nothing for review."
        ),
    ] = False
    share: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            allow_inf_nan=False,
            description="With shadow: share of battles that it answers, chosen by a hash of their ids: always the same "
            "ones, and those of a smaller share are among them.",
        ),
    ] = 1.0
    max_lag: Annotated[
        int | None,
        Field(
            ge=1,
            description="With shadow: where it is more than so many records of a partition behind, it skips to the "
            "partition's end; without it, it answers late.",
        ),
    ] = None

    max_batch_battles: Annotated[int, Field(ge=1, description="A batch closes when it has this many battles.")] = 64
    max_batch_tokens: Annotated[
        int,
        Field(ge=1, description="A batch closes when its battles are estimated at this many tokens, by their bytes."),
    ] = 32_768
    linger_ms: Annotated[
        int,
        Field(
            ge=0,
            description="A batch that is not full closes this long after the one before, once its judges are free: a "
            "lone battle is not kept waiting, and a few at a time don't go one by one.",
        ),
    ] = 50
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
    # What a card that breaks answers wrongly is what this process scores in so long, at most half as much again. Thirty
    # battles are some seconds of the judges' time: one in a hundred of theirs, where these are slow.
    golden_every: Annotated[
        str,
        Field(
            description="How often the panel must give the answers of its golden set again (golden in the panel file), "
            "such as 15m. Where it does not, nothing more is published, and the process ends."
        ),
    ] = "15m"
    # A batch in flight takes seconds; Kubernetes kills after 30 s by default.
    drain_seconds: Annotated[
        float, Field(ge=0, description="Time to finish the batches in flight after SIGTERM or SIGINT.")
    ] = 20.0

    http: Annotated[bool, Field(description="Serve /metrics, /livez and /readyz.")] = True
    http_host: HttpHost = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65_535, description="HTTP port; 0 picks a free one.")] = 9464

    traces: Annotated[
        bool,
        Field(
            description="Trace battles, and send the spans to a collector by OTLP over HTTP. Where it is, and all "
            "else, OpenTelemetry's own variables say (OTEL_EXPORTER_OTLP_ENDPOINT and others)."
        ),
    ] = False
    traces_ratio: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="Share of battles to trace of those that come without a trace; the others are traced where "
            "their producer's span is sampled.",
        ),
    ] = 1.0

    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"

    @property
    def golden_every_s(self) -> float:
        """Seconds from one check of the panel's answers to the next."""
        return required_duration(self.golden_every).total_seconds()

    @field_validator("golden_every")
    @classmethod
    def _is_a_span(cls, text: str) -> str:
        if not required_duration(text):
            raise ValueError("must be longer than no time at all")
        return text

    @model_validator(mode="after")
    def _registry_can_be_asked(self) -> Self:
        if self.schema_registry_url is None:
            if self.preferences_framing == "confluent":
                raise ValueError("preferences_framing: confluent needs schema_registry_url, which numbers the schema")
            return self
        url = urlsplit(self.schema_registry_url)
        if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
            raise ValueError("schema_registry_url: must be https://HOST/... or http://HOST/...")
        if url.username or url.password:
            raise ValueError(
                "schema_registry_url: holds a login; use schema_registry_username and schema_registry_password"
            )
        if (self.schema_registry_username is None) != (self.schema_registry_password is None):
            raise ValueError("schema_registry_username and schema_registry_password: give both or none")
        on_this_machine = url.hostname in {"localhost", "127.0.0.1", "::1"}
        if self.schema_registry_password and url.scheme == "http" and not on_this_machine:
            raise ValueError("schema_registry_url: must be https:// where a password is sent there")
        if self.schema_registry_cafile is not None and not self.schema_registry_cafile.is_file():
            raise ValueError(f"schema_registry_cafile: {self.schema_registry_cafile} is no file")
        return self

    @model_validator(mode="after")
    def _doubt_is_looked_at(self) -> Self:
        if self.review_share_above < self.review_share:
            raise ValueError("review_share_above: must not be less than review_share")
        return self

    @model_validator(mode="after")
    def _shadow_is_meant(self) -> Self:
        fields = type(self).model_fields
        changed = [name for name in ("share", "max_lag") if getattr(self, name) != fields[name].default]
        if changed and not self.shadow:
            raise ValueError(f"{', '.join(changed)}: only with shadow; a stream that serves answers every battle")
        return self

    @property
    def group(self) -> str:
        """The group that reads: `group_id`, and for a shadow one beside it."""
        return f"{self.group_id}-shadow" if self.shadow else self.group_id

    @property
    def answers_topic(self) -> str:
        """Where preferences go."""
        return self.shadow_topic if self.shadow else self.preferences_topic

    @property
    def output_topics(self) -> tuple[str, ...]:
        """Where answers go; a shadow writes no dead letters."""
        return (self.answers_topic,) if self.shadow else (self.answers_topic, self.dead_letters_topic)

    def require_panel(self) -> Path:
        """The panel that serves.

        Raises:
            UsageError: none was chosen.
        """
        if self.panel is None:
            raise UsageError(
                "no panel: say who judges, by --panel FILE, PREFSTREAM_PANEL, or panel in the configuration file; "
                f"--panel {DEMO_PANEL} takes the demo's small judges, for trying out"
            )
        return self.panel
