"""A cache of base models that are fetched and converted at first use.

The cache folder holds, for each model, a folder that is either complete or absent: it is made under another name,
written through to the disk and renamed. Processes that start at the same time wait for one another, and what a
killed one left behind is removed by the next. A model that an older version converted is as good, and read more slowly:
its tokenizer is written anew, where there is room and the folder may be written to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

import platformdirs
from filelock import Timeout, UnixFileLock

from prefstream.scoring.atomic_file import sync, write_json
from prefstream.scoring.demo.convert import RECIPE, ConversionRequest
from prefstream.scoring.demo.weights import Say, parts_folder
from prefstream.scoring.errors import LoadError, MissingExtraError
from prefstream.scoring.extras import is_installed

Progress: TypeAlias = Callable[[str, float], None]
"""Takes the name of a model and the share of its conversion that is done, 0 to 1."""

CACHE_VARIABLE: Final = "PREFSTREAM_CACHE_DIR"
"""Environment variable that moves the cache elsewhere."""

_PACKAGES: Final = Path(__file__).absolute().parents[3]
"""Where `prefstream` lies; links to its rooms are not followed."""

_RECEIPT: Final = "prefstream.json"
_CONVERSION: Final = 1
"""Raise it when what `convert` wrote before from the same file will no longer do: cached folders are then fetched and
made anew. Where it only could be better, raise `RECIPE`."""

_CONVERSION_TIMEOUT_S: Final = 1200.0
"""Takes under a minute here; a machine twenty times slower still gets there, a hung one is noticed."""

_LOCK_TIMEOUT_S: Final = 2 * (_CONVERSION_TIMEOUT_S + 60.0)
"""Another process may convert both models while this one waits."""

_POLL_S: Final = 0.1
"""How often to look for a finished process or a free lock: unnoticed beside a conversion, free for the CPU."""


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A base model to convert and keep.

    Attributes:
        name: of the judge that it becomes, for messages.
        folder: name of its folder in the cache.
        model_type: what transformers calls its architecture.
        sha256: of the file of weights that it is converted from.
        pad_token: token to pad with.
        special_tokens: tokens that its template relies on.
        notice: its origin and licence, shown before it is fetched.
        disk_bytes: most that preparing it takes on the disk, downloads included.
        fetch: puts what is to be converted into a scratch folder, or finds it; returns its path.
        needs: module that reads what is fetched, where judges alone don't need it.
    """

    name: str
    folder: str
    model_type: str
    sha256: str
    pad_token: str
    special_tokens: tuple[str, ...]
    notice: str
    disk_bytes: int
    fetch: Callable[[Path, Say], Path]
    needs: str | None = "gguf"


