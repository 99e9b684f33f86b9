"""Who a board may be open to."""

from __future__ import annotations

from typing import Any

import pytest

from prefstream.consumer.board.service import BoardService
from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.errors import UsageError

TOKEN = "zqtoken-of-the-board-0123456789"  # noqa: S105


def board(**settings: Any) -> BoardService:
    return BoardService(BoardConfig.load(**settings))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "board.example.org"])
@pytest.mark.parametrize("option", ["show_texts", "allow_battles"])
def test_texts_and_battles_are_for_nobody_who_merely_reaches_the_port(host: str, option: str) -> None:
    allowed = {f"board_{option}": True}
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')}.*PREFSTREAM_BOARD_HTTP_TOKEN"):
        board(board_http_host=host, **allowed)
    board(board_http_host=host, board_http_token=TOKEN, **allowed)
    board(**allowed)
    board(board_http_host=host)
