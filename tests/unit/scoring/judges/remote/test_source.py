"""Logits from a server: asked again where that helps, checked, and nothing of what a user wrote in any message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from prefstream.scoring.adapters.merge import merge_adapter
from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.remote import source as module
from prefstream.scoring.judges.remote.source import RemoteLogits
from prefstream.scoring.judges.remote.vllm import VllmClient
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.served import Serving, serve

SEQUENCES = [[5, 6, 7], [8, 9], [5, 6, 7], [10]]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("judge")
    entry = make_tiny_judge(made, "llama", "pairwise")
    merge_adapter(made / "adapter", made / "merged", base=entry["base"], dtype="float32")
    return made / "merged"


@pytest.fixture
def served(folder: Path) -> Iterator[Serving]:
    with serve(folder) as serving:
        yield serving


def asking(served: Serving, *, patience_s: float = 0.0) -> RemoteLogits:
    client = VllmClient(served.url, judge="there", timeout_s=60, patience_s=patience_s, connections=2)
    return RemoteLogits(client, judge="there", model=served.model, outputs=3, connections=2)


def test_a_sequence_that_occurs_twice_is_sent_once(served: Serving) -> None:
    found = asking(served).logits(SEQUENCES)
    assert served.requests == [3]
    np.testing.assert_array_equal(found.values[0], found.values[2])
    assert not np.array_equal(found.values[0], found.values[1])
    assert found.too_large == frozenset()


def test_many_sequences_go_in_several_requests_and_come_back_in_order(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = [[3 + index] * (1 + index % 4) for index in range(20)]
    at_once = asking(served).logits(sequences).values
    monkeypatch.setattr(module, "REQUEST_TOKENS", 8)
    in_parts = asking(served).logits(sequences).values
    assert max(served.requests[1:]) < 20
    assert sum(served.requests[1:]) == 20
    np.testing.assert_array_equal(in_parts, at_once)


def test_a_server_that_is_busy_is_asked_again(served: Serving) -> None:
    served.failures = [503, 429]
    with structlog.testing.capture_logs() as logs:
        found = asking(served, patience_s=60).logits(SEQUENCES)
    assert np.isfinite(found.values).all()
    assert [log["why"] for log in logs] == ["status 503", "status 429"]


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_request_that_is_refused_is_not_sent_again(served: Serving, status: int) -> None:
    served.failures = [status, 200]
    with pytest.raises(JudgeFaultError, match=f"status {status}") as refusal:
        asking(served, patience_s=60).logits(SEQUENCES)
    assert served.failures == [200]
    assert not refusal.value.transient
    assert "what a user wrote" not in str(refusal.value)


def less(answer: dict[str, Any]) -> dict[str, Any]:
    return answer | {"data": answer["data"][1:]}


def twice(answer: dict[str, Any]) -> dict[str, Any]:
    return answer | {"data": [answer["data"][0]] * len(answer["data"])}


def uneven(answer: dict[str, Any]) -> dict[str, Any]:
    return answer | {"data": [answer["data"][0] | {"probs": [1.0]}, *answer["data"][1:]]}


def other_tokens(answer: dict[str, Any]) -> dict[str, Any]:
    return answer | {"usage": {"prompt_tokens": 7}}


def no_json(_: dict[str, Any]) -> bytes:
    return b"<html>a user's text</html>"


def without_usage(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: answer[key] for key in answer if key != "usage"}


@pytest.mark.parametrize(
    ("garble", "message"),
    [
        (less, "gave 2 answers that are not one for each of 3 sequences"),
        (twice, "gave 3 answers that are not one for each of 3 sequences"),
        (uneven, "gave 3 answers that are not one for each of 3 sequences"),
        (other_tokens, "read 7 tokens where 6 were sent"),
        (no_json, r"/classify: answers what vLLM would not \(its whole answer\)"),
        (without_usage, r"/classify: answers what vLLM would not \(usage\)"),
    ],
)
def test_an_answer_that_is_none_is_refused(
    served: Serving, garble: Callable[[dict[str, Any]], Any], message: str
) -> None:
    served.garble = garble
    with pytest.raises(JudgeFaultError, match=message) as refusal:
        asking(served).logits(SEQUENCES)
    assert "user" not in str(refusal.value)


def test_a_logit_that_is_no_number_is_told_with_the_battle(served: Serving) -> None:
    def break_one(answer: dict[str, Any]) -> bytes:
        row = next(row for row in answer["data"] if row["index"] == 1)
        return (
            repr(answer | {"data": [*answer["data"][:1], row | {"probs": ["NaN"] * 3}, answer["data"][-1]]})
            .replace("'NaN'", "NaN")
            .replace("'", '"')
            .encode()
        )

    served.garble = break_one
    with pytest.raises(JudgeFaultError, match="logits of battle 'b' are not finite at http") as fault:
        asking(served).logits(SEQUENCES, names=["a", "b", "a", "c"])
    assert fault.value.transient, "a flaky card gives one once"


def test_a_server_that_comes_back_on_its_old_address_is_found_again(folder: Path) -> None:
    with serve(folder) as first:
        port = int(first.url.rpartition(":")[2])
        source = asking(first, patience_s=60)
        before = source.logits(SEQUENCES).values
    with serve(folder, port=port):
        after = source.logits(SEQUENCES).values
    np.testing.assert_array_equal(before, after)
    source.close()
