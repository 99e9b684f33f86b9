"""What a check found: one line of the doctor's report."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from prefstream.consumer.client.kafka_errors import KafkaError
from prefstream.schemas import PrefstreamError

State: TypeAlias = Literal["ok", "warn", "fail", "skipped"]

_SEVERITY: Final[dict[State, int]] = {"skipped": 0, "ok": 1, "warn": 2, "fail": 3}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        check: what was looked at.
        state: `fail` where `prefstream run` would not work or would break its promises, `warn` where it would work
            worse than it could, `skipped` where another finding stood in the way.
        found: what is there, and what would be used; holds no secret.
        remedy: what to do about it; empty where nothing is to be done.
    """

    check: str
    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One of several things that a check may find wrong."""

    state: State
    what: str
    remedy: str


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", found)


def warn(check: str, found: str, remedy: str) -> Finding:
    """It works, but could be better."""
    return Finding(check, "warn", found, remedy)


def fail(check: str, found: str, remedy: str) -> Finding:
    """It will not work."""
    return Finding(check, "fail", found, remedy)


def skipped(check: str, because: str) -> Finding:
    """Nothing could be said."""
    return Finding(check, "skipped", because)


def judged(check: str, found: str, problems: Sequence[Problem]) -> Finding:
    """One finding out of several problems: as bad as the worst of them, with every remedy."""
    if not problems:
        return ok(check, found)
    state = max((problem.state for problem in problems), key=lambda state: _SEVERITY[state])
    remedies = dict.fromkeys(problem.remedy for problem in problems if problem.remedy)
    return Finding(check, state, "; ".join([found, *(problem.what for problem in problems)]), "; ".join(remedies))


def attempt(check: str, function: Callable[[], Finding]) -> Finding:
    """Make a check; one that breaks down is a finding, too, and does not stop the others."""
    try:
        return function()
    except PrefstreamError as error:
        # Our messages end with what to do.
        return fail(check, str(error), "")
    except KafkaError as error:
        return fail(check, f"the broker answered {type(error).__name__}", "look at the brokers' logs")
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks still have something to say
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
        return fail(check, f"the check broke down: {type(error).__name__} at {place}", "report this as a bug")


def plural(count: int, noun: str) -> str:
    """A number of things: 1 broker, 3 brokers."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
