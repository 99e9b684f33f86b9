"""Loading a judge whose model is served elsewhere: its layout is read here, and its server is asked who it is."""

from __future__ import annotations

import os
from typing import Final

import numpy as np

from prefstream.schemas import Battle, Provenance
from prefstream.scoring.config import RemoteJudgeConfig
from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.encoding.template import LABELS, template_for
from prefstream.scoring.encoding.truncate import Shares
from prefstream.scoring.errors import ConfigError, JudgeFaultError, LoadError
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.reading import ReadingJudge
from prefstream.scoring.judges.remote.source import RemoteLogits
from prefstream.scoring.judges.remote.vllm import Served, VllmClient
from prefstream.scoring.loading.adapter_record import AdapterRecord
from prefstream.scoring.loading.sources import adapter_folder, local_folder, public_name
from prefstream.scoring.loading.tokenizer import load_config, load_tokenizer

_PROBES: Final = tuple(
    Battle(id=f"probe-{index}", prompt=("Which river is longer?",), response_a=(first,), response_b=(second,))
    for index, (first, second) in enumerate([("The Nile.", "No."), ("The Danube, by far.", ""), ("Ask me later", "?")])
)
"""Battles to look at a server's answers by before it may vote."""

_ROUNDED: Final = 1e-3
"""Probabilities that were computed in 16 bits need not sum to 1 more exactly."""


def load_remote_judge(
    config: RemoteJudgeConfig, *, calibration: Calibration | None = None
) -> ReadingJudge[RemoteLogits]:
    """Load what is needed to read as the served model was trained to, and let it judge some battles.

    Args:
        config: from the panel file.
        calibration: in place of what the adapter recorded.

    Raises:
        LoadError: files are missing or don't fit, or the server does not answer, or not with raw logits.
        ConfigError: settings don't fit the model, or the token is not there.
    """
    token = _token(config)
    encoder, record, commit = _reader(config)
    client = VllmClient(
        str(config.url),
        judge=config.name,
        token=token,
        timeout_s=config.timeout_s,
        patience_s=config.patience_s,
        connections=config.connections,
    )
    try:
        served = client.served(config.model)
    except JudgeFaultError as fault:
        client.close()
        raise LoadError(str(fault)) from fault
    source = RemoteLogits(
        client,
        judge=config.name,
        model=served.model,
        outputs=len(LABELS[config.layout]),
        connections=config.connections,
    )
    judge = ReadingJudge(
        name=config.name,
        weight=config.weight,
        provenance=_provenance(config, served, client.place, encoder, commit),
        encoder=encoder,
        source=source,
        tau=record.tau,
        calibration=calibration or record.calibration,
    )
    try:
        _verify(config, served, judge, source)
    except JudgeFaultError as fault:
        judge.close()
        raise LoadError(f"{fault} (at a test battle while loading: it can't judge)") from fault
    except BaseException:
        judge.close()
        raise
    return judge


def _token(config: RemoteJudgeConfig) -> str | None:
    if config.token_variable is None:
        return None
    token = os.environ.get(config.token_variable)
    if not token:
        wrong = f"token_variable: {config.token_variable} is not in the environment; set it to the server's token"
        raise ConfigError(f"judge {config.name}", (wrong,))
    return token


def _reader(config: RemoteJudgeConfig) -> tuple[Encoder, AdapterRecord, str | None]:
    base = local_folder(config.base, config.revision, weights=False)
    model_config = load_config(base, len(LABELS[config.layout]))
    tokenizer = load_tokenizer(base, model_config)
    template = template_for(model_config.model_type, config.layout, tokenizer)
    adapter, commit = adapter_folder(config.name, config.adapter, config.adapter_revision, weights=False)
    record = AdapterRecord.read(adapter)
    record.verify(adapter, template)
    if record.pooling != "last":
        raise LoadError(
            f"{adapter}: its head reads pooling: {record.pooling}, and vLLM gives it the last token's state; serve a "
            "judge with pooling: last, or let this one run in the process"
        )
    encoder = Encoder(
        tokenizer,
        template,
        max_length=config.max_length,
        shares=Shares(prompt=config.shares.prompt, response=config.shares.response),
        mask_identity=record.mask_identity,
        shared=False,
    )
    return encoder, record, commit


def _provenance(
    config: RemoteJudgeConfig, served: Served, place: str, encoder: Encoder, commit: str | None
) -> Provenance:
    return Provenance(
        kind=config.layout,
        base=public_name(config.base),
        revision=config.revision,
        adapter=config.adapter if commit else None,
        adapter_revision=commit,
        template=encoder.template.name,
        template_hash=encoder.template.hash,
        device=place,
        engine=served.engine,
        served_model=served.model,
        max_length=config.max_length,
        mask_identity=encoder.mask_identity,
        trained=True,
    )


def _verify(config: RemoteJudgeConfig, served: Served, judge: ReadingJudge[RemoteLogits], source: RemoteLogits) -> None:
    if served.max_tokens is not None and served.max_tokens < config.max_length:
        wrong = f"max_length is {config.max_length}, and its server reads at most {served.max_tokens} tokens"
        raise ConfigError(f"judge {config.name}", (f"{wrong}; lower it, or start vLLM with a larger --max-model-len",))
    encodings = judge.encode(_PROBES).encodings
    values = source.logits([sequence for encoding in encodings for sequence in encoding.sequences]).values
    if (values >= 0).all() and np.abs(values.sum(axis=1) - 1).max() < _ROUNDED:
        raise LoadError(
            f"judge {config.name}: its server gives probabilities where raw logits were asked for "
            "(use_activation: false); use a newer version of vLLM, which knows it"
        )
