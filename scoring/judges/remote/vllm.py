"""What vLLM is asked: token ids in, raw logits out, by its `/classify`, and which model it serves.

Contract: vLLM's classification API for completion requests (docs.vllm.ai, "Pooling models"; in its source
`ClassificationCompletionRequest`):
`input` may be lists of token ids, and `use_activation: false` leaves the logits as they are. The probabilities that it
gives otherwise are of no use here: of the two outputs of a pointwise judge, softmax keeps the difference alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import httpx2
import numpy as np
import structlog
import tenacity
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prefstream.scoring.errors import JudgeFaultError

_MAY_PASS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of a server that is starting, busy or being replaced, or of a proxy before it."""

_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0
"""Waits between attempts grow from the one to the other, drawn at random so that replicas don't come back at once."""

_CONNECT_S: Final = 5.0
"""To open a connection within a data centre takes milliseconds; more means that nobody is there."""

_REMEDIES: Final = {
    401: "set the token that its server wants (token_variable)",
    403: "set the token that its server wants (token_variable)",
    404: "check url and model; vLLM has /classify where it was started with --runner pooling on a sequence classifier",
}

_T = TypeVar("_T", bound=BaseModel)


class _Answer(BaseModel):
    """What a server says; what it says beyond is not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Row(_Answer):
    index: int
    probs: list[float]


class _Usage(_Answer):
    prompt_tokens: int


class _Classification(_Answer):
    data: list[_Row]
    usage: _Usage


class _Model(_Answer):
    id: str
    max_model_len: Annotated[int | None, Field(ge=1)] = None


class _Models(_Answer):
    data: Annotated[list[_Model], Field(min_length=1)]

    def named(self, name: str | None) -> _Model | None:
        return next((model for model in self.data if name in {None, model.id}), None)


class _Version(_Answer):
    version: str


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says of itself.

    Attributes:
        model: name by which it is asked for.
        max_tokens: of a sequence that it reads; None where it does not say.
        engine: its name and version.
    """

    model: str
    max_tokens: int | None
    engine: str


class VllmClient:
    """Talks to one server; may be called from several threads.

    Where the server does not answer, or says that it can't just now, it is asked again, until `patience_s` are over.
    """

    def __init__(
        self,
        url: str,
        *,
        judge: str,
        token: str | None = None,
        timeout_s: float,
        patience_s: float,
        connections: int,
    ) -> None:
        """Open nothing yet.

        Args:
            url: of the server; its API is below.
            judge: name, for messages.
            token: sent as a bearer's, where the server wants one.
            timeout_s: for an answer to one request.
            patience_s: how long one request is tried again.
            connections: at a time.
        """
        self._judge = judge
        self._place = str(httpx2.URL(url).copy_with(username=None, password=None)).rstrip("/")
        self._patience_s = patience_s
        self._client = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            timeout=httpx2.Timeout(timeout_s, connect=_CONNECT_S),
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    @property
    def place(self) -> str:
        """Where the server is, without what is secret in its address."""
        return self._place

    def served(self, model: str | None) -> Served:
        """Ask which model it serves.

        Args:
            model: name of the one that is wanted; None for the first.

        Raises:
            JudgeFaultError: it does not answer, or has no such model.
        """
        models = self._ask("GET", "/v1/models", _Models)
        found = models.named(model)
        if found is None:
            known = ", ".join(one.id for one in models.data)
            raise self._fault(f"serves {known}, and no {model}; set model")
        version = self._ask("GET", "/version", _Version).version
        return Served(found.id, found.max_model_len, f"vllm {version}")

    def classify(self, model: str, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Let a model read sequences.

        Args:
            model: as `served` named it.
            sequences: token ids, at least one each.

        Returns:
            Raw logits, shape (sequences, outputs); not checked for being finite.

        Raises:
            JudgeFaultError: it does not answer, read other tokens than these, or answers what is no answer.
        """
        wanted = {
            "model": model,
            "input": [list(sequence) for sequence in sequences],
            "add_special_tokens": False,
            "use_activation": False,
        }
        answer = self._ask("POST", "/classify", _Classification, wanted)
        tokens = sum(map(len, sequences))
        if answer.usage.prompt_tokens != tokens:
            raise self._fault(f"read {answer.usage.prompt_tokens} tokens where {tokens} were sent")
        rows = sorted(answer.data, key=lambda row: row.index)
        if [row.index for row in rows] != list(range(len(sequences))) or len({len(row.probs) for row in rows}) > 1:
            raise self._fault(f"gave {len(rows)} answers that are not one for each of {len(sequences)} sequences")
        return np.array([row.probs for row in rows], dtype=np.float32).reshape(len(sequences), -1)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, method: str, path: str, kind: type[_T], content: object = None) -> _T:
        """One request, again where that may help; its answer, as it should be."""

        def tell(attempt: tenacity.RetryCallState) -> None:
            outcome = attempt.outcome
            what = _described(outcome.exception()) if outcome and outcome.failed else "?"
            structlog.get_logger().warning("judge's server asked again", judge=self._judge, at=self._place, why=what)

        tries = tenacity.Retrying(
            stop=tenacity.stop_after_delay(self._patience_s),
            wait=tenacity.wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
            retry=tenacity.retry_if_exception(_may_pass),
            before_sleep=tell,
            reraise=True,
        )
        try:
            response = tries(self._send, method, path, content)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            remedy = _REMEDIES.get(_status(error) or 0, "")
            detail = f"{path}: {_described(error)}"
            raise self._fault(f"{detail}; {remedy}" if remedy else detail) from error
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"])) or "its whole answer"
            raise self._fault(f"{path}: answers what vLLM would not ({place})") from None

    def _send(self, method: str, path: str, content: object) -> httpx2.Response:
        response = self._client.request(method, path.lstrip("/"), json=content)
        response.raise_for_status()
        return response

    def _fault(self, detail: str) -> JudgeFaultError:
        return JudgeFaultError(self._judge, f"its server {self._place} {detail}", transient=False)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, httpx2.TransportError) or _status(error) in _MAY_PASS


def _status(error: BaseException) -> int | None:
    return error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else None


def _described(error: BaseException | None) -> str:
    """A status, or what kind of failure it was; never what a server wrote, which may be what a user did."""
    status = None if error is None else _status(error)
    return f"status {status}" if status is not None else type(error).__name__
