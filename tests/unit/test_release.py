"""A release: one version wherever it stands, the changelog's section, a workflow with no more rights than it needs."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from prefstream.scoring.version import own_version
from tests.release import __main__ as release
from tests.release import changelog
from tests.release.contents import NEEDED, faults
from tests.release.places import COPIES, ROOT, SOURCE, disagreements
from tests.release.readme import README, with_whole_links

WORKFLOWS = ROOT / ".github" / "workflows"
TEXT = (WORKFLOWS / "release.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, Any] = WORKFLOW["jobs"]

DAY = dt.date(2026, 12, 1)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that tell the version, in a folder that the commands take for the checkout."""
    for path in (*(place.path for place in (SOURCE, *COPIES)), changelog.CHANGELOG):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    return tmp_path


# --- the page on PyPI ----------------------------------------------------------------------------------------------


def test_on_pypi_every_link_of_the_readme_leads_to_a_file_of_the_release(checkout: Path) -> None:
    shutil.copy(ROOT / README, checkout / README)
    at = "https://github.example/owner/name"
    assert CliRunner().invoke(release.app, ["links", f"{at}/", "v1.2.3"]).exit_code == 0
    shown = MarkdownIt("commonmark", {"html": True}).enable("table").render((checkout / README).read_text("utf-8"))
    targets = set(re.findall(r'(?:href|src|srcset)="([^"]*)"', shown))
    assert [one for one in targets if not one.startswith("https://")] == []
    own = {one.removeprefix(f"{at}/") for one in targets if one.startswith(at)}
    assert own
    for one in own:
        way, ref, path = one.split("/", 2)
        assert ref == "v1.2.3"
        assert (ROOT / path.partition("#")[0]).exists()
        assert way == ("raw" if path.startswith(".assets/") else "blob")


def test_what_is_no_link_and_what_is_whole_stays() -> None:
    text = "a[0](x) `b`\n\n```\n[c](d.md)\n```\n[e](https://f.example/g.md) [h](i.md#j) [k](#l)\n"
    expected = "[e](https://f.example/g.md) [h](S/blob/R/i.md#j) [k](S/blob/R/README.md#l)\n"
    assert with_whole_links(text, "S", "R").splitlines()[-1] + "\n" == expected
    assert "[c](d.md)" in with_whole_links(text, "S", "R")


# --- the version ---------------------------------------------------------------------------------------------------


def test_the_version_is_the_same_wherever_it_stands() -> None:
    assert list(disagreements(ROOT)) == []
    assert own_version() == SOURCE.told(ROOT)


def test_one_command_sets_it_everywhere_and_dates_what_was_unreleased(checkout: Path) -> None:
    result = CliRunner().invoke(release.app, ["set", "12.3.4"])
    assert result.exit_code == 0, result.output
    assert {place.told(checkout) for place in (SOURCE, *COPIES)} == {"12.3.4"}
    assert changelog.section(checkout, "12.3.4") == unreleased(ROOT)
    assert unreleased(checkout) == ""
    assert CliRunner().invoke(release.app, ["check", "--tag", "v12.3.4"]).exit_code == 0


def unreleased(root: Path) -> str:
    text = (root / changelog.CHANGELOG).read_text(encoding="utf-8")
    body = text.partition("\n## Unreleased\n")[2].partition("\n## ")[0].strip()
    return body and body + "\n"


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3rc1", "1.2.3\n"])
def test_what_is_no_version_of_a_release_is_refused(checkout: Path, version: str) -> None:
    assert CliRunner().invoke(release.app, ["set", version]).exit_code == 2
    assert SOURCE.told(checkout) == SOURCE.told(ROOT)


def test_nothing_is_released_twice_and_nothing_without_a_change(checkout: Path) -> None:
    changelog.release(checkout, "12.3.4", DAY)
    with pytest.raises(ValueError, match="has a section"):
        changelog.release(checkout, "12.3.4", DAY)
    with pytest.raises(ValueError, match="nothing stands under"):
        changelog.release(checkout, "12.3.5", DAY)


@pytest.mark.parametrize("place", COPIES, ids=lambda place: place.path)
def test_a_place_that_says_another_version_is_named(checkout: Path, place: Any) -> None:
    place.write(checkout, "99.0.0")
    result = CliRunner().invoke(release.app, ["check"])
    assert result.exit_code == 1
    assert f"{place.path} says 99.0.0" in result.output


def test_another_tag_than_the_version_and_a_missing_section_are_told_together(checkout: Path) -> None:
    result = CliRunner().invoke(release.app, ["check", "--tag", "v98.0.0"])
    assert result.exit_code == 1
    assert "the tag is v98.0.0" in result.output
    assert "has no section" in result.output


# --- what is built -------------------------------------------------------------------------------------------------


