"""The extras of the package: what each brings is what its commands import, and who lacks one is told which."""

from __future__ import annotations

import ast
import importlib
import json
import pickle
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from prefstream.consumer.cli import COMMANDS, EXTRAS
from prefstream.consumer.cli.exit_codes import EXIT_USAGE, complain, exit_code_of
from prefstream.schemas import Battle, encode_battle, encode_preference
from prefstream.scoring import extras
from prefstream.scoring.errors import MissingExtraError
from tests.support.only import PROJECT, ROOT, distributions, modules_of, run_only
from tests.support.samples import a_preference

PACKAGES = PROJECT["optional-dependencies"]

DEVELOPERS = {"docs", "test", "release", "dev"}
"""Extras that no command of ours needs."""

MEASURED_AGAINST = {"confluent_kafka", "openvino", "quixstreams", "sentence_transformers"}
"""What benchmarks take where it is there, and do without where it is not."""

READER = """
import sys
import prefstream

message = open({message!r}, "rb").read()
preference = prefstream.decode_preference(message)
print(preference.id, preference.preferred)
print(prefstream.encode_battle(prefstream.Battle(id="1", prompt="2+2?", response_a="4", response_b="5")).decode())
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {{"numpy", "torch", "kafka", "typer", "structlog"}}))
for name in ("Panel", "load_panel", "RewardModel", "TrlReward"):
    try:
        getattr(prefstream, name)
    except ImportError as error:
        print(error)
"""

EACH = """
import contextlib, io, json, sys
from prefstream.__main__ import main

said = {}
for name in sys.argv[1:]:
    for argument in ("anything", "--help"):
        sys.argv = ["prefstream", name, argument]
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                main()
            except SystemExit as leaving:
                code = leaving.code
        said.setdefault(name, {})[argument] = [code, out.getvalue(), err.getvalue()]
print(json.dumps(said))
"""


# --- the table -----------------------------------------------------------------------------------------------------


def test_every_extra_is_in_the_table() -> None:
    assert extras.EXTRAS.keys() == PACKAGES.keys() - DEVELOPERS


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_an_extra_brings_what_is_imported_of_it(extra: str) -> None:
    if extra == "ray" and not extras.is_installed("ray"):
        pytest.skip("Ray is 240 MB: a checkout may do without it")
    assert packages_in(extra) - modules_of(extra) == set()


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_an_extra_names_all_that_it_asks_for_and_that_is_imported(extra: str) -> None:
    asked = packages_of(extra)
    modules = {module for module, names in distributions().items() if asked & names}
    assert modules & set(third_party_imports()) - packages_in(extra) == set()


def packages_in(extra: str) -> set[str]:
    """What the table has of an extra, each by the folder that it lies in."""
    return {module.partition(".")[0] for module in extras.EXTRAS[extra]}


def packages_of(extra: str) -> set[str]:
    """The packages that an extra asks for itself, or by another extra."""
    requirements = list(map(Requirement, PACKAGES[extra]))
    others = {name for one in requirements if one.name == "prefstream" for name in one.extras}
    return {canonicalize_name(one.name) for one in requirements if one.name != "prefstream"}.union(
        *map(packages_of, others)
    )


@cache
def third_party_imports() -> dict[str, str]:
    """What our modules import of others', but for what only a type checker reads; with a place where each does."""
    found = {}
    for room in ("prefstream", "schemas", "scoring", "consumer"):
        for path in (ROOT / room).rglob("*.py"):
            for name, line in imported(ast.parse(path.read_text(encoding="utf-8"))):
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top != "prefstream":
                    found[top] = f"{path.relative_to(ROOT)}:{line}"
    return found


def imported(node: ast.AST) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield child.module, child.lineno
        yield from imported(child)


def test_every_import_is_of_a_package_that_is_asked_for() -> None:
    known = modules_of().union(MEASURED_AGAINST, *map(packages_in, extras.EXTRAS))
    assert {name: place for name, place in third_party_imports().items() if name not in known} == {}


@pytest.mark.parametrize(("extra", "without"), [("run", "torch"), ("board", "torch"), ("judges", "kafka")])
def test_an_extra_does_not_bring(extra: str, without: str) -> None:
    assert without not in modules_of(extra)


def test_what_two_extras_bring_has_the_same_bounds_in_both() -> None:
    bounds: dict[str, set[str]] = {}
    for listed in (PROJECT["dependencies"], *PACKAGES.values()):
        for requirement in map(Requirement, listed):
            bounds.setdefault(requirement.name, set()).add(str(requirement.specifier))
    assert {name for name, specifiers in bounds.items() if len(specifiers) > 1} == set()


def test_commands_and_their_extras_are_those_that_there_are() -> None:
    assert EXTRAS.keys() == COMMANDS.keys() - {"schema"}
    assert {extra for needed in EXTRAS.values() for extra in needed} <= extras.EXTRAS.keys()


# --- a light install -----------------------------------------------------------------------------------------------


def test_a_reader_reads_a_message_with_a_light_install(tmp_path: Path) -> None:
    message = tmp_path / "message.json"
    message.write_bytes(encode_preference(a_preference(id="42")))
    done = run_only([], ["-c", READER.format(message=str(message))])
    assert done.returncode == 0, done.stderr
    said, battle, foreign, *missing = done.stdout.splitlines()
    assert said == f"42 {a_preference().preferred}"
    assert json.loads(battle)["response_b"]
    assert foreign == ""
    assert missing == [
        f"prefstream.{name} needs prefstream[judges]: pip install 'prefstream[judges]'"
        for name in ("Panel", "load_panel", "RewardModel", "TrlReward")
    ]


