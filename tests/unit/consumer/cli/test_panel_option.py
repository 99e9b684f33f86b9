"""The panel that a command takes: a file, or the demo's judges by one word; what serves takes none unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from prefstream.consumer.cli.panel_option import DEFAULT_PANEL, DEMO_NOTICE, panel_config, panel_files
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import UsageError
from prefstream.consumer.recalibrate_config import RecalibrateConfig
from prefstream.scoring.config import load_panel_config
from tests.support.commands import every_command
from tests.support.priors import write_prior_panel

TAKE_A_PANEL = {
    name: option for name, command in every_command() for option in command.params if option.name == "panel"
}
SERVES = {"run", "doctor", "recalibrate"}
ANOTHER_ONE = {"rescore", "diff"}
"""By a panel that is not the one that serves: so it is named each time, or left out where none is needed."""


def test_every_command_with_a_panel_names_the_demo_judges_by_the_same_word() -> None:
    of_their_own = {"score", "evaluate", "calibrate", "golden make", "golden check", "bench", "demo"}
    assert SERVES | ANOTHER_ONE | of_their_own == set(TAKE_A_PANEL)
    for name, option in TAKE_A_PANEL.items():
        assert "demo: the demo's small judges" in option.help, name
        assert option.envvar == (None if name in ANOTHER_ONE else "PREFSTREAM_PANEL")
        assert option.required == (name == "rescore")
        assert option.default == (DEFAULT_PANEL if name in of_their_own else None), name


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_demo_is_a_panel_by_each_way_to_set_one(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "prefstream.yaml"
    file.write_text(yaml.safe_dump({"panel": "demo"} if way == "file" else {}))
    if way == "variable":
        monkeypatch.setenv("PREFSTREAM_PANEL", "demo")
    config = StreamConfig.load(file, panel="demo" if way == "flag" else None)
    assert config.require_panel() == DEFAULT_PANEL


def test_what_serves_has_no_panel_of_its_own_accord(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFSTREAM_PANEL", raising=False)
    with pytest.raises(UsageError, match=r"no panel: .*--panel FILE, PREFSTREAM_PANEL, .*--panel demo"):
        StreamConfig.load().require_panel()


def test_the_demo_judges_are_told_aloud() -> None:
    """Their models are fetched when they are loaded, not by naming them."""
    told: list[str] = []
    assert panel_config(DEFAULT_PANEL, told.append) == load_panel_config("demo")
    assert told == [DEMO_NOTICE]


def test_a_panel_file_says_nothing_and_is_an_input(tmp_path: Path) -> None:
    file = write_prior_panel(tmp_path)
    told: list[str] = []
    assert panel_config(file, told.append).judges[0].kind == "prior"
    assert told == []
    assert panel_files(file) == {file}
    assert panel_files(DEFAULT_PANEL) == set()


def test_live_calibration_is_told_what_serves_by_a_file_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no panel: .*--panel FILE.*--panels FOLDER"):
        RecalibrateConfig.load().require_panel()
    RecalibrateConfig.load(panels=tmp_path).require_panel()
    RecalibrateConfig.load(panel=tmp_path / "panel.yaml").require_panel()
