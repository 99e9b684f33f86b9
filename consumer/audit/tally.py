"""Who gave the answers of a range, and what was left out of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from prefstream.consumer.audit.answers import AuditedAnswer
from prefstream.consumer.client.values import place_of
from prefstream.schemas import Preference


@dataclass(frozen=True, slots=True)
class Mark:
    """An answer's place in time.

    Attributes:
        source: the record that it answers, `topic/partition/offset`.
        timestamp_ms: when it was written, ms since the epoch.
    """

    source: str
    timestamp_ms: int


@dataclass(slots=True)
class PanelShare:
    """One panel, by all that decides its answers.

    Attributes:
        hash: of the panel; None where an answer names none.
        calibration: its version; None without one.
        version: of prefstream.
        judges: their names, in the answers that it gave.
        first: the first answer by its time, then its source.
        last: the last.
        answers: how many.
    """

    hash: str | None
    calibration: str | None
    version: str | None
    judges: tuple[str, ...]
    first: Mark
    last: Mark
    answers: int = 0


@dataclass(slots=True)
class JudgeShare:
    """One judge, by its name.

    Attributes:
        answers: that it had a part in, those among them from which it was recused.
        left_out: answers without it, because it had failed.
        recused: answers that it did not count in.
        truncated: answers for which it did not read everything.
        dropped_prompt: tokens of prompts that it did not read.
        dropped_responses: tokens of responses that it did not read.
    """

    answers: int = 0
    left_out: int = 0
    recused: int = 0
    truncated: int = 0
    dropped_prompt: int = 0
    dropped_responses: int = 0


class AnswerTally:
    """Counts over answers."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.judges: dict[str, JudgeShare] = {}
        self._panels: dict[tuple[str, str | None, str] | None, PanelShare] = {}

    @property
    def panels(self) -> list[PanelShare]:
        """Those that answered, from the one that answered first."""
        return sorted(self._panels.values(), key=lambda panel: (panel.first.timestamp_ms, panel.first.source))

    def add(self, answer: AuditedAnswer) -> None:
        """One more answer to a record of the range."""
        if answer.preference is None:
            self.reasons[answer.reason or ""] += 1
            return
        mark = Mark(place_of(answer), answer.timestamp_ms)
        self._add_panel(answer.preference, mark)
        self._add_judges(answer.preference)

    def _add_panel(self, preference: Preference, mark: Mark) -> None:
        panel = preference.panel
        named = (panel.hash, panel.calibration, panel.version) if panel else None
        found = self._panels.get(named)
        if found is None:
            names = sorted((*(judge.name for judge in preference.judges), *preference.left_out))
            digest, calibration, version = named or (None, None, None)
            found = self._panels[named] = PanelShare(digest, calibration, version, tuple(names), mark, mark)
        found.answers += 1
        found.first = min(found.first, mark, key=_by_time)
        found.last = max(found.last, mark, key=_by_time)

    def _add_judges(self, preference: Preference) -> None:
        for name in preference.left_out:
            self._judge(name).left_out += 1
        for name in preference.recused or ():
            self._judge(name).recused += 1
        for opinion in preference.judges:
            judge = self._judge(opinion.name)
            judge.answers += 1
            cut = opinion.truncation
            if cut is None:
                continue
            dropped_responses = cut.dropped_response_a + cut.dropped_response_b
            judge.truncated += bool(cut.dropped_prompt or dropped_responses)
            judge.dropped_prompt += cut.dropped_prompt
            judge.dropped_responses += dropped_responses

    def _judge(self, name: str) -> JudgeShare:
        return self.judges.setdefault(name, JudgeShare())


def _by_time(mark: Mark) -> tuple[int, str]:
    return mark.timestamp_ms, mark.source
