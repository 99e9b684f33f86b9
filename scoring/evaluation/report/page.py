"""Pages of HTML that need nothing beside them: one look, and one way to spell numbers and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from prefstream.schemas import Provenance
from prefstream.scoring.evaluation.bootstrap import Estimate

_HERE: Final = "prefstream.scoring.evaluation.report"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """One sentence about a panel.

    Attributes:
        mood: whether it is good news, bad news, or neither.
        text: the sentence.
    """

    mood: Literal["better", "worse", "open"]
    text: str


def page_environment(*packages: str) -> Environment:
    """What renders templates that extend `page.html.j2`, and write figures by the macros of `figures.html.j2`.

    Args:
        packages: whose folders hold further templates.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ".") for package in (*packages, _HERE)]),
        autoescape=True,  # names of files, data sets and languages are other people's
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        fixed=fixed,
        percent=_percent,
        shares=_shares,
        interval=lambda one, digits: _interval(one, lambda number: fixed(number, digits)),
        interval_percent=lambda one: _interval(one, _percent),
        described=described,
    )
    return environment


def fixed(number: float | None, digits: int) -> str:
    """A number with so many digits behind the point."""
    return "n/a" if number is None else f"{number:.{digits}f}"


def described(provenance: Provenance) -> str:
    """What exactly answered, on one line: hashes by their beginnings."""
    parts = {
        "base": provenance.base,
        "base hash": _short(provenance.base_hash),
        "adapter hash": _short(provenance.adapter_hash),
        "template": provenance.template,
        "dtype": provenance.dtype,
        "quantization": provenance.quantization,
        "int8 threshold": provenance.int8_threshold,
        "quant type": provenance.quant_type,
        "merge": provenance.merge,
        "max length": provenance.max_length,
    }
    return ", ".join([provenance.kind, *(f"{name} {value}" for name, value in parts.items() if value is not None)])


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{share:.1%}"


def _shares(shares: Sequence[float]) -> str:
    return " / ".join(f"{share:.0%}".removesuffix("%") for share in shares)


def _interval(estimate: Estimate, spell: Callable[[float], str]) -> str:
    if estimate.low is None or estimate.high is None:
        return "no interval: too few prompts"
    return f"{spell(estimate.low)} to {spell(estimate.high)}"


def _short(digest: str | None) -> str | None:
    return digest and digest[:12]
