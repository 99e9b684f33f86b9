"""What a comparison comes to, in sentences: the same in a terminal and on the page."""

from __future__ import annotations

from prefstream.schemas import FileSource, KafkaSource
from prefstream.scoring.comparison.results import AnswersDiff, JoinTold, VotedComparison
from prefstream.scoring.comparison.votes import MIN_PROMPTS
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.evaluation.report.page import Conclusion


def conclusions(diff: AnswersDiff) -> list[Conclusion]:
    """The verdict of the votes, where there are some, and what else is worth a sentence.

    Args:
        diff: what was found.
    """
    found = []
    if diff.voted is not None:
        found.append(voted_in_words(diff.voted, diff.left.name, diff.right.name))
    if diff.change.divergence.value == 0 and diff.change.mean_absolute_difference.value == 0:
        found.append(Conclusion("open", "Both sides say the same of every battle, to the bit."))
    elif diff.voted is None:
        found.append(
            Conclusion("open", "How far they differ is all that can be told without votes on them, not who is right.")
        )
    return found


def voted_in_words(voted: VotedComparison, left: str, right: str) -> Conclusion:
    """Better, worse, or how many votes are missing to tell.

    Args:
        voted: what votes say.
        left: name of the left side.
        right: of the right one.
    """
    gap, cast = voted.comparison.log_loss, f"{voted.votes:,} votes on {voted.battles:,} battles"
    if voted.prompts < MIN_PROMPTS:
        few = f"votes on {voted.prompts} different prompts are too few to tell {right} from {left}"
        if voted.prompts == 1:
            few = f"votes on a single prompt are too few to tell {right} from {left}"
        return Conclusion("open", f"Can't be told: {few}; there must be {MIN_PROMPTS} prompts at least.")
    if voted.mood != "open" and gap.value is not None:
        return Conclusion(
            voted.mood,
            f"{right} is {voted.mood} than {left}, by {cast}: its log loss is "
            f"{'lower' if gap.value < 0 else 'higher'} by {_size(abs(gap.value))}{_between(gap)}.",
        )
    if voted.more_votes is None:
        return Conclusion("open", f"Can't be told, and no number of votes would tell: by {cast} both cost the same.")
    return Conclusion(
        "open",
        f"Can't be told which is better: by {cast} the log loss of {right} minus that of {left} is {_signed(gap)}. "
        f"About {_rounded(voted.more_votes)} more votes would tell, if the difference is what it seems to be.",
    )


def joined_in_words(join: JoinTold) -> str:
    """How both sides came together.

    Args:
        join: what was found.
    """
    by = "place of the battle" if join.by == "source" else "id"
    repeated = [
        f"{count:,} on the {side} repeat a battle: the last one counts"
        for side, count in (("left", join.repeated_left), ("right", join.repeated_right))
        if count
    ]
    apart = f"{join.only_left:,} on the left alone, {join.only_right:,} on the right alone"
    return "; ".join([f"{join.joined:,} battles joined by {by}, {apart}", *repeated])


def place_in_words(source: KafkaSource | FileSource | None) -> str:
    """Where a battle stands: topic/partition/offset, or file:line; empty where nobody knows."""
    if source is None:
        return ""
    if isinstance(source, KafkaSource):
        return f"{source.topic}/{source.partition}/{source.offset}"
    return f"{source.file}:{source.line}"


def _between(gap: Estimate) -> str:
    """The ends of a difference, as sizes."""
    if gap.low is None or gap.high is None:
        return ""
    low, high = sorted((abs(gap.low), abs(gap.high)))
    return f", between {_size(low)} and {_size(high)}"


def _signed(gap: Estimate) -> str:
    if gap.value is None or gap.low is None or gap.high is None:
        return "not known"
    return f"{_size(gap.value, '+')}, between {_size(gap.low, '+')} and {_size(gap.high, '+')}"


def _size(number: float, sign: str = "") -> str:
    """Three digits; of what is smaller two that count: many votes tell a difference that would be 0.000."""
    return format(number, f"{sign}.3f" if abs(number) >= 0.01 or not number else f"{sign}.2g")


def _rounded(count: int) -> str:
    """Two digits that count: more of them would promise too much."""
    digits = max(0, len(str(count)) - 2)
    return f"{round(count, -digits):,}"
