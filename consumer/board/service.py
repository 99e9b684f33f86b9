"""The board as a service: reads topics into its file, and answers over HTTP what stands in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from prefstream.consumer.board.api.app import AppSettings, create_app
from prefstream.consumer.board.api.hosts import is_loopback
from prefstream.consumer.board.api.server import BoardServer
from prefstream.consumer.board.battles.texts import TextReader
from prefstream.consumer.board.battles.writer import BattleWriter
from prefstream.consumer.board.ingest.ingest import BoardIngest
from prefstream.consumer.board.live.feed import LiveFeed
from prefstream.consumer.board.report.reports import Reports, ReportSettings
from prefstream.consumer.board.report.surroundings import Surroundings
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.board.trust.gauges import TrustCollector
from prefstream.consumer.board.watch.shadow import ShadowWatch
from prefstream.consumer.board.watch.watch import StreamWatch
from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.client.acl import battle_operations
from prefstream.consumer.errors import StreamError, UsageError
from prefstream.consumer.observe.stoppable import StoppableService
from prefstream.schemas import PrefstreamError

log = structlog.get_logger(__name__)

SHOW_TRUST_EVERY_S: Final = 60.0
"""Prometheus asks every 15 to 60 s, and figures of a day hardly move in a minute."""

JOIN_S: Final = 5.0
"""Figures on trust take a second or two; on a busy machine the end waits no longer for some that nobody gets to see."""


class BoardService(StoppableService):
    """Reads in the thread that runs it; the server has threads of its own.

    Whatever ends it, what was read is in the file, with the offsets behind it.

    Args:
        config: what is read, where it is kept, where it is to be seen.
        notice: what the page tells who looks at it, now; called from several threads.
        on_serving: hears the URL once it can be seen there.

    Attributes:
        url: where it is to be seen; None before that.
    """

    def __init__(
        self,
        config: BoardConfig,
        *,
        notice: Callable[[], str | None] = lambda: None,
        on_serving: Callable[[str], None] = lambda _url: None,
    ) -> None:
        _check_reach(config)
        super().__init__()
        self.url: str | None = None
        self._config = config
        self._notice = notice
        self._on_serving = on_serving
        self._server_ended = False

    def _serve(self) -> None:
        config = self._config
        with ExitStack() as stack:
            store = stack.enter_context(open_store(config, config.board_file))
            registry = CollectorRegistry()
            ingest = BoardIngest(
                config,
                store,
                broker_timeout_s=config.broker_timeout_s,
                on_obstacle=self._on_obstacle,
                registry=registry,
                further=battle_operations(config, writes=config.board_allow_battles, reads=config.board_show_texts),
            )
            reader, prompt_reader = stack.enter_context(store.reader()), stack.enter_context(store.reader())

            def publish(event: str, told: BaseModel) -> None:
                live.broadcast.publish(event, told)

            shadow = None
            if config.board_shadow:
                shadow = ShadowWatch(config, stack.enter_context(store.reader()).answers)
            watch = StreamWatch(config, config.group_id, publish, shadow=shadow)
            around = Surroundings(
                notice=self._notice,
                obstacle=self._obstacle,
                behind=ingest.behind,
                behind_s=ingest.behind_s,
                stream=watch.now,
            )
            reports = Reports(reader, ReportSettings.of(config), around=around, prompt_reader=prompt_reader)
            live = LiveFeed(reports, prompt_reader, refresh_s=config.board_refresh_s)
            app = create_app(
                reports,
                AppSettings(
                    refresh_s=config.board_refresh_s,
                    health=self.health,
                    registry=registry,
                    hosts=_hosts_of(config),
                    root_path=config.board_root_path,
                    live=live,
                    battles=stack.enter_context(closing(BattleWriter(config))) if config.board_allow_battles else None,
                    texts=stack.enter_context(closing(TextReader(config))) if config.board_show_texts else None,
                    token=config.board_http_token,
                ),
            )
            server = BoardServer(
                app,
                host=config.board_http_host,
                port=config.board_http_port,
                on_end=self._on_server_end,
            )
            self.url = stack.enter_context(server).url
            stack.enter_context(live)
            stack.enter_context(watch)
            self._on_serving(self.url)
            since = reader.since()
            log.info(
                "serving",
                http=f"{self.url}/api/v1/board",
                file=config.board_file,
                since=None if since is None else since.isoformat(timespec="seconds"),
                topics=[config.preferences_topic, config.votes_topic],
                brokers=config.bootstrap_servers,
            )
            stack.enter_context(_showing_trust(reports, registry))
            self.health.set_not_ready("connecting to the brokers")
            try:
                ingest.run(self._stop)
            finally:
                self.health.set_not_ready("stopping")
            if self._server_ended:
                raise StreamError("the board's HTTP server ended by itself; the log says why")

    def _obstacle(self) -> str | None:
        verdict = self.health.readiness()
        return None if verdict.ok else verdict.reason

    def _on_server_end(self) -> None:
        self._server_ended = True
        self._stop.set()


@contextmanager
def _showing_trust(reports: Reports, registry: CollectorRegistry) -> Iterator[None]:
    """Keep what Prometheus is shown of the judges up to date, in a thread of its own."""
    shown = TrustCollector()
    registry.register(shown)
    ended = threading.Event()

    def show() -> None:
        while True:
            try:
                status = reports.status()
                shown.show(
                    reports.trust(),
                    datetime.now(UTC),
                    newest_preference=status.newest_preference_at,
                    newest_vote=status.newest_vote_at,
                )
            except PrefstreamError as error:
                if not ended.is_set():  # or it may be that the file was closed meanwhile
                    log.warning("no figures on trust", why=str(error))
            except Exception:
                if not ended.is_set():
                    log.exception("no figures on trust")  # another minute may have others
            if ended.wait(SHOW_TRUST_EVERY_S):
                return

    thread = threading.Thread(target=show, name="prefstream-trust", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(JOIN_S)


def _hosts_of(config: BoardConfig) -> frozenset[str] | None:
    """Names that may be asked for; None, any, where it listens to more than its own machine."""
    if not is_loopback(config.board_http_host):
        return None
    return frozenset(name for name in config.board_http_names.split(",") if name)


def _check_reach(config: BoardConfig) -> None:
    """Texts of people, and the judges' time, are for nobody who merely reaches the port.

    Strengths and figures are: a network of one's own may read them, as it may read the metrics.
    """
    given = {"--show-texts": config.board_show_texts, "--allow-battles": config.board_allow_battles}
    asked = [option for option, on in given.items() if on]
    if asked and config.board_http_token is None and not is_loopback(config.board_http_host):
        raise UsageError(
            f"{' and '.join(asked)}: with --http-host {config.board_http_host} everybody who reaches the port could; "
            "set a token (PREFSTREAM_BOARD_HTTP_TOKEN, or a file board_http_token in PREFSTREAM_SECRETS_DIR), or "
            "listen on this machine alone"
        )


def open_store(config: BoardConfig, file: Path | None) -> Store:
    """What the board keeps, for this process to write.

    Args:
        config: bounds, and the topics that it is of.
        file: where; None: in memory.

    Raises:
        BoardFileError: another process has the file, or it can't be used as it is.
    """
    return Store(
        file,
        vote_window=config.vote_window,
        max_join_rows=config.board_max_join_rows,
        settings={"preferences_topic": config.preferences_topic, "votes_topic": config.votes_topic},
    )
