"""What events say, beside what the API's other addresses say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from prefstream.consumer.board.report.payloads import Payload
from prefstream.consumer.board.store.verdicts import Verdict


class VerdictPage(Payload):
    """The newest verdicts, the newest last."""

    verdicts: tuple[Verdict, ...]
    id: Annotated[
        str, Field(description="A stream that is opened with it (`?after=`) goes on where these end, and misses none.")
    ]


class NewVerdicts(Payload):
    """Verdicts that came, the newest last. What event `verdicts` says."""

    verdicts: tuple[Verdict, ...]
    skipped: Annotated[int, Field(ge=0, description="Verdicts that came with or before these, and are not told.")]


class NumbersChanged(Payload):
    """Something was counted: what is shown can be asked for again. What event `changed` says: no more than that."""
