"""OpenVINO's runtime for the layers of a judge, in the careful loop's place for the rest.

The whole classifier can't be converted: what marks an answer's tokens takes a running maximum, which OpenVINO has no
rule for. So it gets the backbone, nearly all of the work, and the head reads its states in torch, as on all sides.
"""

from __future__ import annotations

from typing import Any

import openvino
import torch
from transformers.modeling_outputs import BaseModelOutputWithPast

from prefstream.scoring.bench.process import BenchError
from prefstream.scoring.bench.throughput_worker import PlainLoop
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.judges.devices import Placement
from prefstream.scoring.loading.sources import first_line

_EXAMPLE_TOKENS = 16
"""Of the sequences that the layers are traced with; how many there are, and how long, stays open."""


class OpenVinoLoop(PlainLoop):
    """One judge whose layers OpenVINO runs, in the dtype that the panel computes in."""

    def __init__(self, judge: ModelJudgeConfig, placement: Placement) -> None:
        precision = "bf16" if placement.dtype == torch.bfloat16 else "f32"
        super().__init__(judge, placement, careful=True, layers=lambda backbone: _Compiled(backbone, precision))
        self.description = f"OpenVINO {openvino.__version__.partition('-')[0]}, {precision}, CPU"


class _States(torch.nn.Module):
    """What is converted: token ids to the states of the last layer."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return self.backbone(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state


class _Compiled(torch.nn.Module):
    """Stands where the backbone stood."""

    def __init__(self, backbone: Any, precision: str) -> None:
        super().__init__()
        backbone.set_attn_implementation("sdpa")  # which OpenVINO knows as one operation
        ids = torch.ones(2, _EXAMPLE_TOKENS, dtype=torch.int64)
        try:
            with torch.no_grad():  # the weights' bfloat16 is kept exactly in float32, and rounded to `precision` again
                model = openvino.convert_model(_States(backbone.float()), example_input=(ids, ids))
        except Exception as error:
            raise BenchError(f"OpenVINO can't convert {type(backbone).__name__}: {first_line(error)}") from error
        settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}  # all cores for each batch
        self._run = openvino.Core().compile_model(model, "CPU", settings)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
        states = self._run([input_ids.numpy(), attention_mask.numpy()])[0]
        return BaseModelOutputWithPast(last_hidden_state=torch.from_numpy(states))
