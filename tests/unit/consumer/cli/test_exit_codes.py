"""Exit codes: a supervisor starts again what another start may mend, and nothing else."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import pytest

from prefstream.consumer.cli.exit_codes import EXIT_FAULT, EXIT_USAGE, complain, exit_code_of, log_failure
from prefstream.consumer.errors import BrokerUnreachableError, HttpPortInUseError, UsageError
from prefstream.consumer.observe.logs import configure_logging
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


def test_a_service_whose_lines_are_json_fails_with_such_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Who collects its lines must not lose the one that explains its death."""
    configure_logging(log_format="json")
    assert exit_code_of(BrokerUnreachableError("no [broker] answered"), log_failure) == EXIT_FAULT
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["error"]) == ("failed", "critical", "BrokerUnreachableError")
    assert (line["message"], line["exit_code"]) == ("no [broker] answered", EXIT_FAULT)


def test_a_service_whose_lines_are_for_people_fails_with_a_line_of_its_log_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(log_format="console")
    assert exit_code_of(UsageError("no [broker]"), log_failure) == EXIT_USAGE
    line = capsys.readouterr().err
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \[critical ?\] failed ", line)
    assert "message='no [broker]'" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EACCES, EXIT_USAGE), (errno.ENAMETOOLONG, EXIT_USAGE), (errno.ENOSPC, EXIT_FAULT)]
)
def test_what_the_system_says_of_a_file_is_one_line_with_its_name(
    number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(OSError(number, os.strerror(number), "a\x1b/b.csv")) == code
    assert capsys.readouterr().err == f"prefstream: can't use a\\x1b/b.csv: {os.strerror(number)}\n"


def test_a_name_that_is_too_long_is_told_by_whatever_looks_at_it_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="too long") as refused:
        Path("x" * 300).is_file()
    assert exit_code_of(refused.value) == EXIT_USAGE
    assert capsys.readouterr().err == f"prefstream: can't use {'x' * 300}: File name too long\n"


def test_a_full_disk_behind_standard_output_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left") as refused:
        full.write(b"what a command prints")
    assert exit_code_of(refused.value) == EXIT_FAULT
    told = "prefstream: can't write to standard output, or to a file: No space left on device\n"
    assert capsys.readouterr().err == told


def test_what_names_no_file_keeps_its_traceback() -> None:
    assert exit_code_of(OSError(errno.EACCES, "of a socket, perhaps")) is None
