"""What is alive while something runs is counted as PyTorch's own tracker counts it, and less again when it is gone."""

from __future__ import annotations

import torch
from torch.distributed._tools.mem_tracker import MemTracker

from prefstream.scoring.judges.memory.live_bytes import LiveBytes


def test_what_is_made_is_alive_until_nothing_refers_to_it() -> None:
    given = torch.ones(1000)
    with LiveBytes() as alive:
        doubled = given * 2
        view = doubled[10:].view(2, -1)
        view += 1
        given.add_(1)
        assert alive.now == 4000
        del doubled
        assert alive.now == 4000
        del view
        assert (alive.now, alive.peak) == (0, 4000)


def test_it_counts_as_the_tracker_that_pytorch_has() -> None:
    layers = torch.nn.Sequential(
        torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.LayerNorm(256), torch.nn.Linear(256, 8)
    )
    given = torch.randn(512, 64)

    def step() -> None:
        layers(given).sum().backward()

    step()  # gradients are there in both runs
    with LiveBytes() as alive:
        step()
    tracker = MemTracker()
    tracker.track_external(layers, given)
    before = tracker.get_tracker_snapshot()[torch.device("cpu")]["Total"]
    with tracker:
        step()
    theirs = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"] - before
    assert abs(alive.peak - theirs) <= 0.01 * theirs