def test_a_light_install_prints_the_contract_and_all_commands() -> None:
    schema = run_only([], ["schema", "preference"])
    assert json.loads(schema.stdout) == json.loads((ROOT / "schemas/preference.schema.json").read_bytes())
    shown = run_only([], ["--help"]).stdout
    assert [name for name in COMMANDS if f"│ {name} " not in shown] == []


@pytest.fixture(scope="module")
def said_of_all() -> dict[str, dict[str, list[str | int]]]:
    """What every command says in a light install, and what its help says."""
    done = run_only([], ["-c", EACH, *EXTRAS])
    assert done.returncode == 0, done.stderr
    said: dict[str, dict[str, list[str | int]]] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("name", EXTRAS)
def test_a_command_says_which_extra_it_lacks(name: str, said_of_all: dict[str, dict[str, list[str | int]]]) -> None:
    package = f"prefstream[{','.join(EXTRAS[name])}]"
    line = f"prefstream: prefstream {name} needs {package}: pip install '{package}'\n"
    assert said_of_all[name]["anything"] == [EXIT_USAGE, "", line]


@pytest.mark.parametrize("name", EXTRAS)
def test_a_command_that_lacks_its_extra_explains_itself(
    name: str, said_of_all: dict[str, dict[str, list[str | int]]]
) -> None:
    code, shown, errors = said_of_all[name]["--help"]
    assert (code, errors) == (0, "")
    assert f"prefstream {name}" in str(shown).splitlines()[0]
    assert str(shown).endswith(f"\nNot installed yet: pip install 'prefstream[{','.join(EXTRAS[name])}]'\n")


def test_the_help_of_a_groups_command_is_its_own() -> None:
    shown = run_only([], ["topics", "create", "--help"]).stdout
    assert "--replication-factor" in shown
    assert "replay" not in shown


def test_a_shell_that_completes_is_told_nothing_of_extras() -> None:
    asked = {"_PREFSTREAM_COMPLETE": "complete_bash", "COMP_WORDS": "prefstream run --", "COMP_CWORD": "2"}
    done = run_only([], [], asked)
    assert (done.returncode, done.stdout, done.stderr) == (0, "--help\n", "")


# --- with one extra ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself_with_its_extra_alone(name: str) -> None:
    done = run_only(EXTRAS.get(name, ()), [name, "--help"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "Not installed" not in done.stdout


@pytest.mark.parametrize("extra", ["remote", "run"])
def test_scoring_a_file_begins_with_an_extra_that_has_no_torch_and_asks_for_what_a_judge_needs(
    tmp_path: Path, extra: str
) -> None:
    file = tmp_path / "battles.jsonl"
    file.write_bytes(encode_battle(Battle(id="1", prompt="Which?", response_a="This.", response_b="That.")))
    done = run_only([extra], ["score", file, "-o", "-", "--panel", ROOT / "deploy" / "panels" / "cpu.yaml"])
    line = "prefstream: judge gemma needs prefstream[judges]: pip install 'prefstream[judges]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_USAGE, "", line)


def test_a_folder_that_packages_share_is_not_taken_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The board brings OpenTelemetry's interface, by fastapi, into the folder that what exports spans lies in."""
    (tmp_path / "shared_by_some" / "interface").mkdir(parents=True)
    (tmp_path / "shared_by_some" / "interface" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert extras.is_installed("shared_by_some.interface")
    assert not extras.is_installed("shared_by_some.exporter")
    assert not extras.is_installed("shared_by_some.exporter.http")


# --- what is not a missing extra -----------------------------------------------------------------------------------


def broken(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> BaseException:
    """What importing a package `tensorboard` raises that is there, and holds this."""
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "__init__.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError) as caught:
        __import__("tensorboard")
    return caught.value


@pytest.mark.parametrize(
    "source",
    [
        "import tensorboard.compiled_part",
        "from os import nothing_of_this_name",
        "import a_package_that_nobody_has",
        "raise ImportError('libcudart.so.13: cannot open shared object file')",
    ],
)
def test_a_package_that_is_there_and_broken_is_no_missing_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    error = broken(tmp_path, monkeypatch, source)
    assert extras.explain(error, "prefstream finetune", "train") is None
    assert exit_code_of(error) is None


def test_a_module_that_is_missing_after_all_is_told_by_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("tensorboard")
    assert exit_code_of(caught.value, complain) == EXIT_USAGE
    assert capsys.readouterr().err == (
        "prefstream: what was asked for needs prefstream[train]: pip install 'prefstream[train]'\n"
    )


def test_the_error_is_an_import_error_of_ours_and_goes_between_processes() -> None:
    error = MissingExtraError("prefstream bench", ("demo", "train"), "kafka")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert isinstance(again, MissingExtraError)
    assert isinstance(again, ImportError)
    assert (str(again), again.extras, again.name) == (str(error), ("demo", "train"), "kafka")
    assert str(error) == "prefstream bench needs prefstream[demo,train]: pip install 'prefstream[demo,train]'"
