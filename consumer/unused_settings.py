"""What was given and changes nothing: settings that others switch off, variables and secret files that nobody knows.

A setting that is ignored in silence costs an hour. One that is nearly a known one is refused: a default in its place is
the wrong group or the wrong judges. The rest is told and gone past: an environment is shared with others, and a setting
for all days may stand beside one for today.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import ENV_CONFIG_FILE, ENV_PREFIX, ENV_SECRETS_DIR, KafkaConnection
from prefstream.consumer.errors import UsageError

OTHER_VARIABLES: Final = frozenset(
    {
        ENV_CONFIG_FILE,
        ENV_SECRETS_DIR,
        "PREFSTREAM_CACHE_DIR",
        "PREFSTREAM_NO_REEXEC",
        "PREFSTREAM_REEXECUTED",
    }
)
"""Those that are known beside settings and options. Written down: what reads the others is not for every command."""

_NEAR: Final = 0.8
"""Alike enough, by difflib's ratio, to be meant: PANNEL and PANEL are .91 alike, GROUP and GROUP_ID .77."""

_NEAR_THOUGH_OF_ANOTHER: Final = 0.9
"""Likewise where the name may be another command's: DEMO_BOOTSTRAP_SERVERS and BOOTSTRAP_SERVERS are .87 alike."""

_SERVICE: Final = re.compile(
    r"PREFSTREAM(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)"
)
_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://\S+")


_Settings = TypeVar("_Settings", bound=KafkaConnection)


@dataclass(frozen=True, slots=True)
class _Rule(Generic[_Settings]):
    """Settings that have no effect.

    Attributes:
        settings: which.
        idle: whether it is so with this configuration.
        why: what they have no effect with.
    """

    settings: tuple[str, ...]
    idle: Callable[[_Settings], bool]
    why: str


_OF_CONNECTION: Final[tuple[_Rule[KafkaConnection], ...]] = (
    _Rule(("ssl_password",), lambda config: config.ssl_certfile is None, "no ssl_certfile"),
    _Rule(
        ("sasl_oauth_cafile",),
        lambda config: (config.sasl_oauth_token_url or "").startswith("http://"),
        "a sasl_oauth_token_url without TLS",
    ),
)

_OF_STREAM: Final[tuple[_Rule[StreamConfig], ...]] = (
    _Rule(("http_host", "http_port"), lambda config: not config.http, "http off"),
    _Rule(
        (
            "schema_registry_url",
            "schema_registry_username",
            "schema_registry_password",
            "schema_registry_cafile",
            "schema_registry_register",
        ),
        lambda config: config.preferences_framing == "none",
        "preferences_framing none",
    ),
    _Rule(
        ("schema_registry_cafile",),
        lambda config: config.preferences_framing != "none" and (config.schema_registry_url or "").startswith("http:"),
        "a schema_registry_url without TLS",
    ),
    _Rule(("traces_ratio",), lambda config: not config.traces, "traces off"),
    _Rule(("dead_letter_window",), lambda config: config.dead_letter_limit == 1, "dead_letter_limit 1, which is none"),
    _Rule(
        ("dead_letter_window",), lambda config: config.dead_letter_limit == 0, "dead_letter_limit 0: the first stops"
    ),
    _Rule(
        ("review_share", "review_above", "review_share_above"),
        lambda config: config.review_topic is None and not config.shadow,
        "no review_topic",
    ),
    _Rule(
        ("review_above",),
        lambda config: (
            config.review_topic is not None and config.review_share == config.review_share_above and not config.shadow
        ),
        "review_share and review_share_above the same",
    ),
    _Rule(
        ("review_topic", "review_share", "review_above", "review_share_above"),
        lambda config: config.shadow,
        "shadow, which asks nobody to look",
    ),
    _Rule(("shadow_topic",), lambda config: not config.shadow, "shadow off"),
    _Rule(("linger_ms",), lambda config: config.max_batch_battles == 1, "max_batch_battles 1"),
)


def without_effect(config: KafkaConnection) -> list[str]:
    """A line for each group of settings that were given and have no effect with the others."""
    idle: list[_Rule[Any]] = [rule for rule in _OF_CONNECTION if rule.idle(config)]
    if isinstance(config, StreamConfig):
        idle += [rule for rule in _OF_STREAM if rule.idle(config)]
    given = [(rule, [name for name in rule.settings if name in config.model_fields_set]) for rule in idle]
    return [f"{', '.join(names)}: no effect with {rule.why}" for rule, names in given if names]


def check_variables(environment: Mapping[str, str], options: Iterable[str], others: Collection[str]) -> list[str]:
    """Look for variables that set nothing.

    Args:
        environment: all variables of the process.
        options: variables of the command that was called.
        others: prefixes of the variables of other commands, which are theirs to look at.

    Returns:
        A line for each that sets nothing, but for those that Kubernetes makes for a Service of our name.

    Raises:
        UsageError: one is nearly a known one.
    """
    settings = {ENV_PREFIX + name.upper() for name in StreamConfig.model_fields}
    known = settings | OTHER_VARIABLES | set(options)
    unknown = [
        name
        for name, text in environment.items()
        if name.upper().startswith(ENV_PREFIX) and name not in known and not _is_of_kubernetes(name, text)
    ]
    wrong = []
    idle = []
    for name in sorted(unknown):
        upper = name.upper()
        of_another = upper.startswith(tuple(others))
        cutoff = _NEAR_THOUGH_OF_ANOTHER if of_another else _NEAR
        nearest = _nearest(upper.removeprefix(ENV_PREFIX), {one.removeprefix(ENV_PREFIX) for one in known}, cutoff)
        if nearest and not _is_same_option_of(upper, nearest, others):
            wrong.append(f"the variable {name} is unknown; did you mean {ENV_PREFIX}{nearest}?")
        elif not of_another:
            idle.append(f"the variable {name} is unknown: no effect")
    if wrong:
        raise UsageError("; ".join(wrong))
    return idle


def _is_same_option_of(name: str, nearest: str, others: Iterable[str]) -> bool:
    """Whether a variable is another command's option by the name that ours has: RESCORE_CHUNK beside SCORE_CHUNK."""
    return any(name.startswith(prefix) and nearest.endswith(f"_{name.removeprefix(prefix)}") for prefix in others)


def check_secrets(folder: Path, config: KafkaConnection) -> list[str]:
    """Look for files in the folder of secrets that set nothing.

    Args:
        folder: of the secrets; each setting's file has its name.
        config: what was loaded; a file that a setting names is used by that.

    Returns:
        A line for each file that sets nothing.

    Raises:
        UsageError: one is nearly a known one.
    """
    known = set(StreamConfig.model_fields)
    named = {path.resolve() for name in type(config).model_fields if isinstance(path := getattr(config, name), Path)}
    wrong = []
    idle = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file() or path.name in known or path.resolve() in named:
            continue  # Kubernetes keeps versions of a secret in hidden folders
        if nearest := _nearest(path.name, known, _NEAR):
            wrong.append(f"the secret file {path} is of no setting; did you mean {nearest}?")
        else:
            idle.append(f"the secret file {path} is of no setting: no effect")
    if wrong:
        raise UsageError("; ".join(wrong))
    return idle


def _nearest(name: str, known: Collection[str], cutoff: float) -> str | None:
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)), None)


def _is_of_kubernetes(name: str, text: str) -> bool:
    """Whether Kubernetes made it, as it does in every container for each Service: here for one called prefstream..."""
    return bool(_SERVICE.fullmatch(name) or (name.endswith("_PORT") and _ADDRESS.fullmatch(text)))
