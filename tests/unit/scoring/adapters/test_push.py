"""Pushing an adapter to a hub: what goes there, what stays here, and refusals that come before the training."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from prefstream.consumer.cli import app
from prefstream.scoring.adapters.push import Repository, hub_card, read_record
from prefstream.scoring.adapters.receipt import CARD, PREDICTIONS, RECEIPT
from prefstream.scoring.errors import ConfigError, LoadError, PushError
from prefstream.scoring.loading.adapter import CONFIG
from prefstream.scoring.loading.adapter_record import RECORD, WEIGHTS, AdapterRecord
from tests.support.features_judges import make_features_adapter, make_features_recipe
from tests.support.hub import OWNER, READER, TOKEN, Hub, ask_only, serving_hub
from tests.support.hub import Repository as Served
from tests.support.labelled_pairs import make_rows, write_rows
from tests.support.models import make_tiny_judge

NAME = f"{OWNER}/judge"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving_hub() as serving:
        ask_only(serving, tmp_path / "cache", monkeypatch)
        yield serving


@pytest.fixture(scope="module")
def lexical(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_features_adapter(tmp_path_factory.mktemp("trained") / "lexical")
    (folder / "run").mkdir()
    for stays in (folder / PREDICTIONS, folder / "run" / "optimizer.pt"):
        stays.write_text("nobody's business")
    return folder


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(make_tiny_judge(tmp_path_factory.mktemp("tiny"), "llama", "pointwise")["adapter"])


def pushed_files(hub: Hub, commit: str) -> dict[str, bytes]:
    return hub.repositories[NAME].commits[commit]


def test_what_serving_reads_goes_there_in_one_commit_and_the_rest_stays(hub: Hub, lexical: Path) -> None:
    commit = Repository.prepare(NAME, public=False).push(lexical)
    files = pushed_files(hub, commit)
    assert set(files) == {WEIGHTS, RECORD, RECEIPT, CARD}
    assert {name: files[name] for name in (WEIGHTS, RECORD, RECEIPT)} == {
        name: (lexical / name).read_bytes() for name in (WEIGHTS, RECORD, RECEIPT)
    }
    assert hub.repositories[NAME].private
    assert len(hub.repositories[NAME].messages) == 1
    assert hub.repositories[NAME].messages[0].startswith("A features judge, by prefstream ")


def test_an_adapter_with_a_base_goes_there_with_what_loads_it_and_its_calibration(
    hub: Hub, lora: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(lora, tmp_path / "calibrated"))
    fields = json.loads((folder / RECORD).read_text())
    calibrated = {**fields, "calibration": {"temperature": 1.5}, "base": "google/gemma-2-9b-it"}
    (folder / RECORD).write_text(json.dumps(calibrated))
    commit = Repository.prepare(NAME, public=True).push(folder, "calibrated")
    files = pushed_files(hub, commit)
    assert {WEIGHTS, CONFIG, RECORD, CARD} <= set(files)
    assert json.loads(files[RECORD])["calibration"]["temperature"] == 1.5
    head = yaml.safe_load(files[CARD].decode().split("---\n")[1])
    assert (head["base_model"], head["library_name"]) == ("google/gemma-2-9b-it", "peft")
    assert (hub.repositories[NAME].private, hub.repositories[NAME].messages) == (False, ["calibrated"])


def test_the_folder_of_a_base_is_not_told_to_a_hub(lora: Path) -> None:
    record = AdapterRecord.read(lora).model_copy(update={"base": "folder-of-mine"})
    assert b"folder-of-mine" not in hub_card(lora, record)


def test_a_card_that_has_a_head_keeps_it_but_for_places_of_this_machine(lexical: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(lexical, tmp_path / "own"))
    (folder / CARD).write_text("---\nlicense: mit\nbase_model: /home/me/base\n---\n# Mine\n\n---\nThe end\n")
    _, head, card = hub_card(folder, read_record(folder)).decode().split("---\n", 2)
    fields = yaml.safe_load(head)
    assert (fields["license"], fields["pipeline_tag"], "base_model" in fields) == ("mit", "text-classification", False)
    assert card == "\n# Mine\n\n---\nThe end\n"


def test_what_is_no_whole_adapter_is_not_pushed(hub: Hub, lexical: Path, tmp_path: Path) -> None:
    destination = Repository.prepare(NAME, public=False)
    broken = Path(shutil.copytree(lexical, tmp_path / "broken"))
    (broken / WEIGHTS).unlink()
    with pytest.raises(LoadError, match=r"holds no \*\.safetensors file"):
        destination.push(broken)
    with pytest.raises(LoadError, match=r"has no prefstream\.json"):
        destination.push(tmp_path)
    assert hub.repositories[NAME].commits == {}


# --- refusals ------------------------------------------------------------------------------------------------------


def test_nothing_is_asked_without_a_token(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(hub, tmp_path / "cache", monkeypatch, token=None)
    with pytest.raises(ConfigError, match=r"^someone/judge: pushing needs a token .* set HF_TOKEN"):
        Repository.prepare(NAME, public=False)
    assert hub.requests == []


@pytest.mark.parametrize("token", [READER, "hf_unknown"])
@pytest.mark.parametrize("there", [True, False], ids=["there", "new"])
def test_a_token_that_may_not_write_is_refused(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, there: bool
) -> None:
    if there:
        hub.repositories[NAME] = Served(private=False)
    ask_only(hub, tmp_path / "cache", monkeypatch, token=token)
    with pytest.raises(ConfigError, match=r"the hub refuses \(40[13]\): the token may not write there") as caught:
        Repository.prepare(NAME, public=True)
    assert token not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_repositories_of_others_are_refused(hub: Hub) -> None:
    with pytest.raises(ConfigError, match="may not write there"):
        Repository.prepare("others/judge", public=False)
    assert hub.repositories == {}


def test_what_is_public_already_is_not_taken_for_private(hub: Hub) -> None:
    hub.repositories[NAME] = Served(private=False)
    with pytest.raises(ConfigError, match="is public: give --public"):
        Repository.prepare(NAME, public=False)
    assert not Repository.prepare(NAME, public=True).private


def test_what_is_private_stays_private(hub: Hub) -> None:
    hub.repositories[NAME] = Served(private=True)
    assert Repository.prepare(NAME, public=True).private


@pytest.mark.parametrize("name", ["judge", "some one/judge", "a/b/c", "-/--"])
def test_a_name_of_no_repository_is_refused(hub: Hub, name: str) -> None:
    with pytest.raises(ConfigError, match=r"is no (repository|name) of a hub"):
        Repository.prepare(name, public=False)
    assert hub.repositories == {}


def test_a_hub_that_is_away_may_be_asked_again(hub: Hub) -> None:
    hub.failures["/repos/create"] = 500
    with pytest.raises(PushError, match=r"the hub can't be asked .*; try again") as caught:
        Repository.prepare(NAME, public=False)
    assert "\n" not in str(caught.value)


# --- the commands --------------------------------------------------------------------------------------------------


def call(*words: str | Path) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "300"})
    return result.exit_code, result.output, result.exception


@pytest.fixture
def training(tmp_path: Path) -> tuple[str | Path, ...]:
    train = write_rows(tmp_path / "train.jsonl", make_rows(48, prompts=12))
    recipe = tmp_path / "lexical.yaml"
    recipe.write_text(yaml.safe_dump(make_features_recipe().model_dump(mode="json")))
    return ("finetune", train, "-r", recipe, "-o", tmp_path / "trained", "--push-to-hub", NAME)


def test_a_judge_is_trained_and_pushed_and_the_token_is_told_to_nobody_else(
    hub: Hub, training: tuple[str | Path, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        code, said, _ = call(*training)
    assert code == 0, said
    [commit] = hub.repositories[NAME].commits
    assert f"adapter: {NAME}, adapter_revision: {commit}" in " ".join(said.split())
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert TOKEN not in said + caplog.text
    assert not any(TOKEN.encode() in content for content in [*written, *pushed_files(hub, commit).values()])


def test_who_may_not_push_is_told_before_the_training(
    hub: Hub, training: tuple[str | Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_only(hub, tmp_path / "cache", monkeypatch, token=READER)
    assert isinstance(call(*training)[2], ConfigError)
    assert not (tmp_path / "trained" / WEIGHTS).exists()


def test_an_adapter_that_could_not_be_pushed_is_whole_and_pushed_by_the_command_that_is_told(
    hub: Hub, training: tuple[str | Path, ...], tmp_path: Path
) -> None:
    hub.failures["/commit/main"] = 400
    _, _, error = call(*training)
    assert isinstance(error, PushError)
    command = str(error).partition(": prefstream ")[2]
    assert command == f"adapters push {tmp_path / 'trained'} {NAME}"
    hub.failures.clear()
    code, said, _ = call(*command.split())
    assert (code, "private" in said) == (0, True)
    assert len(hub.repositories[NAME].commits) == 1


def test_public_alone_says_nothing(training: tuple[str | Path, ...]) -> None:
    _, _, error = call(*training[:-2], "--public")
    assert "--public is for --push-to-hub" in str(error)
