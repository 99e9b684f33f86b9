"""A broker inside the calling process, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from prefstream.consumer.broker.faults import FaultPlan
from prefstream.consumer.broker.node.errors import BrokerNotRunningError
from prefstream.consumer.broker.node.settings import BrokerSettings
from prefstream.consumer.broker.node.state import BrokerState
from prefstream.consumer.broker.server import serve

# Binding a port takes milliseconds; a machine that needs longer than this is stuck.
_START_TIMEOUT_S: Final = 10.0
# Closing needs no word from any client, so this too is only a guard against hanging.
_STOP_TIMEOUT_S: Final = 10.0


class EmbeddedBroker:
    """A single-node, in-memory Kafka broker for tests and demos.

    It may be stopped and started again: it comes back on the same port and still has its topics, groups and
    transactions, like a broker that restarts. All methods may be called from any thread, but not from two at
    a time.

    Attributes:
        faults: what should go wrong.
    """

    def __init__(self, settings: BrokerSettings | None = None, *, faults: FaultPlan | None = None) -> None:
        self._settings = BrokerSettings() if settings is None else settings
        self.faults = FaultPlan() if faults is None else faults
        self._state = BrokerState(self._settings)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect to: host and port.

        Raises:
            BrokerNotRunningError: the broker was never started.
        """
        if self._settings.port == 0:
            raise BrokerNotRunningError("the embedded broker has no port yet: start it first")
        return f"{self._settings.host}:{self._settings.port}"

    def start(self) -> None:
        """Start the broker; returns when clients can connect.

        Raises:
            PortInUseError: something else listens on the address already.
        """
        if self._thread is not None:
            return
        ready: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="embedded-broker", daemon=True)
        self._thread.start()
        try:
            port = ready.result(_START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise
        # A restart must come back where its clients look for it.
        self._settings = replace(self._settings, port=port)

    def stop(self) -> None:
        """Stop the broker and close all connections; clients see what they see when a broker dies."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._serving is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._serving.cancel)
        thread.join(_STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self, ready: Future[int]) -> None:
        try:
            asyncio.run(self._serve(ready))
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            # The thread that called start() raises it.
            if ready.done():
                raise
            ready.set_exception(error)

    async def _serve(self, ready: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._serving = asyncio.current_task()
        await serve(self._settings, faults=self.faults, state=self._state, on_ready=ready.set_result)
