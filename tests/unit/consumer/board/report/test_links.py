"""Links to battles: of the user's template, and of whatever id."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prefstream.consumer.board.report.links import battle_link
from prefstream.consumer.board_config import BoardConfig

TEMPLATE = "https://chat.example.org/battles/{id}?from=board"


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_an_id_stays_in_its_place(battle_id: str) -> None:
    link = battle_link(TEMPLATE, battle_id)
    assert link is not None
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("https", "chat.example.org", "from=board", "")
    assert unquote(parts.path.removeprefix("/battles/")) == battle_id
    assert parts.path.count("/") == 2


def test_without_a_template_there_is_no_link() -> None:
    assert battle_link(None, "1") is None


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("https://chat.example.org/battles", "has no {id}"),
        ("javascript:alert('{id}')", "http"),
        ("ftp://example.org/{id}", "http"),
        ("/battles/{id}", "http"),
        ("https://{id}.example.org/", "stands in the host"),
        ("https://[/{id}", "http"),
        ("https://example.org/a b/{id}", "http"),
        ("https://example.org/\n{id}", "http"),
    ],
)
def test_a_template_that_makes_no_links_is_refused(template: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        BoardConfig(board_battle_url=template)
