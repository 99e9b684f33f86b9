"""An audit as one page of HTML that needs nothing beside it. Needs jinja2, which `prefstream[judges]` brings."""

from __future__ import annotations

from typing import Final

from prefstream.consumer.audit.report import AuditReport
from prefstream.consumer.audit.words import BREAKS, gaps, minute_of, place_of_mark, verdict_in_words
from prefstream.scoring.evaluation.report.page import page_environment
from prefstream.scoring.short_hash import short_hash
from prefstream.scoring.version import own_version

_TEMPLATE: Final = "audit.html.j2"

_MOODS: Final = {"kept": "better", "broken": "worse", "untold": "open"}


def render_audit(report: AuditReport) -> str:
    """The audit as a page: nothing loaded from elsewhere, light or dark as is wished.

    Args:
        report: what was found.
    """
    environment = page_environment("prefstream.consumer.audit")
    environment.filters.update(place=place_of_mark, minute=minute_of, digits=short_hash)
    preferences, dead_letters = (
        sum(getattr(one, name) for one in report.partitions) for name in ("preferences", "dead_letters")
    )
    return environment.get_template(_TEMPLATE).render(
        report=report,
        verdict=verdict_in_words(report),
        mood=_MOODS[report.verdict],
        gaps=gaps(report),
        breaks=[(what, report.breaks[kind]) for kind, what in BREAKS.items() if report.breaks[kind].count],
        preferences=preferences,
        dead_letters=dead_letters,
        judges=sorted(report.judges.items()),
        version=own_version(),
    )
