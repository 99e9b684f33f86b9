"""What of a judge is another one: by the hashes that answers carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prefstream.schemas import PanelIdentity, Provenance

_NOT_ANOTHER = frozenset({"device"})
"""The same judge on another card is the same judge."""


def differing(left: Iterable[Provenance], right: Iterable[Provenance]) -> tuple[str, ...]:
    """Names of what differs between any two of both, sorted: `adapter_hash`, `dtype` and so on.

    Args:
        left: of a judge, as one side has it.
        right: as the other has it.
    """
    ones, others = set(left), set(right)
    if not ones or not others:
        return ()
    every = ones | others
    keys = set(Provenance.model_fields) - _NOT_ANOTHER
    return tuple(sorted(key for key in keys if len({getattr(one, key) for one in every}) > 1))


def describe_judges(left: Mapping[str, Sequence[Provenance]], right: Mapping[str, Sequence[Provenance]]) -> list[str]:
    """What of the judges differs, in a sentence each.

    Args:
        left: by judge, who answered in its name.
        right: likewise.
    """
    told = [f"judge {name} answers on the left alone" for name in left if name not in right]
    told += [f"judge {name} answers on the right alone" for name in right if name not in left]
    for name in (name for name in left if name in right):
        if keys := differing(left[name], right[name]):
            told.append(f"judge {name} is another one: {', '.join(map(_spelled, keys))}")
    return told


def describe_calibrations(left: Iterable[PanelIdentity], right: Iterable[PanelIdentity]) -> list[str]:
    """Which calibrations the panels have, where they are not the same, in a sentence.

    Args:
        left: panels that answered on one side.
        right: on the other.
    """
    versions = [sorted({panel.calibration or "none" for panel in side}) for side in (left, right)]
    if versions[0] == versions[1] or not all(versions):
        return []
    return [
        f"calibration of the panel: {' and '.join(versions[0])} on the left, {' and '.join(versions[1])} on the right"
    ]


def _spelled(key: str) -> str:
    return key.replace("_", " ")
