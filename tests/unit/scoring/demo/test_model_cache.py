"""Converting GGUF files for real, on a Llama of one layer: what comes out, and what crashes and races leave behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prefstream.scoring.demo.convert import RECIPE, ConversionRequest, convert
from prefstream.scoring.demo.model_cache import SourceModel, default_cache_dir, is_prepared, prepare_models
from prefstream.scoring.errors import LoadError
from tests.support.gguf_files import PAD, SPECIALS, write_tiny_llama
from tests.support.models import make_tiny_base

# Converts in another process: `python -c DRIVER gguf-file cache-folder`.
DRIVER = """
import sys
from pathlib import Path
from tests.unit.scoring.demo.test_model_cache import describe
from prefstream.scoring.demo.model_cache import prepare_models
prepare_models([describe(Path(sys.argv[1]))], Path(sys.argv[2]), say=lambda line: print(line, flush=True))
"""


def describe(file: Path, **changes: object) -> SourceModel:
    """The model in a GGUF file that lies somewhere already."""
    fields: dict[str, object] = {
        "name": "tiny",
        "folder": "tiny-1.0",
        "model_type": "llama",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "pad_token": PAD,
        "special_tokens": SPECIALS,
        "notice": "Tiny is nobody's.",
        "disk_bytes": 1_000_000,
        "fetch": lambda _scratch, _say: file,
        **changes,
    }
    return SourceModel(**fields)  # type: ignore[arg-type]


def _in_another_process(file: Path, cache: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[4]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(file), str(cache)], env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


class Converted(NamedTuple):
    """What a first preparation makes, and what it told the user meanwhile."""

    folder: Path
    told: list[str]
    progress: list[tuple[str, float]]


@pytest.fixture(scope="module")
def converted(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    told: list[str] = []
    progress: list[tuple[str, float]] = []
    folders = prepare_models(
        [describe(tiny_gguf)],
        tmp_path_factory.mktemp("cache"),
        say=told.append,
        on_progress=lambda *said: progress.append(said),
    )
    return Converted(folders["tiny"], told, progress)


def test_a_converted_model_pads_with_a_token_that_ends_no_turn(converted: Converted) -> None:
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted.folder)
    assert tokenizer.pad_token == PAD
    assert AutoConfig.from_pretrained(converted.folder).pad_token_id == tokenizer.pad_token_id == 0


def test_digits_are_split_as_the_gguf_file_says(converted: Converted) -> None:
    """Two spaces before a number stay together only if the digit is split off before the spaces are."""
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(converted.folder).tokenize("a  12") == ["a", "ĠĠ", "1", "2"]


def test_the_added_tokens_are_named_in_the_tokenizers_settings_as_well(converted: Converted) -> None:
    """So that transformers reads tokenizer.json once less."""
    in_settings = json.loads((converted.folder / "tokenizer_config.json").read_bytes())["added_tokens_decoder"]
    in_tokenizer = json.loads((converted.folder / "tokenizer.json").read_bytes())["added_tokens"]
    assert len(in_tokenizer) >= len(SPECIALS)
    assert [{"id": int(index), **token} for index, token in in_settings.items()] == in_tokenizer


def test_the_first_preparation_shows_the_licence_and_the_place(converted: Converted) -> None:
    folder, told, _ = converted
    assert told[0] == "Tiny is nobody's."
    assert str(folder) in told[-1]


def test_how_far_the_conversion_is_is_told_to_its_end(converted: Converted) -> None:
    shares = [share for name, share in converted.progress if name == "tiny"]
    assert len(shares) == len(converted.progress)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_nothing_but_the_model_and_its_lock_stays_in_the_cache(converted: Converted) -> None:
    assert sorted(path.name for path in converted.folder.parent.iterdir()) == [".tiny-1.0.lock", "tiny-1.0"]


def test_the_files_can_be_read_by_whom_the_umask_lets(converted: Converted) -> None:
    modes = {file.stat().st_mode & 0o777 for file in converted.folder.iterdir()}
    assert modes == {converted.folder.stat().st_mode & 0o666}


def test_a_prepared_model_is_not_fetched_again(converted: Converted, tiny_gguf: Path) -> None:
    def fail(_scratch: Path, _say: object) -> Path:
        raise AssertionError("fetched again")

    model = describe(tiny_gguf, fetch=fail)
    cache = converted.folder.parents[1]
    assert prepare_models([model], cache, say=fail) == {"tiny": converted.folder}  # type: ignore[arg-type]


def make_older(folder: Path) -> None:
    """Take away what tells the recipe, and write the tokenizer as it was written before there was one."""
    (folder / RECIPE).unlink()
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_bytes()), indent=2))
    receipt = json.loads((folder / "prefstream.json").read_bytes())
    receipt["files"] = {name: (folder / name).stat().st_size for name in receipt["files"] if name != RECIPE}
    (folder / "prefstream.json").write_text(json.dumps(receipt))


def test_of_an_older_conversion_the_tokenizer_is_written_anew_and_nothing_is_fetched(
    tmp_path: Path, tiny_gguf: Path
) -> None:
    def fail(_scratch: Path, _say: object) -> Path:
        raise AssertionError("fetched again")

    model = describe(tiny_gguf)
    folder = prepare_models([model], tmp_path, say=lambda _line: None)["tiny"]
    today = {file.name: file.read_bytes() for file in folder.iterdir()}
    make_older(folder)
    assert is_prepared(model, tmp_path)
    told: list[str] = []
    prepare_models([describe(tiny_gguf, fetch=fail)], tmp_path, say=told.append)
    assert "an older version converted it" in told[0]
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == today
    assert sorted(path.name for path in folder.parent.iterdir()) == [".tiny-1.0.lock", "tiny-1.0"]
    prepare_models([model], tmp_path, say=pytest.fail)


def test_what_an_older_version_converted_is_used_as_it_is_where_there_is_no_room(
    tmp_path: Path, tiny_gguf: Path
) -> None:
    folder = prepare_models([describe(tiny_gguf)], tmp_path, say=lambda _line: None)["tiny"]
    make_older(folder)
    older = {file.name: file.read_bytes() for file in folder.iterdir()}
    told: list[str] = []
    assert prepare_models([describe(tiny_gguf, disk_bytes=10**18)], tmp_path, say=told.append) == {"tiny": folder}
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == older
    assert told[0].startswith("tiny: stays as an older version converted it (preparing tiny-1.0 takes up to ")


@pytest.mark.parametrize("damage", ["truncated", "missing", "no receipt", "other receipt", "garbage receipt"])
def test_a_damaged_folder_does_not_count_as_prepared(tmp_path: Path, tiny_gguf: Path, damage: str) -> None:
    model = describe(tiny_gguf)
    folder = tmp_path / "models" / model.folder
    _pretend_prepared(model, folder)
    assert is_prepared(model, tmp_path)
    receipt = folder / "prefstream.json"
    match damage:
        case "truncated":
            (folder / "model.safetensors").write_bytes(b"weigh")
        case "missing":
            (folder / "model.safetensors").unlink()
        case "no receipt":
            receipt.unlink()
        case "other receipt":
            receipt.write_text(receipt.read_text().replace(model.sha256, "0" * 64))
        case "garbage receipt":
            receipt.write_bytes(b"[1, \xff")
    assert not is_prepared(model, tmp_path)


def _pretend_prepared(model: SourceModel, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    receipt = {"conversion": 1, "gguf_sha256": model.sha256, "files": {"model.safetensors": 7}}
    (folder / "prefstream.json").write_text(json.dumps(receipt))


def test_a_kill_in_the_middle_leaves_nothing_that_looks_complete(tmp_path: Path, tiny_gguf: Path) -> None:
    process = _in_another_process(tiny_gguf, tmp_path)
    assert process.stdout is not None
    with process:
        while "converting" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "models" / "tiny-1.0").exists()


def test_two_processes_at_once_convert_once_and_replace_what_was_damaged(tmp_path: Path, tiny_gguf: Path) -> None:
    model = describe(tiny_gguf)
    store = tmp_path / "models"
    _pretend_prepared(model, store / model.folder)
    (store / model.folder / "model.safetensors").unlink()
    (store / f".{model.folder}.abc.tmp" / "model").mkdir(parents=True)  # of a process that was killed
    processes = [_in_another_process(tiny_gguf, tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(output.count("converting") for output in outputs) == [0, 1]
    assert is_prepared(model, tmp_path)
    assert sorted(path.name for path in store.iterdir()) == [".tiny-1.0.lock", "tiny-1.0"]


def test_an_interruption_ends_the_conversion_process(tmp_path: Path, tiny_gguf: Path) -> None:
    """Ctrl-C reaches only the parent here; it must take its child and its scratch folder along."""
    process = _in_another_process(tiny_gguf, tmp_path)
    assert process.stdout is not None
    with process:
        while "converting" not in process.stdout.readline():
            assert process.poll() is None
        time.sleep(0.2)  # the child is up; the parent waits for it
        process.send_signal(signal.SIGINT)
    assert process.returncode != 0
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".tiny-1.0.lock"]


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        ({"special_tokens": (*SPECIALS, "<start_of_turn>")}, "lacks the special tokens <start_of_turn>"),
        ({"model_type": "gemma3_text"}, "converted to model type llama, expected gemma3_text"),
    ],
)
def test_a_model_other_than_the_expected_one_is_refused(
    tmp_path: Path, tiny_gguf: Path, expectation: dict[str, Any], message: str
) -> None:
    fields = {"model_type": "llama", "pad_token": PAD, "special_tokens": SPECIALS, **expectation}
    with pytest.raises(LoadError, match=message):
        convert(ConversionRequest(source=str(tiny_gguf), folder=str(tmp_path), **fields))


def test_a_tokenizer_with_a_token_that_has_no_embedding_is_refused(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    source, result = tmp_path / "source", tmp_path / "result"
    make_tiny_base(source, "embeddinggemma")
    result.mkdir()
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_tokens(["onemore"])
    tokenizer.save_pretrained(source)
    request = ConversionRequest(str(source), str(result), "gemma3_text", "<pad>", ())
    with pytest.raises(LoadError, match="1 tokens of the tokenizer have no embedding"):
        convert(request)


def test_a_file_that_is_no_gguf_is_refused_in_one_line(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.gguf"
    garbage.write_bytes(b"not a model" * 100)
    with pytest.raises(LoadError, match=r"converting tiny-1\.0 failed: ") as caught:
        prepare_models([describe(garbage)], tmp_path, say=lambda _line: None)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_noticed_before_anything_is_fetched(tmp_path: Path, tiny_gguf: Path) -> None:
    model = describe(tiny_gguf, disk_bytes=10**18)
    with pytest.raises(LoadError, match="PREFSTREAM_CACHE_DIR"):
        prepare_models([model], tmp_path, say=lambda _line: None)


def test_a_cache_that_cannot_be_written_is_an_error_with_the_remedy(tmp_path: Path, tiny_gguf: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LoadError, match="PREFSTREAM_CACHE_DIR"):
        prepare_models([describe(tiny_gguf)], tmp_path / "file", say=lambda _line: None)


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFSTREAM_CACHE_DIR", str(tmp_path))
    assert default_cache_dir() == tmp_path


def test_the_cache_is_the_users_own_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFSTREAM_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    assert default_cache_dir() == Path("/somewhere/cache/prefstream")