def wheel_of(folder: Path, *names: str) -> Path:
    wheel = folder / "prefstream-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return wheel


WHOLE = [f"prefstream/{name}" for name in NEEDED]


def test_a_whole_wheel_has_no_faults(tmp_path: Path) -> None:
    assert list(faults(wheel_of(tmp_path, *WHOLE, "prefstream-1.2.3.dist-info/METADATA"), "1.2.3")) == []


@pytest.mark.parametrize("missing", ["scoring/__init__.py", "py.typed", "consumer/board/page/index.html"])
def test_a_wheel_without_a_file_that_it_needs_is_refused(tmp_path: Path, missing: str) -> None:
    wheel = wheel_of(tmp_path, *(name for name in WHOLE if name != f"prefstream/{missing}"))
    [fault] = faults(wheel, "1.2.3")
    assert f"prefstream/{missing} is missing" in fault


@pytest.mark.parametrize(
    "stray",
    [
        "tests/test_it.py",
        "prefstream-1.2.2.dist-info/METADATA",
        "prefstream/scoring/__pycache__/version.cpython-311.pyc",
        "prefstream/.mypy_cache/3.11/a.json",
        "prefstream/consumer/secrets/sasl_password",
        "prefstream/consumer/client.key",
        "prefstream/scoring/.env",
    ],
)
def test_a_wheel_with_what_is_nobodys_business_is_refused(tmp_path: Path, stray: str) -> None:
    [fault] = faults(wheel_of(tmp_path, *WHOLE, stray), "1.2.3")
    assert stray in fault


def test_links_to_the_rooms_in_place_of_the_rooms_are_refused(tmp_path: Path) -> None:
    sdist = tmp_path / "prefstream-1.2.3.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        link = tarfile.TarInfo("prefstream-1.2.3/prefstream/scoring")
        link.type, link.linkname = tarfile.SYMTYPE, "../scoring"
        archive.addfile(link)
    found = list(faults(sdist, "1.2.3"))
    assert "prefstream/scoring is no file, nor a link to one" in found[0]
    assert len(found) == 1 + len(NEEDED)


def test_a_link_to_a_file_that_the_sdist_has_is_none_to_a_room(tmp_path: Path) -> None:
    sdist = tmp_path / "prefstream-1.2.3.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for name in (*WHOLE, "deploy/board.json"):
            archive.addfile(tarfile.TarInfo(f"prefstream-1.2.3/{name}"))
        link = tarfile.TarInfo("prefstream-1.2.3/deploy/chart/board.json")
        link.type, link.linkname = tarfile.SYMTYPE, "../board.json"
        archive.addfile(link)
    assert list(faults(sdist, "1.2.3")) == []


# --- the workflow --------------------------------------------------------------------------------------------------


def test_a_job_may_do_what_it_must_and_no_more() -> None:
    assert WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "ci": {"contents": "read"},
        "build": {"contents": "read"},
        "image": {"contents": "read", "packages": "write"},
        "pypi": {"id-token": "write"},
        "page": {"contents": "write"},
    }
    assert "secrets." not in TEXT


def test_it_begins_with_a_tag_that_is_a_version() -> None:
    # YAML 1.1 takes `on` for true.
    assert WORKFLOW[True] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}


def test_nothing_is_published_before_ci_and_before_what_was_built_was_tried() -> None:
    assert JOBS["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert "workflow_call" in yaml.safe_load((WORKFLOWS / "ci.yml").read_text(encoding="utf-8"))[True]
    assert {"ci", "build"} <= set(JOBS["image"]["needs"]) & set(JOBS["pypi"]["needs"])
    commands = [step["run"] for step in JOBS["build"]["steps"] if "run" in step]
    for command in ("check --tag", "twine check --strict dist/*", "check dist/*", "try dist/*"):
        assert sum(command in line for line in commands) == 1


def test_who_publishes_runs_no_code_of_the_project() -> None:
    for name in ("pypi", "page"):
        assert not any(
            "checkout" in step.get("uses", "") or "pip" in step.get("run", "") for step in JOBS[name]["steps"]
        )


def test_no_expression_stands_in_a_script() -> None:
    scripts = [step["run"] for job in JOBS.values() for step in job.get("steps", ()) if "run" in step]
    assert scripts
    assert [script for script in scripts if "${{" in script] == []


def test_its_actions_are_pinned_as_those_of_ci_are() -> None:
    uses = [use for use in re.findall(r"uses: (.+)", TEXT) if not use.startswith("./")]
    assert [use for use in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []
    both = set(uses + re.findall(r"uses: (.+)", (WORKFLOWS / "ci.yml").read_text(encoding="utf-8")))
    assert len({use.partition("@")[0] for use in both}) == len(both)
