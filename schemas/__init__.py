"""Floor 1: the contract on the wire. Battles in, preferences and dead letters out. No torch, no kafka."""

if not __name__.startswith("prefstream."):  # beside the checkout's root the short name resolves, too
    raise ImportError("import prefstream.schemas: by its short name every class of it would exist twice")

from prefstream.schemas.battle import OUTCOMES, Battle, Outcome, parse_battle, parse_row
from prefstream.schemas.dead_letter import ERROR_HEADERS, DeadLetterHeaders, Reason
from prefstream.schemas.errors import ContractError, InvalidEventError, PrefstreamError
from prefstream.schemas.panel_choice import Canary, PanelChoice, PanelVersion
from prefstream.schemas.preference import (
    SCHEMA_VERSION,
    FileSource,
    JudgeOpinion,
    KafkaSource,
    PanelIdentity,
    Preference,
    Probabilities,
    Provenance,
    Review,
    Style,
    StyleCounts,
    Timings,
    Truncation,
    Uncertainty,
)
from prefstream.schemas.vote import Vote, Winner
from prefstream.schemas.wire import (
    Framing,
    decode_battle,
    decode_panel_choice,
    decode_preference,
    decode_vote,
    encode_battle,
    encode_panel_choice,
    encode_preference,
    encode_vote,
)

__all__ = [
    "ERROR_HEADERS",
    "OUTCOMES",
    "SCHEMA_VERSION",
    "Battle",
    "Canary",
    "ContractError",
    "DeadLetterHeaders",
    "FileSource",
    "Framing",
    "InvalidEventError",
    "JudgeOpinion",
    "KafkaSource",
    "Outcome",
    "PanelChoice",
    "PanelIdentity",
    "PanelVersion",
    "Preference",
    "PrefstreamError",
    "Probabilities",
    "Provenance",
    "Reason",
    "Review",
    "Style",
    "StyleCounts",
    "Timings",
    "Truncation",
    "Uncertainty",
    "Vote",
    "Winner",
    "decode_battle",
    "decode_panel_choice",
    "decode_preference",
    "decode_vote",
    "encode_battle",
    "encode_panel_choice",
    "encode_preference",
    "encode_vote",
    "parse_battle",
    "parse_row",
]
