"""Every example that a reader may copy runs: in docstrings, in Markdown, and on the command line."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from prefstream.consumer.cli import app
from tests.support.models import make_tiny_base, make_tiny_judge, one_torch_thread, tiny_tokenizer

ROOT = Path(__file__).parents[2]
FOLDERS = ("prefstream", "schemas", "scoring", "consumer")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
GUIDES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md")]
    + [path for folder in (*FOLDERS[1:], "deploy", "docs", "tests") for path in (ROOT / folder).rglob("*.md")]
    if path.name not in {"CHANGELOG.md", "REFERENCE.md"}
)
"""A changelog speaks of commands as they were; the reference is generated from those that are."""

CODE_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"`(prefstream [^`]+)`|^ {4}(prefstream .+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what examples name: the example panels, and `panel.yaml`, a tiny judge with random weights."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "deploy").symlink_to(ROOT / "deploy")
    judge = make_tiny_judge(folder / "judge", "gemma2", "pointwise")
    (folder / "panel.yaml").write_text(yaml.safe_dump({"judges": [judge]}), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _inside(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(workshop)
    with one_torch_thread():
        yield


# --- docstrings ----------------------------------------------------------------------------------------------------


def docstrings(path: Path, *, that_hold: str = "") -> Iterator[str]:
    """All of a module; none where it nowhere has the given text: reading text is a hundredth of the work."""
    text = path.read_text(encoding="utf-8")
    if that_hold not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    inside = parts if parts[0] == "prefstream" else ("prefstream", *parts)
    return ".".join(inside).removesuffix(".__init__")


WITH_EXAMPLES = [
    module_name(path) for path in MODULES if any(">>> " in text for text in docstrings(path, that_hold=">>> "))
]


def names_of_the_trl_example(folder: Path) -> dict[str, Any]:
    """A policy with random weights, settings for one step, and prompts."""
    from transformers import AutoModelForCausalLM

    trl = pytest.importorskip("trl", reason="needs the optional extra: pip install 'prefstream[trl]'")
    datasets = pytest.importorskip("datasets")
    make_tiny_base(folder / "policy", "chatml")
    tiny_tokenizer("chatml").save_pretrained(folder / "policy")
    policy = AutoModelForCausalLM.from_pretrained(folder / "policy")
    policy.generation_config.pad_token_id = policy.config.pad_token_id
    args = trl.GRPOConfig(
        output_dir=str(folder / "run"),
        max_steps=1,
        per_device_train_batch_size=2,
        num_generations=2,
        max_completion_length=4,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    prompts = datasets.Dataset.from_dict({"prompt": ["Which answer is better?"]})
    return {"policy": policy, "args": args, "prompts": prompts}


GIVEN: dict[str, Callable[[Path], dict[str, Any]]] = {"prefstream.scoring.reward.trl": names_of_the_trl_example}
"""Modules whose examples go on from something that a reader has already."""


@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing\\w*` is deprecated:FutureWarning")  # TRL 1.16
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_docstring_run(name: str, workshop: Path) -> None:
    given = GIVEN[name](workshop) if name in GIVEN else {}
    told: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name), extraglobs=given):
        runner.run(example, out=told.append)
    done = runner.summarize(verbose=False)
    assert done.attempted > 0
    assert done.failed == 0, "".join(told)


def is_run(docstring: str) -> bool:
    """Whether code in a docstring stands behind `>>>`, which the test above finds; commands stand in backticks."""
    blocks = re.findall(r"^Examples?:\n((?: {4}.*\n?|\n)+)", docstring, re.MULTILINE)
    return "::\n\n " not in docstring and all(">>> " in block for block in blocks)


def test_no_docstring_has_an_example_that_is_not_run() -> None:
    assert [str(path) for path in MODULES if not all(map(is_run, docstrings(path)))] == []


# --- Markdown ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guide", "code"),
    [
        pytest.param(guide, code, id=f"{guide.relative_to(ROOT)}-{number}")
        for guide in GUIDES
        for number, code in enumerate(CODE_BLOCK.findall(guide.read_text(encoding="utf-8")), start=1)
        if "KafkaConsumer(" not in code  # run beside a stream: integration/test_reading_guide.py, e2e/test_tutorials.py
    ],
)
def test_the_code_of_a_guide_runs_and_prints(guide: Path, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, str(guide), "exec"), {})  # noqa: S102 - our own guide
    assert capsys.readouterr().out


# --- the command line ----------------------------------------------------------------------------------------------


def commands() -> list[str]:
    texts = [guide.read_text(encoding="utf-8").replace("\\\n", " ") for guide in GUIDES]
    texts += [
        text for path in (ROOT / "consumer" / "cli").rglob("*.py") for text in docstrings(path, that_hold="prefstream ")
    ]
    found = (quoted or indented for text in texts for quoted, indented in COMMAND.findall(text))
    # The reference writes COMMAND where any command may stand.
    return sorted({" ".join(command.split()) for command in found if "COMMAND" not in command})


@pytest.mark.parametrize("command", commands())
def test_a_command_has_the_options_that_it_is_shown_with(command: str) -> None:
    """Options are read before `--help` answers, so one that does not exist is told."""
    done = CliRunner().invoke(app, [*command.split()[1:], "--help"])
    assert done.exit_code == 0, done.output
