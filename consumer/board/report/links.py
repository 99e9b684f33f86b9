"""Links from a battle's id to wherever a user looks battles up, by a template that is the user's own."""

from __future__ import annotations

from urllib.parse import quote

from prefstream.consumer.board_config import ID_PLACE


def battle_link(template: str | None, battle_id: str) -> str | None:
    """Where a battle can be looked up; None without a template.

    Args:
        template: one that `BoardConfig` took.
        battle_id: any text; all but letters, digits and `_.-~` is escaped, so that it stays within its place.
    """
    return template and template.replace(ID_PLACE, quote(battle_id, safe="", errors="replace"))
