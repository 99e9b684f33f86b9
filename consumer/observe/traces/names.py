"""Names of attributes and events: OpenTelemetry's semantic conventions, and a few of our own.

Messaging and Kafka are as of the version that `SCHEMA_URL` names, which is that of `opentelemetry-semantic-conventions`
0.66b2; the evaluation event has moved to conventions of its own
(https://github.com/open-telemetry/semantic-conventions-genai, `docs/gen-ai/gen-ai-events.md`), with the same names. All
of them are in development there and may change, so they are written down here, as the conventions ask; a test holds
them against that package.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

SYSTEM: Final = "messaging.system"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
PARTITION: Final = "messaging.destination.partition.id"
OFFSET: Final = "messaging.kafka.offset"
TOMBSTONE: Final = "messaging.kafka.message.tombstone"
GROUP: Final = "messaging.consumer.group.name"
CLIENT_ID: Final = "messaging.client.id"
MESSAGE_COUNT: Final = "messaging.batch.message_count"
ERROR_TYPE: Final = "error.type"

EVALUATION_RESULT: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
RESPONSE_ID: Final = "gen_ai.response.id"

COMMITTED: Final = "prefstream.committed"
"""Whether readers of committed records have the battle's answer from us; absent where nobody knows."""

JUDGE: Final = "prefstream.judge"
SAMPLED_BATTLES: Final = "prefstream.sampled_battles"
