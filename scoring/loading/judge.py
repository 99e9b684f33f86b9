"""Loading a judge: tokenizer, base, adapter and head, each verified; a judge that is half loaded never votes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog
import torch

from prefstream.schemas import Battle, Provenance
from prefstream.scoring.config import INT8_THRESHOLD, ModelJudgeConfig
from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.encoding.template import LABELS, Template, template_for
from prefstream.scoring.encoding.truncate import Shares
from prefstream.scoring.errors import ConfigError, JudgeFaultError, LoadError
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.devices import Placement, attention_for, packs, quantization_for
from prefstream.scoring.judges.forward import Forward
from prefstream.scoring.judges.memory.device_errors import is_out_of_memory
from prefstream.scoring.judges.model import LocalJudge, LocalSource, ModelJudge
from prefstream.scoring.judges.padding import can_be_packed
from prefstream.scoring.judges.pooling import Float32Head, pool
from prefstream.scoring.judges.replicas.judge import ReplicatedJudge
from prefstream.scoring.judges.replicas.replicas import Replicas
from prefstream.scoring.loading.adapter import VerifiedAdapter, apply_adapter, find_adapter
from prefstream.scoring.loading.base_model import Base, load_classifier, open_base, quantise, quiet_libraries
from prefstream.scoring.loading.beside import LoadedFrom, find_lender
from prefstream.scoring.loading.int8 import give_8_bit_gates
from prefstream.scoring.loading.rounding import NONE, Rounding
from prefstream.scoring.loading.sources import public_name

_WARM_UP: Final = Battle(id="warm-up", prompt=("Hello",), response_a=("Hello!",), response_b=("Good day.",))

_J = TypeVar("_J", bound=LocalJudge[Any])


@dataclass(frozen=True, slots=True)
class _Loaded:
    """All of a judge, and its model on each of its devices."""

    config: ModelJudgeConfig
    provenance: Provenance
    encoder: Encoder
    tau: float
    calibration: Calibration | None
    forwards: list[Forward]
    origin: LoadedFrom | None

    def judge(self, kind: Callable[..., _J], source: LocalSource) -> _J:
        judge = kind(
            name=self.config.name,
            weight=self.config.weight,
            provenance=self.provenance,
            encoder=self.encoder,
            source=source,
            tau=self.tau,
            calibration=self.calibration,
        )
        judge.origin = self.origin
        return judge


def load_judge(
    config: ModelJudgeConfig,
    placement: Placement,
    *,
    calibration: Calibration | None = None,
    say: Callable[[str], None] | None = None,
    beside: Iterable[object] = (),
) -> ModelJudge:
    """Load one judge, verify it, and let it judge one battle.

    Args:
        config: from the panel file.
        placement: its device and dtype.
        calibration: in place of what the adapter recorded.
        say: told what is being loaded.
        beside: judges that are loaded; one of the same base may lend its weights (`scoring.loading.beside`).

    Raises:
        LoadError: the judge can't be loaded, or must not judge; the message names the file and the remedy.
        ConfigError: its settings don't fit its model.
    """
    loaded = _load(config, [placement], calibration, say, beside)
    return loaded.judge(ModelJudge, loaded.forwards[0])


def load_replicas(
    config: ModelJudgeConfig,
    placements: Sequence[Placement],
    *,
    calibration: Calibration | None = None,
    say: Callable[[str], None] | None = None,
    beside: Iterable[object] = (),
) -> ReplicatedJudge:
    """Load one judge onto several devices, verify it, and let it judge one battle on each.

    Args:
        config: as for `load_judge`; and `calibration`, `say`, `beside`.
        placements: of its replicas, two at least.
        calibration: likewise.
        say: likewise.
        beside: likewise.

    Raises:
        LoadError: as `load_judge`; or its replicas would compute in different ways.
        ConfigError: as `load_judge`.
    """
    loaded = _load(config, placements, calibration, say, beside)
    return loaded.judge(ReplicatedJudge, Replicas(loaded.forwards, judge=config.name))


def _load(
    config: ModelJudgeConfig,
    placements: Sequence[Placement],
    calibration: Calibration | None,
    say: Callable[[str], None] | None,
    beside: Iterable[object],
) -> _Loaded:
    if config.adapter is None and not config.allow_untrained:
        raise LoadError(
            f"judge {config.name}: has no adapter, so its head would be random; name one, or set "
            "allow_untrained: true for a demo"
        )
    try:
        # What is drawn at random and then overwritten must not move the program's own draws.
        with quiet_libraries(), torch.random.fork_rng(devices=[]):
            return _load_quietly(config, placements, calibration, say or (lambda _: None), beside)
    except ConfigError as error:
        raise ConfigError(f"judge {config.name}", error.errors) from error


def _load_quietly(
    config: ModelJudgeConfig,
    placements: Sequence[Placement],
    calibration: Calibration | None,
    say: Callable[[str], None],
    beside: Iterable[object],
) -> _Loaded:
    recorded = find_adapter(config)
    lender = find_lender(beside, config, recorded.folder, recorded.record, placements) if recorded else None
    # A judge reads well only what it was trained on, so how it reads is the adapter's to say, not the panel file's.
    layers = recorded.record.layers if recorded else None
    base = (
        lender.origin.base
        if lender
        else open_base(config.base, config.revision, labels=len(LABELS[config.kind]), layers=layers, say=say)
    )
    template = template_for(base.config.model_type, config.kind, base.tokenizer)
    adapter = recorded.verified(template, base.head_names) if recorded else None
    _verify_length(config, base.config)
    encoder = lender.origin.encoder if lender else _encoder_of(config, base, template, adapter)
    attention = _common(config, "attention", [attention_for(config, base.config, place) for place in placements])
    quantization = _common(
        config, "quantization", [quantization_for(config, base.config, place) for place in placements]
    )
    dtype = _common(config, "dtype", [str(place.dtype).removeprefix("torch.") for place in placements])
    devices = tuple(place.device for place in placements)
    pooling = adapter.record.pooling if adapter else "last"
    rounding = Rounding.of(config)
    provenance = Provenance(
        kind=config.kind,
        base=public_name(config.base),
        revision=config.revision,
        base_hash=base.hash,
        adapter=config.adapter if adapter and adapter.commit else None,
        adapter_revision=adapter.commit if adapter else None,
        adapter_hash=adapter.hash if adapter else None,
        template=template.name,
        template_hash=template.hash,
        dtype=dtype,
        quantization=quantization,
        # Absent where they are as they always were: the identity of panels that did not change stays theirs.
        int8_threshold=None if rounding.int8_threshold == INT8_THRESHOLD else rounding.int8_threshold,
        quant_type=None if rounding.quant_type == "nf4" else rounding.quant_type,
        merge=None if config.merge == "auto" else config.merge,
        attention=attention,
        device=", ".join(map(str, devices)),
        max_length=config.max_length,
        mask_identity=encoder.mask_identity,
        pooling=None if pooling == "last" else pooling,
        layers=layers,
        trained=adapter is not None,
    )
    _warn_of_other_base(config, adapter, provenance)
    loaded = _Loaded(
        config,
        provenance,
        encoder,
        adapter.record.tau if adapter else 0.0,
        calibration or (adapter.record.calibration if adapter else None),
        forwards=[],
        origin=(
            LoadedFrom(config, base, encoder, adapter.folder, adapter.hash, adapter.record, devices)
            if adapter
            else None
        ),
    )
    try:
        for number, placement in enumerate(placements):
            with _told_where_too_small(config, placement):
                if lender and adapter:
                    say(f"{config.name}: sharing the weights of {lender.name} on {placement.device}")
                    model = lender.lend(number, adapter.folder, adapter.shapes, placement.dtype)
                    forward = _forward_of(model, config, provenance, base, placement)
                else:
                    say(f"{config.name}: loading {provenance.base} onto {placement.device} in {dtype}")
                    forward = _load_forward(config, provenance, encoder, base, adapter, placement, say=say)
                loaded.forwards.append(forward)
                _warm_up(loaded.judge(ModelJudge, forward))
    except BaseException:
        for forward in loaded.forwards:
            forward.close()
        raise
    return loaded


def _encoder_of(config: ModelJudgeConfig, base: Base, template: Template, adapter: VerifiedAdapter | None) -> Encoder:
    return Encoder(
        base.tokenizer,
        template,
        max_length=config.max_length,
        shares=Shares(prompt=config.shares.prompt, response=config.shares.response),
        mask_identity=adapter is not None and adapter.record.mask_identity,
        shared=False,  # nobody else encodes with it: who shares the base takes the encoder, too
    )


def _common(config: ModelJudgeConfig, what: str, values: Sequence[str]) -> str:
    """What all replicas have; they must answer alike, whichever of them reads a battle."""
    different = sorted(set(values))
    if len(different) > 1:
        raise LoadError(
            f"judge {config.name}: its replicas would have the {what} {' and '.join(different)}, and answer "
            f"differently; name devices that are alike, or one {what} for all"
        )
    return different[0]


@contextmanager
def _told_where_too_small(config: ModelJudgeConfig, placement: Placement) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error, beyond_doubt=True):
            raise
        raise LoadError(
            f"judge {config.name}: {config.base} does not fit on {placement.device}; set quantization: 8bit or "
            "4bit, or another device"
        ) from error


def _load_forward(
    config: ModelJudgeConfig,
    provenance: Provenance,
    encoder: Encoder,
    base: Base,
    adapter: VerifiedAdapter | None,
    placement: Placement,
    *,
    say: Callable[[str], None],
) -> Forward:
    """The judge's model at one place, as it answers."""
    model = _load_model(config, base, adapter, placement, str(provenance.attention), say)
    pool(_classifier(model), adapter.record.pooling if adapter else "last", encoder)
    if provenance.quantization == "int8-dynamic":
        say(f"{config.name}: quantising its gates")
        give_8_bit_gates(_classifier(model.eval()), encoder, provenance, config.name, placement.dtype)
    return _forward_of(model, config, provenance, base, placement)


