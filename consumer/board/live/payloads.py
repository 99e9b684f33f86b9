"""What events say, beside what the API's other addresses say."""

from __future__ import annotations

from prefstream.consumer.board.report.payloads import Payload


class NumbersChanged(Payload):
    """Something was counted: what is shown can be asked for again. It says no more than that."""
