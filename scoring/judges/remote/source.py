"""Logits of a model on a server: sequences dealt to requests, some of them at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.logits import Logits, not_finite
from prefstream.scoring.judges.microbatch import distinct
from prefstream.scoring.judges.remote.vllm import VllmClient

REQUEST_TOKENS: Final = 16_384
"""Of one request, at most: vLLM makes its own batches of all that waits, so requests need only be few and not so long
that one that fails costs much."""


class RemoteLogits:
    """One served model as a source of logits."""

    def __init__(self, client: VllmClient, *, judge: str, model: str, outputs: int, connections: int) -> None:
        """Take a client; closed with this.

        Args:
            client: of the server.
            judge: name, for messages.
            model: as the server names it.
            outputs: of the model's head.
            connections: requests at a time.
        """
        self._client = client
        self._judge = judge
        self._model = model
        self._outputs = outputs
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix=f"judge-{judge}-request")

    @property
    def budget_tokens(self) -> int:
        """Tokens of one request, at most; a longer sequence goes alone."""
        return REQUEST_TOKENS

    def padded_tokens(self, lengths: Sequence[int]) -> int:
        """Tokens of sequences of these lengths: vLLM pads none.

        Args:
            lengths: tokens of each.
        """
        return sum(lengths)

    def passes(self, _lengths: Sequence[int]) -> None:
        """Nobody here knows: vLLM makes its own batches, with whatever others ask it meanwhile."""

    def logits(self, sequences: Sequence[Sequence[int]], *, names: Sequence[str] = ()) -> Logits:
        """Let the server read every sequence, one that occurs several times once.

        Args:
            sequences: token ids, at least one each.
            names: of what each sequence is of, for messages; none, or one for each.

        Raises:
            JudgeFaultError: the server does not answer (for as long as the client is patient), answers what is no
                answer, or a logit is no finite number.
        """
        different, positions = distinct(sequences)
        requests = list(_requests(different))
        answers = list(self._pool.map(lambda request: self._client.classify(self._model, request), requests))
        outputs = {answer.shape[1] for answer in answers}
        if outputs - {self._outputs}:
            detail = f"its server's head has {max(outputs)} outputs, and a judge of its layout has {self._outputs}"
            raise JudgeFaultError(self._judge, detail, transient=False)
        values = np.concatenate(answers)[positions]
        if not np.isfinite(values).all():
            raise JudgeFaultError(self._judge, f"{not_finite(values, names)} at {self._client.place}", transient=True)
        return Logits(values, frozenset())

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown(cancel_futures=True)
        self._client.close()


def _requests(sequences: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    request: list[Sequence[int]] = []
    tokens = 0
    for sequence in sequences:
        if request and tokens + len(sequence) > REQUEST_TOKENS:
            yield request
            request, tokens = [], 0
        request.append(sequence)
        tokens += len(sequence)
    if request:
        yield request
