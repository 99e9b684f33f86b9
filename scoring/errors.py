"""Errors of scoring.

    PrefstreamError
    └── ScoringError
        ├── ConfigError           the panel file is wrong; all its errors at once
        ├── FileError             a file of battles can't be used as it is
        ├── LoadError             weights, adapter or tokenizer can't be trusted to judge
        │   ├── FetchError        they could not be downloaded just now
        │   └── GoldenSetError    a panel does not give the answers that it is known to give
        ├── BattleTooLargeError   one battle does not fit on its judge's device, even alone
        ├── MissingExtraError     what was asked for needs an extra of the package that is not installed
        ├── NoRewardError         a reward for a single answer was asked of judges that only compare
        ├── MisuseError           the library was called in a way that can't work
        ├── JudgeFaultError       a judge broke down while scoring
        ├── PushError             an adapter could not be pushed to a model hub just now
        └── FinetuneError         a training run went wrong

Messages say what was wrong, where, and what to do. They never hold text of a battle.
"""

from __future__ import annotations

from prefstream.schemas import PrefstreamError


class ScoringError(PrefstreamError):
    """Root of the errors that scoring raises."""


class ConfigError(ScoringError):
    """A panel file, or a panel described in code, is wrong.

    Attributes:
        source: the file, or what else was read.
        errors: one line each with its place.
    """

    def __init__(self, source: str, errors: tuple[str, ...]) -> None:
        many = f"{len(errors)} errors\n" + "\n".join(f"  {error}" for error in errors)
        super().__init__(f"{source}: {errors[0] if len(errors) == 1 else many}")
        self.source = source
        self.errors = errors

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.source, self.errors)


class FileError(ScoringError):
    """A file of battles can't be used as it is; the message says what to change."""


class LoadError(ScoringError):
    """A judge can't be loaded, or what was loaded must not judge."""


class FetchError(LoadError):
    """Weights could not be downloaded; trying again may help."""


class GoldenSetError(LoadError):
    """A panel does not give the answers of its golden set, or is another one than that is of."""


class BattleTooLargeError(ScoringError):
    """One battle needs more memory than its judge's device has, even in a micro-batch of its own."""


class PushError(ScoringError):
    """An adapter could not be pushed to a model hub; trying again may help."""


class FinetuneError(ScoringError):
    """A training run went wrong, and going on would not mend it."""


class MisuseError(ScoringError):
    """The library was called in a way that can't work, such as a panel that is closed; the message says how to."""


class MissingExtraError(ScoringError, ImportError):
    """What was asked for needs an extra of the package that is not installed; the message says how to install it.

    Attributes:
        who: what needs it.
        extras: their names.
        name: the module that is missing.
    """

    def __init__(self, who: str, extras: tuple[str, ...], module: str) -> None:
        package = f"prefstream[{','.join(extras)}]"
        super().__init__(f"{who} needs {package}: pip install '{package}'")
        self.who = who
        self.extras = extras
        self.name = module

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, tuple[str, ...], str]]:
        return type(self), (self.who, self.extras, str(self.name))


class NoRewardError(ScoringError):
    """A reward for a single answer was asked of a panel whose judges only compare answers."""


class JudgeFaultError(ScoringError):
    """A judge broke down while scoring.

    Attributes:
        judge: name of the judge.
        detail: what happened.
        transient: whether trying again can help.
        replica: device of the replica that was lost, of a judge that goes on with others; None where it is the judge.
    """

    def __init__(self, judge: str, detail: str, *, transient: bool, replica: str | None = None) -> None:
        super().__init__(f"judge {judge}: {detail}")
        self.judge = judge
        self.detail = detail
        self.transient = transient
        self.replica = replica

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_fault, (self.judge, self.detail, self.transient, self.replica)


def _rebuild_fault(judge: str, detail: str, transient: bool, replica: str | None) -> JudgeFaultError:  # noqa: FBT001 - pickle passes positions
    return JudgeFaultError(judge, detail, transient=transient, replica=replica)
