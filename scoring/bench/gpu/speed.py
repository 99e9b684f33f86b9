"""How fast judges and panel are on a device, beside plain programs and beside what the card could do at most."""

from __future__ import annotations

from typing import Any, Final

import torch

from prefstream.scoring.bench.cards.roofline import SpeedBound, Way, bounds
from prefstream.scoring.bench.cards.sheets import NAMES, card_named
from prefstream.scoring.bench.gpu.report import Findings, SkippedError
from prefstream.scoring.bench.gpu.subjects import TimedReading, read_alone, unquantised
from prefstream.scoring.bench.process import BenchError
from prefstream.scoring.bench.request import Request
from prefstream.scoring.bench.throughput import bench_panel, read_lengths
from prefstream.scoring.bench.throughput_worker import run_panel
from prefstream.scoring.errors import ConfigError, LoadError
from prefstream.scoring.judges.memory.device_errors import is_out_of_memory

_DOES_NOT_FIT: Final = "does not fit on"
"""What loading says of a judge in a process of its own, of which the last line is known here."""


def speed(request: Request) -> Findings:
    """Score all battles with each judge alone, then with the panel, as the panel says: quantised where it does."""
    alone = {judge.name: read_alone(judge, request.batches) for judge in request.judges}
    together = run_panel(request)
    rate = len(request.battles) / together["seconds"]
    judges = {name: _figures(reading, len(request.battles)) for name, reading in alone.items()}
    figures: dict[str, Any] = {
        "judges": judges,
        "panel": {
            "battles_per_s": rate,
            "tokens_per_s": together["tokens"] / together["seconds"],
            "padding": 1 - together["tokens"] / together["padded_tokens"],
            "settings": together["settings"],
        },
    }
    told = [
        *(
            f"{name}: {one['battles_per_s']:,.1f} battles/s, {one['tokens_per_s']:,.0f} tokens/s, padding "
            f"{one['padding']:.1%} ({one['settings']})"
            for name, one in judges.items()
        ),
        f"panel, tokenising included: {rate:,.1f} battles/s",
    ]
    flash = any(reading.settings.split(", ")[1] == "flash_attention_2" for reading in alone.values())
    try:
        bound = _bound(request, Way.FLASH if flash else Way.BLOCKS)
    except (ConfigError, LoadError) as error:
        return Findings({**figures, "bound": {"reason": str(error)}}, (*told, f"no bound: {error}"))
    figures["bound"] = {
        "card": bound.card,
        "way": str(bound.way),
        "battles_per_s": bound.battles_per_s,
        "judges": bound.judges,
        "panel_share": rate / bound.battles_per_s,
        "judge_shares": {name: one["battles_per_s"] / bound.judges[name] for name, one in judges.items()},
    }
    shares = {"panel": figures["bound"]["panel_share"], **figures["bound"]["judge_shares"]}
    told.append(
        f"of what {bound.card}'s data sheet allows (panel {bound.battles_per_s:,.1f} battles/s): "
        + ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    )
    return Findings(figures, tuple(told))


def loops(request: Request) -> Findings:
    """Hold the panel against a plain loop and a careful one, all with the same weights, none quantised.

    Raises:
        SkippedError: not quantised, the judges don't fit on the device together.
    """
    judges = tuple(unquantised(judge) for judge in request.judges)
    try:
        compared = bench_panel(
            request.config.model_copy(update={"judges": judges}),
            battles=request.battles,
            batch_battles=request.batch_battles,
            say=lambda _: None,
        )
    except BenchError as error:
        if _DOES_NOT_FIT in str(error) or is_out_of_memory(error):
            raise SkippedError(f"not quantised, the judges don't fit on the device together: {error}") from error
        raise
    told = (
        f"panel {compared.careful_speed.ratio:.2f} times as fast as a careful loop: sorted, by tokens, adapters merged",
        f"panel {compared.speed.ratio:.2f} times as fast as a plain loop: batches of 8 as they come",
        f"answers differ from theirs by at most {compared.careful_gap:.3f} and {compared.largest_gap:.3f}",
    )
    return Findings(compared.to_fields(), told)


def _figures(reading: TimedReading, battles: int) -> dict[str, Any]:
    return {
        "battles_per_s": battles / reading.scoring_s,
        "tokens_per_s": reading.tokens_per_s,
        "padding": reading.padding,
        "scoring_s": reading.scoring_s,
        "encoding_s": reading.encoding_s,
        "peak_bytes": reading.peak_bytes,
        "settings": reading.settings,
    }


def _bound(request: Request, way: Way) -> SpeedBound:
    device = torch.device(str(request.judges[0].device))
    if device.type != "cuda":
        raise ConfigError("bench gpu", ("a CPU has no data sheet here",))
    found = torch.cuda.get_device_properties(device)
    card = card_named(found.name, found.total_memory)
    if card is None:
        raise ConfigError("bench gpu", (f"no data sheet of {found.name} is here, only of {NAMES}",))
    lengths = read_lengths()
    read = [lengths[number % len(lengths)] for number in range(len(request.battles))]
    one = next(
        (bound for bound in bounds(request.config, [card], swaps=[False], lengths=read) if bound.way == way), None
    )
    if one is None:
        raise ConfigError("bench gpu", (f"by its data sheet {card.name} does not hold this panel or lacks its dtype",))
    return one
