"""What a head reads of a sequence: the state of its last token, the mean of all tokens' states, or the answer's alone.

transformers' sequence classifiers read the last token that is no padding, the only one that has seen the whole
sequence where a model reads from left to right. In a model that reads both ways every token has, and embedding models
are trained to be read by their mean (Reimers and Gurevych 2019, "Sentence-BERT", section 3). Of a model as it is, which
no training has taught to gather anything in its last token, the answer's own tokens tell most; the last one adds what
they were an answer to.

And how a head computes: in float32, whatever the rest of its model computes in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Self

import torch

from prefstream.scoring.encoding.encode import AnswerMarks, Encoder
from prefstream.scoring.encoding.template import Pooling
from prefstream.scoring.errors import LoadError
from prefstream.scoring.judges.packing.rows import BOUNDS, WIDTH, unpack

_LAST_COUNTS: Final = 0.5
"""Of the last token's state beside the mean of the answer's: .2 and 1 did no better in cross-validation."""


def pool(classifier: Any, pooling: Pooling, encoder: Encoder) -> None:
    """Have a classifier's head read of a sequence's states, in float32, what it is to read, its padding left out.

    The classifier stays what it is: its layers, their names and its way of loading. So LoRA, merging and checkpoints
    know nothing of it, and training and serving differ in nothing.

    Args:
        classifier: of transformers, not yet wrapped by peft.
        pooling: what the head reads.
        encoder: of its sequences.

    Raises:
        LoadError: its head does not read the states of tokens.
        ConfigError: nothing marks where in a sequence the answer stands.
    """
    from transformers.modeling_layers import GenericForSequenceClassification

    if pooling == "last":
        return
    if not isinstance(classifier, GenericForSequenceClassification):
        raise LoadError(
            f"{type(classifier).__name__}: reads a sequence by layers of its own, not by its tokens' mean; use "
            "pooling: last"
        )
    pad_id = classifier.config.pad_token_id
    read = _read_all if pooling == "mean" else partial(_read_answer, marks=encoder.answer_marks)
    classifier.base_model.register_forward_hook(_Pooled(pad_id, read), with_kwargs=True)


class _Pooled:
    """Puts what is read where each token's state was: whichever of them the classifier then picks, it is that."""

    def __init__(self, pad_id: int, read: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        self._pad_id = pad_id
        self._read = read

    def __call__(self, _backbone: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        ids = args[0] if args else kwargs["input_ids"]
        states = output.last_hidden_state.float()
        if (bounds := kwargs.get(BOUNDS)) is None:
            read = self._read(states, ids, ids != self._pad_id)  # as the classifier itself tells padding
            output.last_hidden_state = read.unsqueeze(1).expand_as(states)
        else:
            rows, ids = unpack(states, ids, bounds, kwargs[WIDTH], self._pad_id)
            read = self._read(rows, ids, ids != self._pad_id)
            each = bounds.diff().long()
            output.last_hidden_state = read.repeat_interleave(each, dim=0, output_size=states.shape[1]).unsqueeze(0)
        return output


def _read_all(states: torch.Tensor, _ids: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return _mean(states, real)


def _read_answer(states: torch.Tensor, ids: torch.Tensor, real: torch.Tensor, *, marks: AnswerMarks) -> torch.Tensor:
    sequences, places = (torch.arange(size, device=states.device) for size in ids.shape)
    last = states[sequences, torch.where(real, places, 0).argmax(dim=1)]
    return _mean(states, answer_tokens(ids, marks)) + _LAST_COUNTS * last


def answer_tokens(ids: torch.Tensor, marks: AnswerMarks) -> torch.Tensor:
    """Which tokens are an answer's, in any round.

    Args:
        ids: shape (sequences, tokens).
        marks: what stands before and behind an answer.

    Returns:
        The same shape, True where a token is.
    """
    length = ids.shape[1]
    begins = torch.zeros_like(ids, dtype=torch.bool)
    if (places := length - len(marks.begins)) > 0:
        runs = [ids[:, shift : shift + places] == token for shift, token in enumerate(marks.begins)]
        begins[:, len(marks.begins) :] = torch.stack(runs).all(dim=0)
    place = torch.arange(length, device=ids.device)
    begun, ended = (torch.where(one, place, -1).cummax(dim=1).values for one in (begins, ids == marks.ends))
    return begun > ended


def _mean(states: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Of the chosen tokens' states; 0 where none is."""
    # Chosen, not multiplied: what is computed of padding may be no number.
    total = torch.where(chosen.unsqueeze(-1), states, 0.0).sum(dim=1)
    return total / chosen.sum(dim=1, keepdim=True).clamp(min=1)


class Float32Head(torch.nn.Linear):
    """A classification head outside autocast: bfloat16 would round logits in steps of up to 1/64."""

    @classmethod
    def of(cls, head: torch.nn.Linear) -> Self:
        """The head `head`, its weights in float32."""
        same = cls(head.in_features, head.out_features, bias=head.bias is not None, device="meta")
        same.weight = torch.nn.Parameter(head.weight.detach().float())
        if head.bias is not None:
            same.bias = torch.nn.Parameter(head.bias.detach().float())
        return same

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, shape (..., outputs), float32."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            return super().forward(hidden_states.float())
