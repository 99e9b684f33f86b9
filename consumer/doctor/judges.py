"""Checks of the panel and its judges: everything that can be said without loading weights, or a real load."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.finding import Finding, Problem, attempt, fail, judged, ok, skipped, warn
from prefstream.consumer.doctor.judge_memory import Inspection, check_memory
from prefstream.consumer.doctor.machine import check_devices
from prefstream.consumer.doctor.memory import check_bounds
from prefstream.schemas import Battle, PrefstreamError
from prefstream.scoring.config import (
    DEMO_PANEL,
    FeaturesJudgeConfig,
    ModelJudgeConfig,
    PanelConfig,
    RemoteJudgeConfig,
    load_panel_config,
)
from prefstream.scoring.errors import MissingExtraError
from prefstream.scoring.extras import is_installed, require
from prefstream.scoring.panel.load import read_golden

if TYPE_CHECKING:
    from prefstream.scoring.judges.devices import Placement
    from prefstream.scoring.panel.panel import Panel

_FETCHED_AT_START: Final = (
    "`run` fetches it at its start (from the hub with HF_TOKEN for gated models); or give a local folder"
)

SAMPLE: Final = Battle(
    id="doctor",
    prompt=("What is the capital of Australia?",),
    response_a=("The capital of Australia is Canberra.",),
    response_b=("It is Sydney, the largest city of the country.",),
)


def examine_judges(config: StreamConfig, *, load: bool) -> Iterator[Finding]:
    """Devices, the panel, every judge, and whether all fit into memory.

    Args:
        config: names the panel file.
        load: load the panel for real and score a battle.
    """
    panel: PanelConfig | None = None

    def read() -> Finding:
        nonlocal panel
        panel = read_panel(config)
        return describe_panel(config, panel)

    finding = attempt("panel", read)
    models = _models_of(panel) if panel else []
    with_torch = (bool(models) or panel is None) and is_installed("torch")
    yield attempt("devices", lambda: check_devices(with_torch=with_torch))
    yield attempt("bounds of memory", lambda: check_bounds(config, with_torch=with_torch))
    yield finding
    if panel is not None:
        yield from _examine_models(models)
        for judge in panel.judges:
            if isinstance(judge, FeaturesJudgeConfig):
                yield attempt(f"judge {judge.name}", partial(check_features_judge, judge))
            elif isinstance(judge, RemoteJudgeConfig):
                yield attempt(f"judge {judge.name}", partial(check_remote_judge, judge))
    if load:
        if finding.state == "fail":
            yield skipped("scoring", "the panel can't be read")
        else:
            yield attempt("scoring", lambda: check_scoring(config))


def fits_beside(panel: PanelConfig, loaded: Sequence[Panel]) -> bool:
    """Whether the judges of a panel fit into the memory that is free now, beside whatever is loaded.

    What is not known, such as a judge whose files are not here yet, counts as fitting: loading it will tell.

    Args:
        panel: to be loaded.
        loaded: panels of this process; what judges share with theirs takes nothing.
    """
    models = _models_of(panel)
    if not models:
        return True
    from prefstream.scoring.loading.beside import origins_of

    return _fit(_without_shared(models, [origin.config for one in loaded for origin in origins_of(one.judges)]))


def fit_together(panel: PanelConfig, other: PanelConfig) -> bool:
    """Whether the judges of both panels fit into the memory that is free now; likewise."""
    models, others = _models_of(panel), _models_of(other)
    if models and is_installed("torch"):
        others = _without_shared(others, models)
    return _fit([*models, *(one.model_copy(update={"name": f"{one.name} of the other panel"}) for one in others)])


def _without_shared(models: list[ModelJudgeConfig], loaded: Sequence[ModelJudgeConfig]) -> list[ModelJudgeConfig]:
    """Those that would have weights of their own beside judges that are loaded."""
    from prefstream.scoring.loading.beside import can_share

    return [model for model in models if not any(can_share(model, one) for one in loaded)]


def _models_of(panel: PanelConfig) -> list[ModelJudgeConfig]:
    return [judge for judge in panel.judges if isinstance(judge, ModelJudgeConfig)]


def _fit(models: list[ModelJudgeConfig]) -> bool:
    return all(finding.check != "memory" or finding.state == "ok" for finding in _examine_models(models))


def read_panel(config: StreamConfig) -> PanelConfig:
    """The panel that `run` would use.

    Raises:
        PrefstreamError: the panel file is wrong.
    """
    return load_panel_config(config.require_panel())


def describe_panel(config: StreamConfig, panel: PanelConfig) -> Finding:
    """Who would judge.

    Raises:
        PrefstreamError: the panel's golden set can't be read.
    """
    names = ", ".join(f"{judge.name} ({judge.kind}, weight {judge.weight:g})" for judge in panel.judges)
    found = f"{config.panel}: {names}; swap {'on' if panel.swap else 'off'}"
    problems = []
    if config.panel == Path(DEMO_PANEL):
        problems.append(Problem("warn", "the demo's small judges", "for trying out only: name your own panel"))
    if panel.calibration is not None and not Path(panel.calibration).is_file():
        problems.append(
            Problem("fail", f"no file {panel.calibration}", "mend or remove `calibration` in the panel file")
        )
    if (golden := read_golden(panel)) is not None:
        found += f"; a golden set of {len(golden.answers)} battles, which --load has it answer"
    if all(judge.kind == "prior" for judge in panel.judges):
        problems.append(
            Problem("warn", "no judge reads the battles", "for load tests only: name judges with weights to score")
        )
    return judged("panel", found, problems)


def _examine_models(judges: list[ModelJudgeConfig]) -> Iterator[Finding]:
    if not judges:
        return
    try:
        require(f"judge {judges[0].name}", "judges")
    except MissingExtraError as error:
        yield fail("judges", str(error), "")
        return
    placements: dict[str, Placement] = {}
    try:
        from prefstream.scoring.judges.devices import place_judges

        placements = place_judges(judges)
    except PrefstreamError as error:
        yield fail("placement", str(error), "")
    inspections: dict[str, Inspection] = {}
    for judge in judges:
        places = [placements[replica.name] for replica in judge.replicas] if placements else []
        check = partial(check_judge, judge, places, inspections)
        yield attempt(f"judge {judge.name}", check)
    if placements:
        replicas = [replica for judge in judges for replica in judge.replicas]
        known = {
            replica.name: inspections[judge.name]
            for judge in judges
            if judge.name in inspections
            for replica in judge.replicas
        }
        yield attempt("memory", lambda: check_memory(replicas, placements, known))


def check_judge(
    judge: ModelJudgeConfig, placements: Sequence[Placement], inspections: dict[str, Inspection]
) -> Finding:
    """What a judge's files say.

    Args:
        judge: its entry in the panel file.
        placements: device and dtype of each of its replicas; none where it has none.
        inspections: gets what was found, by name.

    Raises:
        PrefstreamError: the judge can't be loaded.
    """
    from prefstream.scoring.loading.sources import fetched_folder

    check = f"judge {judge.name}"
    base = fetched_folder(judge.base, judge.revision)
    adapter = fetched_folder(judge.adapter, judge.adapter_revision) if judge.adapter else None
    if base is None or (judge.adapter and adapter is None):
        missing = judge.base if base is None else judge.adapter
        return warn(check, f"{missing} is not on this machine yet", _FETCHED_AT_START)
    inspection = inspections[judge.name] = inspect(judge, base, adapter)
    places = "".join(f"{_dtype(placement)} on {placement.device}, " for placement in placements)
    found = f"{judge.kind}, {places}quantization {judge.quantization}, {inspection.described}"
    if judge.adapter is None:
        what = "no adapter: its head is random"
        if not judge.allow_untrained:
            return fail(check, f"{found}; {what}", "name an adapter, or set allow_untrained: true for a demo")
        return warn(check, f"{found}; {what}", "its probabilities mean nothing; name a trained adapter")
    return ok(check, found)


def check_features_judge(judge: FeaturesJudgeConfig) -> Finding:
    """What the files of a judge of features say; they are so small that they are read whole.

    Raises:
        PrefstreamError: the judge can't be loaded.
    """
    require(f"judge {judge.name}", "features")
    from prefstream.scoring.loading.features import fetched_adapter, read_features_adapter

    check = f"judge {judge.name}"
    folder = fetched_adapter(judge)
    if folder is None:
        return warn(check, f"{judge.adapter} is not on this machine yet", _FETCHED_AT_START)
    record, _ = read_features_adapter(folder)
    buckets = 2**record.features.hash_bits
    return ok(check, f"{judge.kind}, no device, {record.features.name} with {buckets:,} buckets, trained weights")


def check_remote_judge(judge: RemoteJudgeConfig) -> Finding:
    """Whether a judge's server answers as it must, asked once.

    Raises:
        PrefstreamError: the judge can't be loaded.
    """
    require(f"judge {judge.name}", "remote")
    from prefstream.scoring.loading.remote import load_remote_judge
    from prefstream.scoring.loading.sources import fetched_folder

    check = f"judge {judge.name}"
    for source, revision in [(judge.base, judge.revision), (judge.adapter, judge.adapter_revision)]:
        if fetched_folder(source, revision, weights=False) is None:
            return warn(check, f"{source} is not on this machine yet", _FETCHED_AT_START)
    with closing(load_remote_judge(judge.model_copy(update={"patience_s": 0.0}))) as loaded:
        said = loaded.provenance
    return ok(check, f"{said.kind}, {said.served_model} by {said.engine} at {said.device}, layout {said.template}")


def inspect(judge: ModelJudgeConfig, base: Path, adapter: Path | None) -> Inspection:
    """Read configs, tokenizer, headers of weights and the adapter's record; loads no weights.

    Raises:
        PrefstreamError: something is missing, pickled, cut off or does not fit.
    """
    from transformers import AutoConfig

    from prefstream.scoring.encoding.template import LABELS, template_for
    from prefstream.scoring.errors import LoadError
    from prefstream.scoring.loading.adapter import read_lora
    from prefstream.scoring.loading.adapter_record import WEIGHTS, AdapterRecord
    from prefstream.scoring.loading.layers import first_layers
    from prefstream.scoring.loading.tokenizer import load_tokenizer
    from prefstream.scoring.loading.weights import base_files, read_shapes, weight_files

    shapes: dict[str, tuple[int, ...]] = {}
    for path in base_files(base):
        shapes |= read_shapes(path)
    if absent := _absent_shards(base):
        raise LoadError(f"{base}: lacks {', '.join(absent[:3])}; fetch the model again")
    try:
        config = AutoConfig.from_pretrained(base, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise LoadError(f"{base}: its config can't be loaded ({type(error).__name__}); is it complete?") from error
    limit = getattr(config, "max_position_embeddings", None)
    if isinstance(limit, int) and judge.max_length > limit:
        raise LoadError(f"{base} was made for at most {limit} tokens; lower max_length ({judge.max_length})")
    tokenizer = load_tokenizer(base, config)
    template = template_for(config.model_type, judge.kind, tokenizer)
    described = [f"{config.model_type} with {_size(_count(shapes))} weights", f"layout {template.name}"]
    in_adapter = 0
    if adapter is not None:
        weight_files(adapter)
        read_lora(adapter)
        in_adapter = _count(parts := read_shapes(adapter / WEIGHTS))
        head = {name: shape for name, shape in parts.items() if ".lora_" not in name}
        if not head:
            raise LoadError(
                f"{adapter / WEIGHTS}: the classification head is missing, without which the answers would be "
                "random; save the adapter with task_type SEQ_CLS, or with the head in modules_to_save"
            )
        record = AdapterRecord.read(adapter)
        record.verify(adapter, template)
        if record.layers is not None:
            described.append(f"the first {record.layers} of {config.num_hidden_layers} layers")
            config = first_layers(config, record.layers)
        outputs = {shape[0] for shape in head.values()}
        if outputs != {len(LABELS[judge.kind])}:
            raise LoadError(
                f"{adapter / WEIGHTS}: the head has {sorted(outputs)} outputs, a {judge.kind} judge needs "
                f"{len(LABELS[judge.kind])}; use an adapter that was trained as {judge.kind}"
            )
        described.append("adapter with trained head")
    return Inspection(", ".join(described), config, in_adapter)


def _count(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Weights in a file. The head for words is not loaded."""
    return sum(math.prod(shape) for name, shape in shapes.items() if not name.startswith("lm_head"))


