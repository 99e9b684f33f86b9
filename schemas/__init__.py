"""Floor 1: the contract on the wire. Battles in, preferences and dead letters out. No torch, no kafka."""

if not __name__.startswith("prefstream."):  # beside the checkout's root the short name resolves, too
    raise ImportError("import prefstream.schemas: by its short name every class of it would exist twice")

from prefstream.schemas.battle import OUTCOMES, Battle, Outcome, parse_battle, parse_row
from prefstream.schemas.dead_letter import ERROR_HEADERS, DeadLetterHeaders, Reason
from prefstream.schemas.errors import ContractError, InvalidEventError, PrefstreamError
from prefstream.schemas.preference import (
    SCHEMA_VERSION,
    FileSource,
    JudgeOpinion,
    KafkaSource,
    Preference,
    Probabilities,
    Provenance,
    Timings,
    Truncation,
)
from prefstream.schemas.wire import Framing, decode_battle, decode_preference, encode_battle, encode_preference

__all__ = [
    "ERROR_HEADERS",
    "OUTCOMES",
    "SCHEMA_VERSION",
    "Battle",
    "ContractError",
    "DeadLetterHeaders",
    "FileSource",
    "Framing",
    "InvalidEventError",
    "JudgeOpinion",
    "KafkaSource",
    "Outcome",
    "Preference",
    "PrefstreamError",
    "Probabilities",
    "Provenance",
    "Reason",
    "Timings",
    "Truncation",
    "decode_battle",
    "decode_preference",
    "encode_battle",
    "encode_preference",
    "parse_battle",
    "parse_row",
]
