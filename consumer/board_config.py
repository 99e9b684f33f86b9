"""Settings of the board. As those of the stream, they are explained once: each description is the help of an option."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from prefstream.consumer.config import TopicNames
from prefstream.consumer.durations import required_duration
from prefstream.consumer.service_settings import HttpHost, LogFormat, LogLevel, ReadingTimeout, Seconds

ID_PLACE: Final = "{id}"
"""What a template of links has where the battle's id goes."""

_LINK_SCHEMES: Final = frozenset({"http", "https"})
"""Of links that are opened from a page: others, such as `javascript:`, run something."""


class BoardConfig(TopicNames):
    """The board: what it reads, where it keeps it, where it is to be seen.

    What it alone knows begins with `board_`: an option has its name without that, a variable and a file with it.
    """

    board_file: Annotated[
        Path,
        Field(
            description="SQLite file that the board keeps all in; made where there is none. On a local disk, and of "
            "one process."
        ),
    ] = Path("board.sqlite")
    # People judge within minutes in a chat and within days in a review.
    board_vote_window: Annotated[
        str,
        Field(
            description="How long a battle waits for votes, and a vote for its battle: 30m, 12h, 14d. What comes later "
            "is counted as too late."
        ),
    ] = "14d"
    board_max_join_rows: Annotated[
        int,
        Field(
            ge=1,
            description="Battles that wait for votes at most; the oldest go first. A million take about 300 MB "
            "of the file.",
        ),
    ] = 1_000_000
    # Not `board_port`: Kubernetes sets PREFSTREAM_BOARD_PORT where there is a Service of the name prefstream-board.
    board_http_host: HttpHost = "127.0.0.1"
    board_http_port: Annotated[int, Field(ge=0, le=65_535, description="HTTP port; 0 picks a free one.")] = 9465
    board_http_names: Annotated[
        str,
        Field(
            pattern=r"^([A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*)?$",
            description="Where only this machine can reach the HTTP port: host names that a proxy in front passes on, "
            "separated by commas. Requests for a name that is neither one of them nor this machine's are refused, so "
            "that no web page reads the board through a browser.",
        ),
    ] = ""
    # Sixteen characters drawn from 64 are 96 bits: nobody guesses them over a network.
    board_http_token: Annotated[
        SecretStr | None,
        Field(
            min_length=16,
            description="Token that the board asks for over HTTP, 16 characters at least; the page exchanges it for a "
            "cookie. Make one by openssl rand -hex 32. Without one everybody who reaches the port may read.",
        ),
    ] = None
    board_root_path: Annotated[
        str,
        Field(
            pattern=r"^(/[A-Za-z0-9._~-]+)*$",
            description="Path under which a proxy in front shows the board, such as /board; empty: none.",
        ),
    ] = ""
    # A fit of sixty models takes a tenth of a second: this keeps a core nine tenths free.
    board_refresh_s: Annotated[
        Seconds, Field(description="Numbers that are asked for again are computed anew after so long, not before.")
    ] = 5.0

    board_battle_url: Annotated[
        str | None,
        Field(
            description="Where a battle can be looked up, such as https://chat.example.org/battles/{id}: makes links "
            "of what a person should look at."
        ),
    ] = None
    board_shipped: Annotated[
        Path | None,
        Field(
            description="What `prefstream evaluate --json FILE` wrote of the panel when it was shipped: the judges are "
            "held against it."
        ),
    ] = None
    board_unknown_selection: Annotated[
        Literal["as-random", "leave-out"],
        Field(
            description="What becomes of votes of which nobody knows how probable it was that they were asked for: "
            "count them as if they came at random, or leave them out."
        ),
    ] = "as-random"

    board_allow_battles: Annotated[
        bool,
        Field(
            description="Let who sees the page try a battle out: a form writes a prompt and two answers to the battles "
            "topic, as any producer does, and shows the verdict that comes back. Each takes the judges' time. At most "
            "64 KiB, and 30 a minute; no other web page can send one. Needs Write on that topic; where more than this "
            "machine reaches the port, the token (board_http_token) too."
        ),
    ] = False
    board_show_texts: Annotated[
        bool,
        Field(
            description="Let who sees the page read what a battle says: its record is fetched from the battles topic "
            "when somebody asks for it, and kept nowhere. Without it the page holds no text of any battle. Needs Read "
            "on that topic; where more than this machine reaches the port, the token (board_http_token) too."
        ),
    ] = False

    board_shadow: Annotated[
        bool,
        Field(
            description="Show how the newest answers of a shadow (`prefstream run --shadow`) differ from those that "
            "are served. Needs Read on shadow_topic."
        ),
    ] = False

    group_id: Annotated[
        str, Field(description="Consumer group of the stream, whose lag is told; the board joins none.")
    ] = "prefstream"

    broker_timeout_s: ReadingTimeout = 120.0

    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"

    @property
    def vote_window(self) -> timedelta:
        """How long a battle and a vote wait for one another."""
        return required_duration(self.board_vote_window)

    @field_validator("board_http_token")
    @classmethod
    def _can_be_sent(cls, token: SecretStr | None) -> SecretStr | None:
        text = "" if token is None else token.get_secret_value()
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("must be of ASCII characters without spaces, for a header to hold it")
        return token

    @field_validator("board_root_path")
    @classmethod
    def _is_not_our_own(cls, path: str) -> str:
        if path in {"/api", "/api/v1", "/page"} or path.startswith("/page/"):
            raise ValueError(f"{path} is where the board's own addresses begin; show it under another path")
        return path

    @field_validator("board_vote_window")
    @classmethod
    def _is_a_span(cls, text: str) -> str:
        required_duration(text)
        return text

    @model_validator(mode="after")
    def _links_can_be_made(self) -> Self:
        if self.board_battle_url is not None:
            _check_link_template(self.board_battle_url)
        return self


def _check_link_template(template: str) -> None:
    if ID_PLACE not in template:
        raise ValueError(
            f"board_battle_url: has no {ID_PLACE}; write where the battle's id goes, such as "
            f"https://chat.example.org/battles/{ID_PLACE}"
        )
    try:
        parts = urlsplit(template)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in _LINK_SCHEMES or not template.isprintable() or " " in template:
        raise ValueError("board_battle_url: must be an address of http:// or https://")
    if ID_PLACE in parts.netloc:
        raise ValueError(f"board_battle_url: the id stands in the host; put {ID_PLACE} behind it")
