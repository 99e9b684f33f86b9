"""Faults of what the brokers answer: errors, delays and lost messages, by the embedded broker's fault injection.

Only what a broker can honestly answer is here: never an error that is final after the work was done.
"""

from __future__ import annotations

import random
import signal
from typing import Final

from prefstream.consumer.broker import ErrorCode, FaultPlan
from prefstream.consumer.broker.faults import ApiName
from tests.chaos.faults.fault import Strike, feed, feed_until, moment
from tests.chaos.faults.on_processes import TIMED_OUT_S
from tests.chaos.world.world import World

MOST_TIMES: Final = 4

TRANSACTION: Final[tuple[ApiName, ...]] = ("AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn")
"""What the coordinator of a transaction answers, of what comes by all the time."""

LOSABLE: Final[tuple[ApiName, ...]] = (*TRANSACTION, "TxnOffsetCommit", "Produce", "Fetch", "Heartbeat")


def answer(code: ErrorCode, *apis: ApiName) -> Strike:
    """One process gets this code instead of an answer, some times from each of these."""

    def strike(world: World, generator: random.Random) -> None:
        plan, client_id = _plan(world), world.client_id(generator.choice(world.fleet))
        for api in apis:
            plan.fail(api, error_code=code, times=generator.randint(1, MOST_TIMES), client_id=client_id)
        _meet(world, generator, plan)

    return strike


def answer_at_start(code: ErrorCode, *apis: ApiName) -> Strike:
    """The same for a process that starts again after SIGKILL, its last transaction still open."""

    def strike(world: World, generator: random.Random) -> None:
        plan, process = _plan(world), generator.choice(world.fleet)
        process.trap.set("after send_offsets", signal.SIGKILL.name)
        feed_until(world, generator, lambda: not process.trap.is_set)
        process.trap.clear()
        for api in apis:
            plan.fail(api, error_code=code, times=generator.randint(1, MOST_TIMES), client_id=world.client_id(process))
        _meet(world, generator, plan)

    return strike


def lose(*, after_apply: bool) -> Strike:
    """Requests of one process get lost, or the answers to what was done."""

    def strike(world: World, generator: random.Random) -> None:
        plan, client_id = _plan(world), world.client_id(generator.choice(world.fleet))
        for api in LOSABLE:
            plan.drop(api, client_id=client_id, after_apply=after_apply)
        _meet(world, generator, plan)

    return strike


def time_out_commit(world: World, generator: random.Random) -> None:
    """A commit is on its way for so long that the broker has ended the transaction when it comes."""
    plan = _plan(world)
    client_id = world.client_id(generator.choice(world.fleet))
    plan.delay("EndTxn", seconds=TIMED_OUT_S, client_id=client_id)
    with world.struck():
        _meet(world, generator, plan)
        world.pause(TIMED_OUT_S)


def stop_embedded(world: World, generator: random.Random) -> None:
    """The broker is gone for a while; it comes back with all that it had."""
    assert world.embedded is not None
    moment(world, generator)
    with world.struck():
        world.embedded.stop()
        feed(world, generator, generator.uniform(2.0, 15.0))
        world.embedded.start()


def _plan(world: World) -> FaultPlan:
    assert world.embedded is not None
    return world.embedded.faults


def _meet(world: World, generator: random.Random, plan: FaultPlan) -> None:
    """Let records flow until every planned fault has happened, and forget those that nobody came by."""
    with world.struck():
        feed_until(world, generator, lambda: plan.pending() == 0)
        plan.clear()