def _absent_shards(base: Path) -> list[str]:
    """Files that the index of a sharded model names and that are not there."""
    try:
        index = json.loads((base / "model.safetensors.index.json").read_bytes())
    except FileNotFoundError:
        return []
    return sorted(name for name in set(index["weight_map"].values()) if not (base / name).is_file())


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"


def _dtype(placement: Placement) -> str:
    return str(placement.dtype).removeprefix("torch.")


def check_scoring(config: StreamConfig) -> Finding:
    """Load the panel as `run` does and score a battle, twice: the first time warms it up; and its golden battles.

    Raises:
        PrefstreamError: a judge can't be loaded, or breaks down, or the panel does not give the answers of its set.
    """
    from prefstream.scoring.golden.check import require_golden
    from prefstream.scoring.panel.load import load_panel

    started = time.monotonic()
    with closing(load_panel(read_panel(config))) as panel:
        loaded = time.monotonic()
        seconds = []
        for _ in range(2):
            begin = time.monotonic()
            [answer] = panel.score([SAMPLE])
            seconds.append(time.monotonic() - begin)
        if isinstance(answer, PrefstreamError):
            return fail("scoring", str(answer), "")
        shares = ", ".join(f"{name} {share:.2f}" for name, share in answer.probabilities.model_dump().items())
        found = (
            f"panel loaded in {loaded - started:.1f} s; one battle takes {1000 * seconds[1]:.0f} ms "
            f"({1000 * seconds[0]:.0f} ms the first time): {shares}"
        )
        if (report := require_golden(panel)) is not None:
            found = f"{found}; {report.summary}"
        if panel.trained:
            return ok("scoring", found)
        return warn("scoring", f"{found}; judges are untrained", "these probabilities mean nothing; train adapters")
