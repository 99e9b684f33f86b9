"""What brokers take of the stream's settings: time-outs within bounds, and the group's way to share partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prefstream.consumer.config import StreamConfig

ASSIGNOR: Final = "cooperative-sticky"
"""How the stream's processes share partitions; a group has one way for all."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The bounds that brokers set to a time-out.

    Attributes:
        setting: ours, in milliseconds.
        lowest: the brokers' setting that bounds it from below, if any.
        highest: the one that bounds it from above.
        by_default: both as Kafka has them by default, for people.
    """

    setting: str
    lowest: str | None
    highest: str
    by_default: str

    @property
    def remedy(self) -> str:
        """What to do where the bounds themselves can't be seen."""
        bounds = f"between {self.lowest} and {self.highest}" if self.lowest else f"to {self.highest} at most"
        return f"set {self.setting} {bounds} of the brokers ({self.by_default} by default)"


SESSION: Final = Bound(
    "session_timeout_ms", "group.min.session.timeout.ms", "group.max.session.timeout.ms", "6000 and 1800000"
)
TRANSACTION: Final = Bound("transaction_timeout_ms", None, "transaction.max.timeout.ms", "900000")


def outside_bounds(config: StreamConfig, broker: Mapping[str, str]) -> list[str]:
    """A line for each time-out that the brokers won't take.

    Args:
        config: the settings.
        broker: settings of a broker; a bound that may not be seen bounds nothing.
    """
    lines = []
    for bound in (SESSION, TRANSACTION):
        low, high = _number(broker, bound.lowest), _number(broker, bound.highest)
        value = getattr(config, bound.setting)
        if low is not None and value < low:
            lines.append(f"{bound.setting} {value} is below {bound.lowest} {low} of the brokers")
        if high is not None and value > high:
            lines.append(f"{bound.setting} {value} is above {bound.highest} {high} of the brokers")
    return lines


def _number(broker: Mapping[str, str], setting: str | None) -> int | None:
    return int(broker[setting]) if setting is not None and setting in broker else None


def other_assignor(config: StreamConfig, group: Mapping[str, object]) -> str | None:
    """What is wrong with how the group's members share partitions; None where we fit in.

    Args:
        config: names the group.
        group: as an admin client describes it.
    """
    protocol = group["protocol_data"]
    if not group["members"] or not protocol or protocol == ASSIGNOR:
        return None
    return (
        f"the members of group {config.group_id} share partitions by {protocol}, ours by {ASSIGNOR}: it will not let "
        "us in; end the other members, or choose another group_id"
    )
