"""Exit codes: a supervisor starts again what another start may mend, and nothing else."""

from __future__ import annotations

import pytest

from prefstream.consumer.cli.exit_codes import EXIT_FAULT, EXIT_USAGE, complain
from prefstream.consumer.errors import BrokerUnreachableError, HttpPortInUseError, UsageError
from prefstream.schemas import PrefstreamError
from prefstream.scoring.errors import ConfigError, FetchError, FileError, JudgeFaultError, LoadError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BrokerUnreachableError("no broker answered"), EXIT_FAULT),
        (JudgeFaultError("gemma", "its card fell off the bus", transient=False), EXIT_FAULT),
        (FetchError("the hub is away"), EXIT_FAULT),
        (LoadError("the adapter is a pickle"), EXIT_USAGE),
        (ConfigError("panel.yaml", ("judges: missing",)), EXIT_USAGE),
        (FileError("no column prompt"), EXIT_USAGE),
        (UsageError("a group needs a name"), EXIT_USAGE),
        (HttpPortInUseError("port 9464 is taken"), EXIT_USAGE),
    ],
    ids=lambda given: type(given).__name__,
)
def test_the_exit_code_says_whether_to_start_again(
    error: PrefstreamError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complain(error) == code
    assert capsys.readouterr().err == f"prefstream: {error}\n"
