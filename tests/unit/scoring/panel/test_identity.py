"""Which panel answers: the hash changes with whatever decides an answer, and with nothing else."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prefstream import PanelConfig, load_panel
from prefstream.schemas import Battle, PanelIdentity, Provenance
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.panel.identity import decided_by_panel, identify
from prefstream.scoring.version import own_version
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.priors import prior_entry

FIRST, SECOND = prior_entry("one", (0.5, 0.25, 0.25)), prior_entry("two", (0.25, 0.5, 0.25))


def identity(**panel: Any) -> PanelIdentity:
    calibration = panel.pop("calibrated", None)
    with load_panel(PanelConfig.model_validate({"judges": [FIRST, SECOND]} | panel), calibration=calibration) as loaded:
        return loaded.identity


def test_the_same_panel_has_the_same_identity_in_another_process() -> None:
    script = (
        "import json,sys\nfrom prefstream import PanelConfig, load_panel\n"
        "with load_panel(PanelConfig.model_validate(json.loads(sys.argv[1]))) as panel: print(panel.identity.hash)"
    )
    argument = json.dumps({"judges": [FIRST, SECOND]})
    other = subprocess.run([sys.executable, "-c", script, argument], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == identity().hash


@pytest.mark.parametrize(
    "change",
    [
        {"judges": [SECOND, FIRST]},
        {"judges": [FIRST]},
        {"judges": [FIRST | {"weight": 2.0}, SECOND]},
        {"judges": [FIRST | {"probabilities": SECOND["probabilities"]}, SECOND]},
        {"judges": [FIRST | {"name": "three"}, SECOND]},
        {"swap": True},
        {"calibrated": CalibrationFile(panel=Calibration(temperature=2.0))},
        {"calibrated": CalibrationFile(weights={"one": 3.0})},
        {"calibrated": CalibrationFile(length_slope=0.5)},
        {"recuse": {"one": ["gemma-*"]}},
    ],
    ids=[
        "order",
        "a judge less",
        "weight",
        "probabilities",
        "name",
        "swap",
        "calibration",
        "fitted weight",
        "length slope",
        "recusal",
    ],
)
def test_it_changes_with_what_decides_an_answer(change: dict[str, Any]) -> None:
    assert identity(**change).hash != identity().hash


def test_it_does_not_change_with_what_the_panel_pretends_to_cost_or_does_at_a_failure() -> None:
    slow = FIRST | {"simulate": {"seconds_per_batch": 0.5}}
    assert identity(judges=[slow, SECOND], on_judge_failure="degrade") == identity()


def test_who_is_recused_from_what_counts_and_not_how_it_is_written() -> None:
    one = identity(recuse={"one": ["gemma-*", "gemini-*"]})
    assert identity(recuse={"one": ["Gemini-*", "gemma-*", "gemma-*"]}) == one
    assert identity(recuse={"two": ["gemma-*", "gemini-*"]}) != one
    assert identity(recuse={"one": ["gemma-*"]}) != one


def test_a_panel_without_recusal_and_slope_is_what_it_was_before_there_were_any() -> None:
    """Answers of one panel stay answers of one panel over an upgrade."""
    assert identity().hash == "eaee14c56951f77bda12448abc1084cd3a0e504d0a3720717bb98efe23fd3d50"


class Named:
    """A judge that never judges: only its papers are read."""

    name, weight, symmetric = "one", 1.0, False

    def __init__(self, settings: dict[str, object], **provenance: Any) -> None:
        self.settings = settings
        self.provenance = Provenance(kind="pairwise", **provenance)

    def encode(self, battles: Any) -> Any: ...

    def score(self, batch: Any) -> Any: ...

    def close(self) -> None: ...


def hash_of(settings: dict[str, object] | None = None, **provenance: Any) -> str:
    judge = Named(settings or {}, **provenance)
    decided = decided_by_panel(swap=False, calibration=Calibration())
    return identify([judge], {judge.name: 1.0}, decided, calibration_version=None).hash


def test_the_device_and_the_names_of_what_is_hashed_are_not_in_it() -> None:
    assert hash_of(device="cuda:0", base="a/b", revision="1" * 40) == hash_of(device="cpu", base="folder")


@pytest.mark.parametrize(
    "part",
    [
        *("base_hash", "adapter_hash", "template_hash", "dtype", "quantization", "attention", "max_length"),
        *("int8_threshold", "quant_type", "merge"),
    ],
)
def test_what_the_judge_is_made_of_is_in_it(part: str) -> None:
    values: list[Any] = [7, 8] if part in {"max_length", "int8_threshold"} else ["7", "8"]
    assert hash_of(**{part: values[0]}) != hash_of(**{part: values[1]})


def test_a_judges_settings_are_in_it_in_whatever_order_they_stand() -> None:
    assert hash_of({"tau": 1.0}) != hash_of({"tau": 2.0})
    assert hash_of({"tau": 1.0, "shares": 2}) == hash_of({"shares": 2, "tau": 1.0})


def test_a_judge_with_weights_says_its_own_calibration(tmp_path: Path) -> None:
    entry = make_tiny_judge(tmp_path, "llama")
    hashes = set()
    for tie_bias in (0.0, 0.5):
        calibration = CalibrationFile(judges={entry["name"]: Calibration(tie_bias=tie_bias)})
        config = PanelConfig.model_validate({"judges": [entry]})
        with one_torch_thread(), load_panel(config, calibration=calibration) as panel:
            hashes.add(panel.identity.hash)
            [answer] = panel.score([Battle(id="1", prompt="p", response_a="a", response_b="b")])
            assert (answer.judges[0].uncalibrated is None) == (tie_bias == 0.0)  # type: ignore[union-attr]
    assert len(hashes) == 2


def test_the_calibrations_version_is_the_begin_of_its_files_hash(tmp_path: Path) -> None:
    calibration = CalibrationFile(panel=Calibration(temperature=2.0))
    path = tmp_path / "panel.json"
    calibration.write(path)
    version = identity(calibration=str(path)).calibration
    assert version == hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert identity(calibrated=calibration).calibration == version
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert identity(calibration=str(path)).calibration == version, "however it is spaced"


def test_a_calibration_without_a_slope_has_the_version_that_it_had_before_there_were_slopes(tmp_path: Path) -> None:
    path = tmp_path / "panel.json"
    path.write_text('{"format": 1, "panel": {"temperature": 2.0, "tie_bias": 0.0}, "judges": {}, "weights": {}}')
    written = b"""{
  "format": 1,
  "panel": {
    "temperature": 2.0,
    "tie_bias": 0.0
  },
  "judges": {},
  "weights": {}
}
"""
    assert identity(calibration=str(path)).calibration == hashlib.sha256(written).hexdigest()[:12]


def test_without_a_calibration_there_is_no_version_of_one() -> None:
    assert identity().calibration is None
    assert identity().version == own_version()


def test_every_answer_says_which_panel_gave_it() -> None:
    with load_panel(PanelConfig.model_validate({"judges": [FIRST]})) as panel:
        [answer] = panel.score([Battle(id="1", prompt="p", response_a="a", response_b="b")])
    assert answer.panel == panel.identity  # type: ignore[union-attr]
