"""What the guides point to is there: links, headings, modules and names."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "scoring", "consumer")
GUIDES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / ".github").glob("*.md")]
    + [path for folder in (*ROOMS, "deploy", "docs", "tests") for path in (ROOT / folder).rglob("*.md")]
)

LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
DOTTED = re.compile(r"(?:\[(?P<linked>`[a-z]\w*(?:\.\w+)+`)\]\((?P<target>[^)]+)\)|(?P<bare>`[a-z]\w*(?:\.\w+)+`))")
FILE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+(?:\.(?:py|md|json|ya?ml|toml|csv|jsonl|js|css|html)|/))`")


def text_of(guide: Path) -> str:
    """A guide without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", guide.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(guide: Path) -> set[str]:
    """The headings of a guide, as GitHub names them in addresses."""
    headings = re.findall(r"^#+ (.+)$", text_of(guide), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def resolve(name: str) -> tuple[Any, Path]:
    """What a dotted name stands for, and the file of the module that it lies in.

    Raises:
        ModuleNotFoundError, AttributeError: there is no such thing.
    """
    parts = name.split(".")
    while True:
        try:
            module = importlib.import_module(".".join(parts))
            break
        except ModuleNotFoundError as error:
            if len(parts) == 1 or not name.startswith(str(error.name)):
                raise
            parts.pop()
    found: Any = module
    for attribute in name.split(".")[len(parts) :]:
        found = getattr(found, attribute)
    return found, Path(str(module.__file__)).resolve()


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: str(guide.relative_to(ROOT)))
def test_every_link_leads_somewhere(guide: Path) -> None:
    broken = []
    for path, anchor in LINK.findall(text_of(guide)):
        target = (guide.parent / path).resolve() if path else guide
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_modules_and_names_that_exist_by_their_files(room: str) -> None:
    """Dotted names are relative to the room, and a linked one is linked to where it is defined."""
    guide = ROOT / room / "README.md"
    named = list(DOTTED.finditer(text_of(guide)))
    assert named
    for match in named:
        name = (match["linked"] or match["bare"]).strip("`")
        if FILE.fullmatch(f"`{name}`"):
            continue
        _, file = resolve(f"prefstream.{room}.{name}")
        if match["target"]:
            assert file == (guide.parent / match["target"].partition("#")[0]).resolve(), name


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_files_and_folders_that_exist(room: str) -> None:
    named = FILE.findall(text_of(ROOT / room / "README.md"))
    assert named
    assert [name for name in named if not any((folder / name).exists() for folder in (ROOT / room, ROOT))] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_all_its_folders(room: str) -> None:
    guide = text_of(ROOT / room / "README.md")
    folders = [path.name for path in (ROOT / room).iterdir() if (path / "__init__.py").exists()]
    assert [name for name in folders if f"`{name}/`" not in guide] == []


def test_each_word_stands_in_the_table_once() -> None:
    words = text_of(ROOT / "schemas" / "README.md").partition("\n## Words\n")[2]
    listed = [word for cell in re.findall(r"^\| ([^|]+) \|", words, re.MULTILINE)[2:] for word in cell.split(", ")]
    assert len(listed) > 20
    assert len(listed) == len(set(listed))