def default_cache_dir() -> Path:
    """`PREFSTREAM_CACHE_DIR`, else prefstream's folder in the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("prefstream")


def prepare_models(
    models: Sequence[SourceModel],
    cache_dir: Path | None = None,
    *,
    say: Say,
    on_progress: Progress = lambda _name, _share: None,
) -> dict[str, Path]:
    """Have every model converted, in the cache; what is there already, by the recipe of today, is not touched.

    The conversions run at the same time, each in a process of its own. Safe to call from several processes at once.

    Args:
        models: what to prepare.
        cache_dir: where the converted models are kept; by default as `default_cache_dir` says.
        say: told what is being done, a line at a time.
        on_progress: hears the name of a model that is being converted, and the share of it that is done, 0 to 1.

    Returns:
        Name to folder, in the order of `models`.

    Raises:
        LoadError: a model can't be had; the message says what to do.
        MissingExtraError: what converts one is not installed.
    """
    store = _store(cache_dir)
    older = [model for model in models if is_prepared(model, cache_dir) and not _is_of_today(model, store)]
    missing = [model for model in models if not is_prepared(model, cache_dir)]
    if missing:
        for model in missing:  # before anything is downloaded
            if model.needs is not None and not is_installed(model.needs):
                raise MissingExtraError("the demo's panel", ("demo",), model.needs)
        try:
            _prepare(missing, store, say, on_progress)
        except OSError as error:
            raise LoadError(
                f"models can't be written to {store} ({error.strerror or error}); "
                f"make room or give another folder in {CACHE_VARIABLE}"
            ) from None
    if older:
        try:
            _prepare(older, store, say, on_progress)
        except (OSError, LoadError) as error:
            say(f"{', '.join(model.name for model in older)}: stays as an older version converted it ({error})")
    return {model.name: store / model.folder for model in models}


def is_prepared(model: SourceModel, cache_dir: Path | None = None) -> bool:
    """Whether a model is in the cache, complete, and such that this version of prefstream can use it."""
    return bool(_files(model, _store(cache_dir)))


def _files(model: SourceModel, store: Path) -> dict[str, int]:
    """The files of a model that is in the cache, complete, with their sizes; none of one that is not."""
    folder = store / model.folder
    try:
        receipt = json.loads((folder / _RECEIPT).read_text(encoding="utf-8"))
        sizes = {name: (folder / name).stat().st_size for name in receipt["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return sizes if receipt == _receipt(model, sizes) else {}


def _is_of_today(model: SourceModel, store: Path) -> bool:
    return RECIPE in _files(model, store)


def model_folder(model: SourceModel, cache_dir: Path | None = None) -> Path:
    """Where a model is kept, once it is prepared."""
    return _store(cache_dir) / model.folder


def _store(cache_dir: Path | None) -> Path:
    return (cache_dir or default_cache_dir()).resolve() / "models"


def _receipt(model: SourceModel, sizes: dict[str, int]) -> dict[str, object]:
    # The key is older than sources that are no GGUF files; another would have every cache made anew.
    return {"conversion": _CONVERSION, "gguf_sha256": model.sha256, "files": sizes}


def _prepare(models: Sequence[SourceModel], store: Path, say: Say, on_progress: Progress) -> None:
    store.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        started: list[tuple[SourceModel, _Conversion]] = []
        # Locks are taken in the order of `models`, the same in every process: no two can wait for each other.
        for model in models:
            stack.enter_context(_exclusive(store / f".{model.folder}.lock", model, say))
            if _is_of_today(model, store):
                continue  # by the process that held the lock
            _remove_leftovers(model, store)
            _check_space(model, store)
            scratch = Path(stack.enter_context(_scratch(model, store)))
            older = tuple(_files(model, store))
            if older:
                source = store / model.folder
                say(f"{model.name}: an older version converted it; writing its tokenizer anew, once (under a minute)")
            else:
                say(model.notice)
                source = model.fetch(scratch, say)
                say(f"{model.name}: converting the weights, once (under a minute)")
            started.append((model, stack.enter_context(_Conversion(model, source, scratch, older))))
        while started:
            for model, conversion in [pair for pair in started if pair[1].is_done()]:
                _publish(model, conversion.result(), store / model.folder)
                shutil.rmtree(parts_folder(conversion.scratch), ignore_errors=True)
                say(f"{model.name}: ready in {store / model.folder} ({conversion.elapsed_s:.0f} s)")
                started.remove((model, conversion))
                on_progress(model.name, 1.0)
            for model, conversion in started:
                on_progress(model.name, conversion.share)
            time.sleep(_POLL_S)


class _Conversion:
    """A running conversion process; leaving the context ends it."""

    def __init__(self, model: SourceModel, source: Path, scratch: Path, converted: tuple[str, ...]) -> None:
        self.scratch = scratch
        self._model = model
        self._result = scratch / "model"
        self._result.mkdir()
        self._progress = scratch / "progress"
        self._stderr = scratch / "stderr"
        request = ConversionRequest(
            source=str(source),
            folder=str(self._result),
            model_type=model.model_type,
            pad_token=model.pad_token,
            special_tokens=model.special_tokens,
            converted=converted,
        )
        # -P: a file torch.py in the user's working folder must not be imported; our own package may lie outside
        # site-packages, so its place is passed on. One thread: two conversions share the cores, and neither gains
        # from more.
        search = os.pathsep.join([str(_PACKAGES), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": search.rstrip(os.pathsep), "OMP_NUM_THREADS": "1"}
        self._started_s = time.monotonic()
        with self._progress.open("wb") as progress, self._stderr.open("wb") as stderr:
            # Our own interpreter and module; the request is JSON of our own paths.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "prefstream.scoring.demo.convert", request.to_json()],
                stdin=subprocess.DEVNULL,
                stdout=progress,
                stderr=stderr,
                env=environment,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def elapsed_s(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self._started_s

    @property
    def share(self) -> float:
        """What it says that it has done, 0 to 1."""
        *_, last = [0.0, *map(float, self._progress.read_text(encoding="ascii").split("\n")[:-1])]
        return last

    def is_done(self) -> bool:
        """Whether the process has ended, well or not.

        Raises:
            LoadError: it takes too long.
        """
        done = self._process.poll() is not None
        if not done and self.elapsed_s > _CONVERSION_TIMEOUT_S:
            raise LoadError(
                f"converting {self._model.folder} took over {_CONVERSION_TIMEOUT_S:.0f} s and was given up; "
                "try again when the machine is less busy"
            )
        return done

    def result(self) -> Path:
        """The folder that holds the converted model, once the process has ended.

        Raises:
            LoadError: it failed.
        """
        code = self._process.wait()
        if code != 0:
            raise LoadError(f"converting {self._model.folder} failed: {self._reason(code)}")
        return self._result

    def _reason(self, code: int) -> str:
        if code < 0:
            return f"the process was ended by signal {-code}; 9 often means out of memory (it takes up to 2.5 GB)"
        lines = self._stderr.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the process ended with code {code}"


def _publish(model: SourceModel, result: Path, target: Path) -> None:
    """Write the result through to the disk and give it its name: from then on it is complete, before it is absent."""
    mode = result.stat().st_mode & 0o666  # what the user's umask leaves; safetensors writes for the owner alone
    for file in sorted(result.iterdir()):
        file.chmod(mode)
    sizes = {file.name: file.stat().st_size for file in sorted(result.iterdir())}
    for file in result.iterdir():
        sync(file)
    write_json(result / _RECEIPT, _receipt(model, sizes))
    if target.exists():  # incomplete, or of an older conversion
        target.rename(result.parent / "replaced")
    result.rename(target)
    sync(target.parent)


@contextmanager
def _exclusive(path: Path, model: SourceModel, say: Say) -> Iterator[None]:
    """Hold a lock that the kernel gives back when its process dies, however it dies."""
    lock = UnixFileLock(path, poll_interval=_POLL_S, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f"{model.name}: another process is preparing it; waiting")
        try:
            lock.acquire(timeout=_LOCK_TIMEOUT_S)
        except Timeout:
            raise LoadError(
                f"another process has held {path} for over {_LOCK_TIMEOUT_S:.0f} s; "
                f"end it, or give another folder in {CACHE_VARIABLE}"
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _scratch(model: SourceModel, store: Path) -> Iterator[str]:
    """A folder beside the target, since only within one file system is a rename atomic."""
    with tempfile.TemporaryDirectory(prefix=f".{model.folder}.", suffix=".tmp", dir=store) as folder:
        yield folder


def _remove_leftovers(model: SourceModel, store: Path) -> None:
    """Delete what processes that were killed left behind; the lock says that none of them lives."""
    for folder in store.glob(f".{model.folder}.*.tmp"):
        shutil.rmtree(folder, ignore_errors=True)


def _check_space(model: SourceModel, store: Path) -> None:
    free = shutil.disk_usage(store).free
    if free < model.disk_bytes:
        raise LoadError(
            f"preparing {model.folder} takes up to {model.disk_bytes / 1e9:.1f} GB in {store}, {free / 1e9:.1f} GB "
            f"are free; make room or give another folder in {CACHE_VARIABLE}"
        )
