"""What a head reads of a sequence: the state of its last token, or the mean of all of its tokens' states.

transformers' sequence classifiers read the last token that is no padding, the only one that has seen the whole
sequence where a model reads from left to right. In a model that reads both ways every token has, and embedding models
are trained to be read by their mean (Reimers and Gurevych 2019, "Sentence-BERT", section 3).
"""

from __future__ import annotations

from typing import Any

import torch

from prefstream.scoring.errors import LoadError


def pool_by_mean(classifier: Any) -> None:
    """Have a classifier's head read the mean of a sequence's states, in float32, its padding left out.

    The classifier stays what it is: its layers, their names and its way of loading. So LoRA, merging and checkpoints
    know nothing of it, and training and serving differ in nothing.

    Args:
        classifier: of transformers, not yet wrapped by peft.

    Raises:
        LoadError: its head does not read the states of tokens.
    """
    from transformers.modeling_layers import GenericForSequenceClassification

    if not isinstance(classifier, GenericForSequenceClassification):
        raise LoadError(
            f"{type(classifier).__name__}: reads a sequence by layers of its own, not by its tokens' mean; use "
            "pooling: last"
        )
    classifier.base_model.register_forward_hook(_Mean(classifier.config.pad_token_id), with_kwargs=True)


class _Mean:
    """Puts the mean where each token's state was: whichever of them the classifier then picks, it is the mean."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, _backbone: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        ids = args[0] if args else kwargs["input_ids"]
        real = (ids != self._pad_id).unsqueeze(-1)  # as the classifier itself tells padding
        states = output.last_hidden_state.float()
        # Chosen, not multiplied: what is computed of padding may be no number.
        total = torch.where(real, states, 0.0).sum(dim=1, keepdim=True)
        output.last_hidden_state = (total / real.sum(dim=1, keepdim=True)).expand_as(states)
        return output
