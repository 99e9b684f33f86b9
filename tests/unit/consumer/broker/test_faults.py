"""Planned faults: who meets them, how often, in which order; and what a rejected request looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kafka.protocol.api_message import ApiMessage

from prefstream.consumer.broker.apis import APIS, Api
from prefstream.consumer.broker.error_responses import reject
from prefstream.consumer.broker.faults import API_NAMES, FaultKind, FaultPlan
from prefstream.consumer.broker.node.call import Call
from prefstream.consumer.broker.node.clock import ManualClock
from prefstream.consumer.broker.node.errors import UnknownApiError
from prefstream.consumer.broker.node.settings import BrokerSettings
from prefstream.consumer.broker.node.state import BrokerState


def test_a_fault_happens_as_often_as_planned() -> None:
    faults = FaultPlan()
    faults.drop("EndTxn", times=2)
    assert faults.pending("EndTxn") == faults.pending() == 2
    kinds = [fault and fault.kind for fault in (faults.take("EndTxn", "c") for _ in range(3))]
    assert kinds == [FaultKind.DROP, FaultKind.DROP, None]


def test_faults_of_one_api_happen_in_the_order_they_were_planned() -> None:
    faults = FaultPlan()
    faults.fail("Produce", error_code=7)
    faults.delay("Produce", seconds=2.0)
    first, second = faults.take("Produce", "c"), faults.take("Produce", "c")
    assert first is not None
    assert second is not None
    assert (first.kind, first.error_code) == (FaultKind.FAIL, 7)
    assert (second.kind, second.seconds) == (FaultKind.DELAY, 2.0)


def test_a_fault_meets_only_its_api_and_client() -> None:
    faults = FaultPlan()
    faults.drop("Fetch", client_id="me", after_apply=True)
    assert faults.take("Produce", "me") is None
    assert faults.take("Fetch", "you") is None
    fault = faults.take("Fetch", "me")
    assert fault is not None
    assert fault.after_apply


def test_cleared_faults_do_not_happen() -> None:
    faults = FaultPlan()
    faults.drop("Fetch")
    faults.clear()
    assert faults.take("Fetch", "c") is None


def test_an_api_that_is_not_served_is_refused() -> None:
    with pytest.raises(UnknownApiError, match="EndTxn"):
        FaultPlan().drop("EndTransaction")  # type: ignore[arg-type]


def test_every_served_api_can_be_named_in_a_fault() -> None:
    assert sorted(api.name for api in APIS.values()) == sorted(API_NAMES)


@pytest.mark.parametrize("api", APIS.values(), ids=lambda api: api.name)
def test_every_api_can_be_rejected_in_every_version(
    api: Api, clock: ManualClock, sample_request: Callable[[Api, int], Any]
) -> None:
    for version in range(api.min_version, api.max_version + 1):
        request = api.request_class.decode(sample_request(api, version).encode(version=version), version=version)
        call = Call(
            state=BrokerState(BrokerSettings(), clock),
            request=request,
            version=version,
            client_id="c",
            client_host="/127.0.0.1",
            node_host="127.0.0.1",
            node_port=9092,
        )
        response = reject(api.name, call, 15)
        # Not through the class itself: ApiVersions reads every error as version 0.
        encoded = bytes(response.encode(version=version))
        decoded = ApiMessage.decode.__func__(type(response), encoded, version=version)
        assert {code for code in error_codes(decoded.to_dict()) if code} == {15}


def error_codes(response: Any) -> list[int]:
    """All error codes anywhere in a response."""
    if isinstance(response, dict):
        own = [value for name, value in response.items() if name.endswith("error_code")]
        return own + [code for value in response.values() for code in error_codes(value)]
    if isinstance(response, list):
        return [code for value in response for code in error_codes(value)]
    return []