def _forward_of(
    model: Any, config: ModelJudgeConfig, provenance: Provenance, base: Base, placement: Placement
) -> Forward:
    """What runs a model that is whole but for its head, which is kept in float32."""
    _keep_head_in_float32(model)
    model.eval()
    return Forward(
        model,
        judge=config.name,
        device=placement.device,
        dtype=placement.dtype,
        pad_id=base.tokenizer.pad_token_id,
        outputs=len(LABELS[config.kind]),
        budget_tokens=placement.micro_batch_tokens,
        threads=placement.threads,
        packed=packs(config, str(provenance.attention)) and can_be_packed(_classifier(model)),
    )


def _load_model(
    config: ModelJudgeConfig,
    base: Base,
    adapter: VerifiedAdapter | None,
    placement: Placement,
    attention: str,
    say: Callable[[str], None],
) -> Any:
    """Base and adapter, on their device."""
    rounding = Rounding.of(config)
    rounds_last = config.merge == "before_quantization"
    model = load_classifier(
        base,
        # What is rounded last is whole until then, for which the machine has more room than a card; it is not run.
        device=torch.device("cpu") if rounds_last else placement.device,
        dtype=placement.dtype,
        attention="eager" if rounds_last else attention,
        rounding=NONE if rounds_last else rounding,
    )
    if adapter:
        say(f"{config.name}: loading its adapter {public_name(str(config.adapter))}")
        model = apply_adapter(model, adapter.folder, adapter.shapes, merge=config.merges)
    if rounds_last:
        say(f"{config.name}: quantising both together")
        model = quantise(
            model,
            base,
            device=placement.device,
            dtype=placement.dtype,
            attention=attention,
            rounding=rounding,
        )
    return model


