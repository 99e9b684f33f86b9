"""Adapters of a hub: pinned by their commit, or by a name that is looked up, told, and stands in what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from prefstream import PanelConfig, load_panel
from prefstream.schemas import Battle, Provenance
from prefstream.scoring.config import FeaturesJudgeConfig
from prefstream.scoring.errors import ConfigError, LoadError
from prefstream.scoring.loading.sources import fetched_folder, local_folder
from prefstream.scoring.panel.combine import PanelAnswer
from tests.support.features_judges import make_features_adapter
from tests.support.hub import READER, Hub, Repository, ask_only, serving_hub
from tests.support.models import make_tiny_judge

BATTLE = Battle(id="1", prompt="Is it so?", response_a="correct 1", response_b="wrong 2")
NAME = "someone/judge"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving_hub() as serving:
        ask_only(serving, tmp_path / "cache", monkeypatch, token=READER)
        yield serving


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two of them, of which the second learnt from other pairs."""
    folder = tmp_path_factory.mktemp("trained")
    return make_features_adapter(folder / "old"), make_features_adapter(folder / "new", pairs=60)


def entry(adapter: str | Path, **settings: Any) -> dict[str, Any]:
    return {"name": "lexical", "kind": "features", "adapter": str(adapter), **settings}


def answered(judge: dict[str, Any]) -> tuple[tuple[float, ...], Provenance, str]:
    """Probabilities of a battle, by which judge, of which panel."""
    with load_panel(PanelConfig.model_validate({"judges": [judge]})) as panel:
        [answer] = panel.score([BATTLE])
    assert isinstance(answer, PanelAnswer)
    [opinion] = answer.judges
    assert opinion.provenance is not None
    assert answer.panel is not None
    said = answer.probabilities
    return (said.model_a, said.model_b, said.tie), opinion.provenance, answer.panel.hash


def test_a_commit_is_that_commit_whatever_came_later(hub: Hub, adapters: tuple[Path, Path]) -> None:
    old, new = adapters
    commit = hub.publish(NAME, old)
    hub.publish(NAME, new)
    with capture_logs() as logs:
        said, provenance, panel = answered(entry(NAME, adapter_revision=commit))
    assert (provenance.adapter, provenance.adapter_revision) == (NAME, commit)
    assert logs == []
    assert (said, panel) == answered(entry(old))[::2], "names of what is hashed don't make it another panel"


@pytest.mark.parametrize("name", ["main", "v1.0", "refs/pr/1"])
def test_a_name_that_may_move_is_looked_up_told_and_stands_in_the_answer(
    hub: Hub, adapters: tuple[Path, Path], name: str
) -> None:
    commit = hub.publish(NAME, adapters[0])
    hub.repositories[NAME].names[name] = commit
    with capture_logs() as logs:
        _, provenance, _ = answered(entry(NAME, adapter_revision=name))
    assert provenance.adapter_revision == commit
    [told] = logs
    assert told["log_level"] == "warning"
    assert (told["judge"], told["adapter_revision"], told["commit"]) == ("lexical", name, commit)


def test_a_name_that_moved_is_another_adapter_at_the_next_start(hub: Hub, adapters: tuple[Path, Path]) -> None:
    found = []
    for folder in adapters:
        commit = hub.publish(NAME, folder)
        _, provenance, panel = answered(entry(NAME, adapter_revision="main"))
        assert provenance.adapter_revision == commit
        found.append(panel)
    assert found[0] != found[1]


def test_a_name_is_the_commit_that_was_fetched_where_the_hub_is_away(
    hub: Hub, adapters: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.publish(NAME, adapters[0])
    answered(entry(NAME, adapter_revision="main"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.publish(NAME, adapters[1])
    assert answered(entry(NAME, adapter_revision="main"))[1].adapter_revision == commit


def test_a_lora_adapter_of_a_hub_is_named_in_the_answer(hub: Hub, tmp_path: Path) -> None:
    judge = make_tiny_judge(tmp_path / "tiny", "llama", "pointwise")
    commit = hub.publish(NAME, Path(judge["adapter"]))
    local, (said, provenance, _) = answered(judge), answered({**judge, "adapter": NAME, "adapter_revision": "main"})
    assert (provenance.adapter, provenance.adapter_revision) == (NAME, commit)
    assert (local[1].adapter, local[1].adapter_revision) == (None, None)
    assert said == local[0]


def test_what_was_fetched_counts_as_fetched_though_its_repository_has_more(
    hub: Hub, adapters: tuple[Path, Path]
) -> None:
    commit = hub.publish(NAME, adapters[0])
    assert fetched_folder(NAME, commit) is None
    folder = local_folder(NAME, commit)
    assert not (folder / "README.md").exists()
    assert fetched_folder(NAME, commit) == folder


def test_pickled_weights_are_neither_fetched_nor_loaded(hub: Hub, adapters: tuple[Path, Path]) -> None:
    files = {path.name: path.read_bytes() for path in adapters[0].iterdir() if path.suffix == ".json"}
    hub.repositories[NAME] = Repository(private=False)
    commit = hub.repositories[NAME].commit({**files, "adapter_model.bin": b"\x80\x04."})
    with pytest.raises(LoadError, match=r"holds no \*\.safetensors file"):
        answered(entry(NAME, adapter_revision=commit))
    assert not any(request.endswith("adapter_model.bin") for request in hub.requests)


def test_a_revision_that_is_not_there_is_refused_in_one_line(hub: Hub, adapters: tuple[Path, Path]) -> None:
    hub.publish(NAME, adapters[0])
    with pytest.raises(LoadError, match=r"^someone/judge at v2: can't be fetched .*check the id, the rev") as caught:
        answered(entry(NAME, adapter_revision="v2"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("revision", ["", "../main", "a//b", "a..b", "main branch", "-v", "a\n"])
def test_what_is_no_revision_is_refused(revision: str) -> None:
    with pytest.raises(ConfigError, match="adapter_revision"):
        FeaturesJudgeConfig(name="lexical", kind="features", adapter=NAME, adapter_revision=revision)
