"""Panel files by name: those of the folder, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefstream.consumer.errors import UsageError
from prefstream.consumer.panels.folder import PanelFolder, check_name


@pytest.fixture
def folder(tmp_path: Path) -> PanelFolder:
    for name in ("b.yaml", "a.yaml", "notes.md", ".hidden.yaml", "with space.yaml"):
        (tmp_path / name).touch()
    return PanelFolder(tmp_path)


def test_its_panels_are_the_yaml_files_that_a_choice_can_name(folder: PanelFolder) -> None:
    assert folder.names() == ["a", "b"]


def test_files_that_no_choice_can_name_are_known_but_for_hidden_ones(folder: PanelFolder) -> None:
    assert folder.misnamed() == ["with space"]


@pytest.mark.parametrize("name", ["with space", "", "../a", "-v", "é", "a" * 101, "a\n"])
def test_a_name_that_no_choice_can_have_is_refused_with_what_one_is_made_of(name: str) -> None:
    with pytest.raises(UsageError, match=r"is no panel's name: at most 100 letters .* rename its file"):
        check_name(name)


def test_a_name_is_a_file_in_it(folder: PanelFolder, tmp_path: Path) -> None:
    assert folder.file("a") == tmp_path / "a.yaml"


@pytest.mark.parametrize("name", ["c", "../a", "notes", ".hidden"])
def test_what_is_not_there_is_refused_with_what_is(folder: PanelFolder, name: str) -> None:
    with pytest.raises(UsageError, match=r"has no panel .*(known here: a, b|did you mean a\?)"):
        folder.file(name)


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder; make it"):
        PanelFolder(tmp_path / "none").names()


def test_an_empty_folder_is_told_where_a_name_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"it holds no NAME\.yaml"):
        PanelFolder(tmp_path).file("a")
