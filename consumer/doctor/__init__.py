"""Looks at everything that `prefstream run` needs and says what is wrong and what to do; prints nothing.

Each check is a small function that returns a `Finding`. One that fails stops no other that could still say something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.cluster import examine_cluster
from prefstream.consumer.doctor.finding import Finding, State, attempt
from prefstream.consumer.doctor.judges import examine_judges
from prefstream.consumer.doctor.machine import check_configuration, check_http_port, check_process, check_versions
from prefstream.consumer.doctor.panels import examine_panels
from prefstream.consumer.doctor.schema_registry import check_schema_registry

__all__ = ["Finding", "State", "examine"]


def examine(
    config: StreamConfig, origins: Mapping[str, str], unused: Sequence[str] = (), *, load: bool = False
) -> Iterator[Finding]:
    """Make every check, one after the other.

    Args:
        config: the settings that `run` would have.
        origins: where each setting that was given was found.
        unused: what was given and has no effect.
        load: load the panel for real and score a battle.
    """
    yield attempt("configuration", lambda: check_configuration(config, origins, unused))
    yield attempt("versions", check_versions)
    yield attempt("process", check_process)
    yield from examine_judges(config, load=load)
    yield from examine_panels(config)
    yield from examine_cluster(config)
    if config.preferences_framing != "none":
        yield attempt("schema registry", lambda: check_schema_registry(config))
    yield attempt("HTTP port", lambda: check_http_port(config))
