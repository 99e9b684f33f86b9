"""Votes of a file as the votes topic has them: one a person."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from prefstream.consumer.votes.file import FileVote
from prefstream.schemas import OUTCOMES, Vote
from prefstream.schemas.vote import BOTH_BAD
from prefstream.scoring.files.labelled import BAD_LABEL
from prefstream.scoring.files.rows import RejectedRow

MOST_VOTES: Final = 10_000
"""Of one row: so many people hardly look at one battle, and each is a record."""


def votes_of_row(found: FileVote, voter: str, delay: timedelta = timedelta()) -> list[Vote] | RejectedRow:
    """One vote for each person that a row speaks of, told apart by the voter's name.

    Args:
        found: the row.
        voter: who voted, where the row does not say it: the same whenever the row is read, so that reading it twice
            makes no more votes. Several people of a row are told apart by numbers behind it.
        delay: how long after its battle a vote was given: added to the time that a row with a battle says.

    Returns:
        At least one vote; or why there is none.
    """
    vote = found.vote
    occurred_at = vote.occurred_at + delay if vote.occurred_at and found.battle else vote.occurred_at
    voter = vote.voter or voter
    if found.counts is None:
        return [vote.model_copy(update={"voter": voter, "occurred_at": occurred_at})]
    if any(count % 1 for count in found.counts):
        return RejectedRow(BAD_LABEL, "votes are no whole numbers: nobody gives a part of a vote")
    if sum(found.counts) > MOST_VOTES:
        return RejectedRow(BAD_LABEL, f"more than {MOST_VOTES:,} votes in a row")
    tie = BOTH_BAD if vote.winner == BOTH_BAD else "tie"
    winners = [
        tie if outcome == "tie" else outcome
        for outcome, count in zip(OUTCOMES, found.counts, strict=True)
        for _ in range(int(count))
    ]
    return [
        Vote(id=vote.id, winner=winner, occurred_at=occurred_at, voter=f"{voter}#{number}")
        for number, winner in enumerate(winners, start=1)
    ]
