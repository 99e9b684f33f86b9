"""The faults that operators meet, by name."""

from __future__ import annotations

import signal
from typing import Final

from prefstream.consumer.broker import ErrorCode
from tests.chaos.faults import on_answers, on_brokers, on_group, on_judges, on_processes, on_retries, on_topics
from tests.chaos.faults.fault import Fault, one_of
from tests.chaos.inside.points import POINTS

_OF_PROCESSES: Final = (
    Fault("SIGKILL at any moment", on_processes.kill, weight=3),
    Fault("SIGTERM", on_processes.terminate, weight=2),
    Fault("SIGKILL of all processes", on_processes.kill_all),
    *(Fault(f"SIGKILL {point}", on_processes.kill_at(point)) for point in POINTS),
    *(Fault(f"SIGSTOP {point}", on_processes.freeze_at(point)) for point in POINTS),
    Fault(
        "SIGSTOP before commit, transaction timed out",
        on_processes.freeze_at("before commit", on_processes.TIMED_OUT_S),
    ),
    Fault("scaled down to one, and up", on_processes.scale, weight=2),
    Fault("a twin with the same id", on_processes.twin),
    Fault("a clock that jumps by an hour", on_processes.jump_clock),
    Fault("a judge that raises", on_judges.misjudge("raise")),
    Fault("a judge that answers NaN", on_judges.misjudge("answer NaN")),
    Fault("a judge that hangs", on_judges.misjudge("hang")),
    Fault("a judge that is broken for a while", on_judges.break_judge),
)

_OF_TOPICS: Final = (
    Fault("one more partition", on_topics.add_partition),
    Fault("committed input deleted", on_topics.truncate),
    Fault("ten times the load", on_topics.burst),
    *(
        Fault(f"partitions emptied behind {last}, {then}", on_topics.empty_behind(last, restart=restart))
        for last in ("records", "commits", "aborted records")
        for restart, then in ((True, "all restarted"), (False, "one killed"))
    ),
    Fault("partitions emptied by retention", on_topics.outlive_retention, short_retention=True),
    Fault("an upstream transaction left open", on_topics.hold_readers_up),
)

_OF_GROUPS: Final = (
    Fault("the group deleted after SIGTERM of all", on_group.delete_group(signal.SIGTERM)),
    Fault("the group deleted after SIGKILL of all", on_group.delete_group(signal.SIGKILL)),
)

_OF_RETRIES: Final = (
    Fault("dead letters sent back", on_retries.retry, weight=2),
    Fault("SIGKILL of a retry at any moment", on_retries.kill_retry),
    *(Fault(f"SIGKILL of a retry {point}", on_retries.kill_retry_at(point)) for point in on_retries.POINTS),
)

_OF_BROKERS: Final = (
    Fault("a leader killed", on_brokers.kill_broker("leader"), weight=2, brokers=3),
    Fault("the group's coordinator killed", on_brokers.kill_broker("group"), weight=2, brokers=3),
    Fault("a transaction coordinator killed", on_brokers.kill_broker("transactions"), weight=2, brokers=3),
    Fault("a broker frozen", on_brokers.freeze_broker, brokers=3),
    Fault("a broker restarted in order", on_brokers.restart_broker, brokers=3),
    Fault("all brokers gone", on_brokers.kill_all_brokers(5.0, 20.0), brokers=1),
)

_OF_ANSWERS: Final = (
    Fault(
        "NOT_COORDINATOR answered",
        on_answers.answer(ErrorCode.NOT_COORDINATOR, *on_answers.TRANSACTION, "TxnOffsetCommit", "Heartbeat"),
        embedded=True,
    ),
    Fault(
        "NOT_COORDINATOR answered at a start",
        on_answers.answer_at_start(
            ErrorCode.NOT_COORDINATOR, "InitProducerId", "JoinGroup", "SyncGroup", "OffsetFetch"
        ),
        embedded=True,
    ),
    Fault(
        "COORDINATOR_LOAD_IN_PROGRESS answered",
        on_answers.answer(
            ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, *on_answers.TRANSACTION, "TxnOffsetCommit", "Heartbeat"
        ),
        embedded=True,
    ),
    Fault(
        "CONCURRENT_TRANSACTIONS answered",
        on_answers.answer(ErrorCode.CONCURRENT_TRANSACTIONS, *on_answers.TRANSACTION),
        embedded=True,
    ),
    Fault(
        "CONCURRENT_TRANSACTIONS answered at a start",
        on_answers.answer_at_start(ErrorCode.CONCURRENT_TRANSACTIONS, "InitProducerId"),
        embedded=True,
    ),
    Fault("UNKNOWN_PRODUCER_ID answered", on_answers.answer(ErrorCode.UNKNOWN_PRODUCER_ID, "Produce"), embedded=True),
    Fault(
        "OUT_OF_ORDER_SEQUENCE_NUMBER answered",
        on_answers.answer(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, "Produce"),
        embedded=True,
    ),
    Fault(
        "INVALID_PRODUCER_ID_MAPPING answered",
        on_answers.answer(ErrorCode.INVALID_PRODUCER_ID_MAPPING, *on_answers.TRANSACTION),
        embedded=True,
    ),
    Fault("requests lost", on_answers.lose(after_apply=False), embedded=True),
    Fault("answers lost", on_answers.lose(after_apply=True), embedded=True),
    Fault("transaction timed out, commit under way", on_answers.time_out_commit, embedded=True),
    Fault("the embedded broker gone", on_answers.stop_embedded, embedded=True),
)

_ALONE: Final = (*_OF_PROCESSES, *_OF_TOPICS, *_OF_GROUPS, *_OF_RETRIES, *_OF_BROKERS, *_OF_ANSWERS)

FAULTS: Final = (
    *_ALONE,
    Fault("SIGTERM during a fault of the processes", on_processes.with_sigterm(one_of(*_OF_PROCESSES)), weight=2),
    Fault("SIGTERM while a broker is away", on_brokers.terminate_meanwhile, brokers=1),
    Fault("SIGTERM during a fault of the brokers", on_processes.with_sigterm(one_of(*_OF_BROKERS)), brokers=3),
    Fault("SIGTERM during a fault of the answers", on_processes.with_sigterm(one_of(*_OF_ANSWERS)), embedded=True),
    Fault("dead letters sent back during a fault of the processes", on_retries.with_retry(one_of(*_OF_PROCESSES))),
    Fault(
        "dead letters sent back during a fault of the brokers", on_retries.with_retry(one_of(*_OF_BROKERS)), brokers=3
    ),
    Fault(
        "dead letters sent back during a fault of the answers",
        on_retries.with_retry(one_of(*_OF_ANSWERS)),
        embedded=True,
    ),
)
"""All, for the random mix and each with a test of its own."""

SIGTERM_DURING_EACH: Final = tuple(
    Fault(
        f"SIGTERM during: {fault.name}",
        on_processes.with_sigterm(fault.strike),
        brokers=fault.brokers,
        embedded=fault.embedded,
        short_retention=fault.short_retention,
    )
    for fault in _ALONE
)
"""The same, each with a SIGTERM meanwhile; too many for the mix, where four kinds stand for them."""