def _classifier(model: Any) -> Any:
    """The model itself, out of peft's wrapping, if it has one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _keep_head_in_float32(model: Any) -> None:
    """Take the head out of peft's wrapping, if it has one, and out of autocast."""
    classifier = _classifier(model)
    head = getattr(classifier, "score", None)
    trained = getattr(head, "modules_to_save", None)
    head = trained["default"] if trained is not None else head
    if isinstance(head, torch.nn.Linear):
        classifier.score = Float32Head.of(head)


def _verify_length(config: ModelJudgeConfig, model_config: Any) -> None:
    limit = getattr(model_config, "max_position_embeddings", None)
    if isinstance(limit, int) and config.max_length > limit:
        wrong = f"max_length is {config.max_length}, but its base was made for at most {limit} tokens"
        raise ConfigError(f"judge {config.name}", (wrong,))


def _warn_of_other_base(config: ModelJudgeConfig, adapter: VerifiedAdapter | None, provenance: Provenance) -> None:
    """Say so when the base differs from the one in training: legitimate after a conversion, else a mistake."""
    trained_on = adapter.record.base_hash if adapter else None
    if trained_on is not None and trained_on != provenance.base_hash:
        structlog.get_logger().warning(
            "adapter was trained on other weights", judge=config.name, base=provenance.base, expected=trained_on
        )


def _warm_up(judge: ModelJudge) -> None:
    """One battle through the whole judge: what fails now would fail on the first real one."""
    try:
        scores = judge.score(judge.encode([_WARM_UP]))
    except JudgeFaultError as fault:
        raise LoadError(f"{fault} (at a test battle while loading: it can't judge)") from fault
    if scores.too_large:
        raise LoadError(f"{scores.too_large[0]}; not even a short battle fits")
