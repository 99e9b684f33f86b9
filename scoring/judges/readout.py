"""From a head's outputs to probabilities: the two ways of reading.

Float32 throughout, and A and B treated by the same operations in either order, so that exchanging the sides
exchanges the probabilities to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.probabilities import Triples


def read_pairwise(logits: NDArray[np.float32]) -> Triples:
    """Three classes: softmax.

    Args:
        logits: shape (battles, 3), in the order of `schemas.OUTCOMES`.
    """
    return _softmax(logits)


def read_pointwise(logits: NDArray[np.float32], *, tau: float) -> Triples:
    """Each answer's own score and tie output: Bradley-Terry with ties, after Davidson (1970).

    With d the difference of the scores, the logits are d/2 for A, -d/2 for B, and for the tie `tau` plus the mean of
    both tie outputs.

    Args:
        logits: shape (2 * battles, 2), columns score and tie; the rows of a battle's A and B follow each other.
        tau: offset of the tie's logit.
    """
    score_a, tie_a = logits[0::2].T
    score_b, tie_b = logits[1::2].T
    # Halved before they are added: finite logits give finite ones.
    half = score_a / np.float32(2) - score_b / np.float32(2)
    tie = np.float32(tau) + (tie_a / np.float32(2) + tie_b / np.float32(2))
    return _softmax(np.stack([half, -half, tie], axis=1))


def _softmax(logits: NDArray[np.float32]) -> Triples:
    with np.errstate(over="ignore"):  # a difference beyond float32 is -inf, whose exponential is 0 as it should be
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    total = (exponentials[:, 0] + exponentials[:, 1]) + exponentials[:, 2]
    probabilities: Triples = (exponentials / total[:, None]).astype(np.float64)
    return probabilities
