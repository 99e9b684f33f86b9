"""A wheel or an sdist as who installs it meets it: in a virtual environment of its own, away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.release.contents import NEEDED, PRETRAINED
from tests.release.places import ROOT

INSTALL_S: Final = 1_500.0
"""torch is gigabytes where no index has its CPU build."""

COMMAND_S: Final = 200.0

BATTLE: Final = {"id": "42", "prompt": "2+2?", "response_a": "4", "response_b": "5"}

PANEL: Final = """\
judges:
  - {{name: prior, kind: prior, probabilities: {{model_a: 0.5, model_b: 0.3, tie: 0.2}}}}
  - {{name: lexical, kind: features, adapter: "{lexical}"}}
"""
"""What needs no base model: a prior, and the adapter of the demo that has none."""

DATA: Final = """
import importlib.resources, json, sys
import prefstream.schemas
package = importlib.resources.files("prefstream")
wanted = json.loads(sys.argv[1])
missing = [name for name in wanted if not package.joinpath(name).is_file()]
torch = "torch" in sys.modules
print(json.dumps({"place": str(package), "missing": missing, "torch": torch}))
"""


def try_out(distribution: Path, version: str, folder: Path, say: Callable[[str], None]) -> None:
    """Install a distribution and use it; first alone, then with the extra that scores.

    Args:
        distribution: a wheel or an sdist.
        version: of it.
        folder: an empty one, for the environment and its files.
        say: told what held.

    Raises:
        AssertionError: something did not hold.
    """
    environment = folder / "environment"
    python, prefstream = environment / "bin" / "python", environment / "bin" / "prefstream"
    _run(folder, sys.executable, "-m", "venv", environment)
    install = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    _run(folder, *install, distribution, timeout_s=INSTALL_S)
    assert _run(folder, prefstream, "--version") == f"prefstream {version}\n"
    helped = _run(folder, prefstream, "--help")
    assert all(command in helped for command in ("run", "score", "board", "schema"))
    schema = json.loads(_run(folder, prefstream, "schema", "preference"))
    assert schema == json.loads((ROOT / "schemas" / "preference.schema.json").read_bytes())
    found = json.loads(_run(folder, python, "-c", DATA, json.dumps(NEEDED)))
    assert Path(found["place"]).is_relative_to(environment)
    assert (found["missing"], found["torch"]) == ([], False)
    say(f"{distribution.name}: --version, --help, schema, and all files of the package, without an extra")
    _run(folder, *install, f"{distribution}[judges]", timeout_s=INSTALL_S)
    (folder / "battles.jsonl").write_text(json.dumps(BATTLE) + "\n", encoding="utf-8")
    lexical = Path(found["place"], PRETRAINED, "lexical-demo")
    (folder / "panel.yaml").write_text(PANEL.format(lexical=lexical), encoding="utf-8")
    _run(folder, prefstream, "score", "battles.jsonl", "--panel", "panel.yaml", "--output", "answers.jsonl")
    [answer] = map(json.loads, (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines())
    assert (answer["id"], answer["panel"]["version"]) == (BATTLE["id"], version)
    assert [judge["name"] for judge in answer["judges"]] == ["prior", "lexical"]
    say(f"{distribution.name}: scores with a prior and with the demo's judge of features")


def _run(folder: Path, *command: str | Path, timeout_s: float = COMMAND_S) -> str:
    """Standard output of a command, which must succeed and finds nothing of the checkout."""
    clean = {name: text for name, text in os.environ.items() if name != "PYTHONPATH" and "PREFSTREAM_" not in name}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=clean, capture_output=True, text=True, timeout=timeout_s
    )
    assert done.returncode == 0, f"{' '.join(map(str, command[:6]))}: exit code {done.returncode}\n{done.stderr}"
    return done.stdout
