"""Faults that tests ask for: requests that fail, hang, or get lost on the way."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, get_args

from prefstream.consumer.broker.node.errors import ErrorCode, UnknownApiError

ApiName = Literal[
    "AddOffsetsToTxn",
    "AddPartitionsToTxn",
    "ApiVersions",
    "CreatePartitions",
    "CreateTopics",
    "DeleteGroups",
    "DeleteRecords",
    "DeleteTopics",
    "DescribeCluster",
    "DescribeConfigs",
    "DescribeGroups",
    "EndTxn",
    "Fetch",
    "FindCoordinator",
    "Heartbeat",
    "IncrementalAlterConfigs",
    "InitProducerId",
    "JoinGroup",
    "LeaveGroup",
    "ListGroups",
    "ListOffsets",
    "Metadata",
    "OffsetCommit",
    "OffsetDelete",
    "OffsetFetch",
    "OffsetForLeaderEpoch",
    "Produce",
    "SyncGroup",
    "TxnOffsetCommit",
]
API_NAMES: tuple[ApiName, ...] = get_args(ApiName)


class FaultKind(Enum):
    """What happens to a request."""

    FAIL = auto()
    DELAY = auto()
    DROP = auto()


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with one request.

    Attributes:
        kind: what happens.
        after_apply: whether it happens to the response, after the broker has done what was asked, instead of
            to the request.
        error_code: what the response says (FAIL).
        seconds: how long it takes (DELAY).
    """

    kind: FaultKind
    after_apply: bool = False
    error_code: int = ErrorCode.NONE
    seconds: float = 0.0


@dataclass(slots=True)
class _Plan:
    api: ApiName
    client_id: str | None
    fault: Fault
    times: int


class FaultPlan:
    """Faults to come, each for a number of requests. May be changed from any thread at any time.

    A request meets at most one fault: the first one planned for its API and client that is not used up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: list[_Plan] = []

    def fail(
        self,
        api: ApiName,
        *,
        error_code: int,
        times: int = 1,
        client_id: str | None = None,
        after_apply: bool = False,
    ) -> None:
        """Answer the next requests with an error code, in every place where the response has one."""
        self._add(api, client_id, Fault(FaultKind.FAIL, after_apply, error_code=error_code), times)

    def delay(
        self,
        api: ApiName,
        *,
        seconds: float,
        times: int = 1,
        client_id: str | None = None,
        after_apply: bool = False,
    ) -> None:
        """Let the next requests (or, with `after_apply`, their responses) wait for a while."""
        self._add(api, client_id, Fault(FaultKind.DELAY, after_apply, seconds=seconds), times)

    def drop(
        self,
        api: ApiName,
        *,
        times: int = 1,
        client_id: str | None = None,
        after_apply: bool = False,
    ) -> None:
        """Close the connection instead of answering; with `after_apply` the broker did what was asked."""
        self._add(api, client_id, Fault(FaultKind.DROP, after_apply), times)

    def clear(self) -> None:
        """Forget all faults that have not happened yet."""
        with self._lock:
            self._plans.clear()

    def pending(self, api: ApiName | None = None) -> int:
        """How many faults have not happened yet, of one API or of all."""
        with self._lock:
            return sum(plan.times for plan in self._plans if api in {None, plan.api})

    def take(self, api: ApiName, client_id: str) -> Fault | None:
        """The fault that a request meets, if any; it is used up by this."""
        with self._lock:
            for plan in self._plans:
                if plan.api == api and plan.client_id in {None, client_id}:
                    plan.times -= 1
                    if plan.times == 0:
                        self._plans.remove(plan)
                    return plan.fault
        return None

    def _add(self, api: ApiName, client_id: str | None, fault: Fault, times: int) -> None:
        if api not in API_NAMES:
            raise UnknownApiError(f"no API is called {api!r}; the broker serves: {', '.join(API_NAMES)}")
        if times > 0:
            with self._lock:
                self._plans.append(_Plan(api, client_id, fault, times))
