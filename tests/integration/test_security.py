"""Connections and ACLs on Apache Kafka: who gets in, with what ACLs exactly, and what a person reads who does not.

One broker, with a listener for each way to log in. Every user has topics, a group and ACLs of its own. Every secret
holds a marker, which is looked for in all that is written.
"""

from __future__ import annotations

import http.client
import json
import logging
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from kafka import KafkaAdminClient
from pydantic import SecretStr
from typer.testing import CliRunner

from prefstream.consumer.cli.doctor import doctor
from prefstream.consumer.client import clients as kafka_client
from prefstream.consumer.client.clients import admin_client, make_admin
from prefstream.consumer.client.topic_creation import make_topics, plan_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import BrokerUnreachableError, NotAuthorizedError
from prefstream.consumer.stream.lost_offsets import find_starts
from tests.support.kafka.cluster import ENV_HOME, KafkaCluster, kafka_home
from tests.support.kafka.security import (
    Acl,
    Authority,
    broker_settings,
    grant,
    needed_acls,
    plain_users,
    revoke,
    scram_listener,
)
from tests.support.kafka.token_server import TokenServer, token_server
from tests.support.priors import write_prior_panel
from tests.support.processes import Prefstream, run_arguments
from tests.support.streams import Position, battle_event, produce, read_outcome, read_topic, running, wait_until

MARKER: Final = "zqsecret"
"""Stands in every password, client secret and key's password here."""

LOGINS: Final = ("scram", "plain", "certificate", "token")
"""Ways to log in, each also the name of a user with exactly the ACLs that `run` needs."""

SESSION_S: Final = 3.0
"""The broker wants a new token so often, and a token lives as long."""


def names_of(user: str) -> dict[str, Any]:
    """Group and topics of a user."""
    return {
        "group_id": user,
        "battles_topic": f"{user}.battles",
        "preferences_topic": f"{user}.preferences",
        "dead_letters_topic": f"{user}.dead-letters",
        "review_topic": f"{user}.review",
    }


def acls_of(user: str) -> tuple[Acl, ...]:
    """All that a user needs."""
    return needed_acls(StreamConfig.model_construct(**names_of(user)))


@dataclass(frozen=True)
class Lacking:
    """A user who has all ACLs but one.

    Attributes:
        user: its name.
        acl: the one that is missing.
        sees: whether Describe was granted instead: what is denied is in sight.
    """

    user: str
    acl: Acl
    sees: bool

    @property
    def acls(self) -> list[Acl]:
        """What it has."""
        instead = [replace(self.acl, operation="Describe")] if self.sees else []
        return [acl for acl in acls_of(self.user) if acl != self.acl] + instead

    @property
    def words(self) -> str:
        """How the missing ACL must be called."""
        kind = self.acl.resource.replace("transactional-id", "transactional ids that start with")
        return f"{self.acl.operation} on {kind} {self.acl.name}"


LACKING: Final = [
    Lacking(user, acls_of(user)[number], sees)
    for number in range(len(acls_of("")))
    for sees in (False, True)
    for user in [f"lacks-{number}-{'sees' if sees else 'blind'}"]
]
ROBBED: Final = [
    Lacking(f"robbed-{number}", acls_of(f"robbed-{number}")[number], sees=False) for number in range(len(acls_of("")))
]
"""Users who lose an ACL while they serve."""

SHADOW: Final = "shadow"
"""A user with exactly the ACLs that `run --shadow` needs."""

AS_SHADOW: Final[dict[str, Any]] = {"shadow": True, "shadow_topic": f"{SHADOW}.preferences.shadow"}

CREATOR: Final = "creator"
"""Who makes topics for others."""

PASSWORDS: Final = {
    user: f"{MARKER}-of-{user}"
    for user in (*LOGINS, SHADOW, CREATOR, *(some.user for some in LACKING), *(some.user for some in ROBBED))
}


@dataclass(frozen=True)
class Secured:
    """A cluster that lets nobody in without reason, and what its users need."""

    cluster: KafkaCluster
    authority: Authority
    strangers: Authority
    tokens: TokenServer

    def config(self, user: str, login: str = "scram", **changes: Any) -> StreamConfig:
        """The settings of a user who logs in in one of the ways."""
        return StreamConfig.load(
            **{
                "bootstrap_servers": self.cluster.servers(_LISTENERS[login]),
                "ssl_cafile": self.authority.cafile,
                **self._login(user, login),
                **names_of(user),
                "http": False,
                **changes,
            }
        )

    def inside(self, config: StreamConfig) -> StreamConfig:
        """The same topics, seen by a super user without login."""
        return config.model_copy(
            update={"bootstrap_servers": self.cluster.internal_servers, "security_protocol": "PLAINTEXT"}
        )

    def _login(self, user: str, login: str) -> dict[str, Any]:
        if login == "tls":
            return {"security_protocol": "SSL"}
        if login == "certificate":
            certfile, keyfile = self.authority.client(user, PASSWORDS[user])
            files = {"ssl_certfile": certfile, "ssl_keyfile": keyfile, "ssl_password": SecretStr(PASSWORDS[user])}
            return {"security_protocol": "SSL", **files}
        if login == "token":
            return {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_oauth_token_url": self.tokens.url,
                "sasl_oauth_client_id": user,
                "sasl_oauth_client_secret": SecretStr(PASSWORDS[user]),
                "sasl_oauth_cafile": self.authority.cafile,
            }
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": {"plain": "PLAIN", "scram": "SCRAM-SHA-512"}[login],
            "sasl_username": user,
            "sasl_password": SecretStr(PASSWORDS[user]),
        }


_LISTENERS: Final = {"scram": "CLIENT", "plain": "CLIENT", "tls": "TLS", "certificate": "MTLS", "token": "TOKEN"}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The cluster, with all users and their ACLs."""
    home = kafka_home() or pytest.skip(f"needs an unpacked Apache Kafka: name it by {ENV_HOME} (and have Java 17)")
    authority, strangers = (Authority(tmp_path_factory.mktemp(name)) for name in ("authority", "strangers"))
    settings = (
        broker_settings(authority)
        | scram_listener("client")
        | plain_users("client", {"plain": PASSWORDS["plain"]})
        | {
            "listener.name.client.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            "listener.name.mtls.ssl.client.auth": "required",
            # Without a validator of its own, Kafka takes tokens that nobody signed: for tests.
            "listener.name.token.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.token.oauthbearer.sasl.jaas.config": (
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
                'unsecuredLoginStringClaim_sub="broker";'
            ),
            "listener.name.token.oauthbearer.connections.max.reauth.ms": int(1_000 * SESSION_S),
        }
    )
    cluster = KafkaCluster(
        home,
        tmp_path_factory.mktemp("kafka"),
        protocol="SASL_SSL",
        listeners={"TLS": "SSL", "MTLS": "SSL", "TOKEN": "SASL_SSL"},
        scram_users=PASSWORDS,
        settings=settings,
    )
    keystore = authority.keystore("127.0.0.1")
    with cluster, token_server("token", PASSWORDS["token"], life_s=SESSION_S, keystore=keystore) as tokens:
        acls = {user: [*acls_of(user)] for user in (*LOGINS, *(some.user for some in ROBBED))}
        acls[SHADOW] = [*needed_acls(StreamConfig.model_construct(**names_of(SHADOW), **AS_SHADOW))]
        grant(cluster.internal_servers, acls | {some.user: some.acls for some in LACKING})
        topics = [acl.name for user in PASSWORDS for acl in acls_of(user) if acl.resource == "topic"]
        topics.append(AS_SHADOW["shadow_topic"])
        with closing(KafkaAdminClient(bootstrap_servers=cluster.internal_servers)) as admin:
            admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1} for topic in topics})
        yield Secured(cluster, authority, strangers, tokens)


@pytest.fixture(autouse=True)
def _no_secret_in_what_is_written(
    secured: Secured, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """In this process: logs of every library, and what is printed."""
    caplog.set_level(logging.INFO)
    yield
    printed = capsys.readouterr()
    sys.stdout.write(printed.out)  # for a test that failed
    assert_secretless(secured, caplog.text + printed.out + printed.err)


def assert_secretless(secured: Secured, text: str) -> None:
    assert MARKER not in text
    assert not [token for token in secured.tokens.given if token in text]


@contextmanager
def prefstream_run(secured: Secured, config: StreamConfig, folder: Path, **settings: object) -> Iterator[Prefstream]:
    """`prefstream run` in a process, whose secrets come by its environment; none may be in its log."""
    plain: dict[str, object] = {}
    secrets = {}
    for name in type(config).model_fields:
        setting = getattr(config, name)
        if isinstance(setting, SecretStr):
            secrets[f"PREFSTREAM_{name.upper()}"] = setting.get_secret_value()
        elif name.startswith(("ssl_", "sasl_", "security_")) and setting is not None:
            plain[name] = setting
    arguments = run_arguments(config, write_prior_panel(folder), **plain, **settings)
    run = Prefstream(*arguments, log=folder / "run.log", environment=secrets)
    try:
        yield run
    finally:
        run.kill()
    assert_secretless(secured, run.log)


def complaint(run: Prefstream) -> str:
    """What ended a process, with 1."""
    assert run.wait() == 1, run.log
    return run.failure


Examine = Callable[[StreamConfig], dict[str, dict[str, Any]]]


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Runs `prefstream doctor`; its findings, by check."""
    monkeypatch.setenv("MALLOC_TOP_PAD_", "268435456")  # it would start this process again for such settings
    app = typer.Typer()
    app.command()(doctor)

    def examine(config: StreamConfig) -> dict[str, dict[str, Any]]:
        settings = {name: getattr(config, name) for name in type(config).model_fields}
        environment = {
            f"PREFSTREAM_{name.upper()}": setting.get_secret_value() if isinstance(setting, SecretStr) else str(setting)
            for name, setting in settings.items()
            if setting is not None
        }
        environment["PREFSTREAM_PANEL"] = str(write_prior_panel(tmp_path))
        result = CliRunner().invoke(app, ["--json"], env=environment)
        assert MARKER not in result.output
        findings = {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}
        assert result.exit_code == any(finding["state"] == "fail" for finding in findings.values())
        return findings

    return examine


# --- who gets in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", LOGINS)
def test_run_serves_with_exactly_these_acls(secured: Secured, tmp_path: Path, login: str) -> None:
    config = secured.config(login, login)
    sent = produce(secured.inside(config), [*map(battle_event, range(5)), b"no battle"])
    with prefstream_run(secured, config, tmp_path) as run:
        wait_until(lambda: run.published == len(sent) or run.ended, 60, "the answers")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0, run.log
    assert_once(secured, config, sent)


def test_a_shadow_answers_and_is_found_well_with_exactly_its_acls(
    secured: Secured, tmp_path: Path, examine: Examine
) -> None:
    """None on a topic that those write who serve."""
    config = secured.config(SHADOW, **AS_SHADOW)
    inside = secured.inside(config)
    sent = produce(inside, [*map(battle_event, range(5)), b"no battle"])
    with prefstream_run(secured, config, tmp_path) as run:
        wait_until(lambda: run.published == len(sent) or run.ended, 60, "the answers")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0, run.log
    assert len(read_topic(inside.bootstrap_servers, config.shadow_topic)) == 5
    findings = examine(config)
    assert {check: found for check, found in findings.items() if found["state"] in {"fail", "skipped"}} == {}
    assert findings[f"group {config.group}"]["found"].endswith("lag 0 battles")


def test_no_secret_is_served_over_http(secured: Secured, tmp_path: Path) -> None:
    config = secured.config("token", "token")
    with prefstream_run(secured, config, tmp_path, http_port=0) as run:
        url = run.wait_streaming()["http"]
        for path in ("livez", "readyz", "metrics", "nowhere"):
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=100)
            with closing(connection):
                connection.request("GET", f"/{path}")
                assert_secretless(secured, connection.getresponse().read().decode())


def assert_once(secured: Secured, config: StreamConfig, sent: Sequence[Position]) -> None:
    positions = read_outcome(secured.inside(config)).positions
    assert {position: positions[position] for position in sent} == dict.fromkeys(sent, 1)


@pytest.mark.parametrize("login", LOGINS)
def test_doctor_finds_nothing_amiss_with_exactly_these_acls(secured: Secured, examine: Examine, login: str) -> None:
    findings = examine(secured.config(login, login))
    assert {check: found for check, found in findings.items() if found["state"] in {"fail", "skipped"}} == {}


def test_topics_are_made_with_exactly_the_acls_of_the_guide(secured: Secured) -> None:
    names = names_of("made") | {"group_id": CREATOR}
    config = secured.config(CREATOR, **names)
    with pytest.raises(NotAuthorizedError, match=r"the broker denies Create on topic made\.battles: grant that and"):
        make_topics(config)
    plan = plan_topics(config, partitions=2, replicas=1)
    acls = [Acl(operation, "topic", topic.name) for operation in ("Create", "Describe") for topic in plan]
    grant(secured.cluster.internal_servers, {CREATOR: acls})

    def made() -> bool:
        try:
            return all(topic.found is None for topic in make_topics(config, partitions=2))
        except NotAuthorizedError:
            return False  # the broker has not heard of the ACLs yet

    wait_until(made, what="the topics")
    there = [len(topic.found.partitions) if topic.found else 0 for topic in make_topics(config)]
    assert there == [topic.partitions for topic in plan]


def test_tls_needs_no_certificate_of_ours_where_the_broker_asks_for_none(secured: Secured) -> None:
    with admin_client(secured.config("nobody", "tls")) as admin:
        assert "scram.battles" in admin.list_topics()


def test_tokens_are_renewed_while_battles_come_and_an_endpoint_that_is_away_is_survived(secured: Secured) -> None:
    config = secured.config("token", "token", sasl_oauth_scope="renewal")
    given = len(secured.tokens.given)
    with running(config) as service:
        sent: list[Position] = []
        while len(secured.tokens.given) - given < 3:
            sent += produce(secured.inside(config), [battle_event(len(sent))])
            service.wait_published(len(sent))
            time.sleep(0.2)
        secured.tokens.answer = (HTTPStatus.SERVICE_UNAVAILABLE, b"", {})
        sent += produce(secured.inside(config), [battle_event(len(sent))])
        time.sleep(1.5 * SESSION_S)  # no connection outlives its token
        secured.tokens.answer = None
        sent += produce(secured.inside(config), [battle_event(len(sent))])
        service.wait_published(len(sent))
    assert_once(secured, config, sent)


# --- who does not --------------------------------------------------------------------------------------------------


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long enough for a try or two."""
    monkeypatch.setattr(kafka_client, "CONNECT_TIMEOUT_MS", 3_000)


def refusal(config: StreamConfig) -> str:
    """Why there is no connection."""
    with pytest.raises(BrokerUnreachableError) as refused:
        make_admin(config)
    assert MARKER not in "".join(traceback.format_exception(refused.value))
    return str(refused.value)


WRONG_PASSWORD: Final[dict[str, Any]] = {"sasl_password": SecretStr(f"{MARKER}-wrong")}


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("login", "changes", "told"),
    [
        (
            "tls",
            lambda secured: {"ssl_cafile": secured.strangers.cafile},
            "the broker's certificate is not signed by the CA given (ssl_cafile)",
        ),
        (
            "certificate",
            lambda _: {"ssl_certfile": None, "ssl_keyfile": None, "ssl_password": None},
            "the broker asks for our certificate; give ssl_certfile and ssl_keyfile",
        ),
        (
            "certificate",
            lambda secured: dict(
                zip(("ssl_certfile", "ssl_keyfile"), secured.strangers.client("certificate", MARKER), strict=True),
                ssl_password=SecretStr(MARKER),
            ),
            "the broker refused our certificate; check ssl_certfile",
        ),
        ("plain", lambda _: WRONG_PASSWORD, "check sasl_username, sasl_password and sasl_mechanism"),
        ("scram", lambda _: WRONG_PASSWORD, "check sasl_username, sasl_password and sasl_mechanism"),
    ],
    ids=["CA", "no certificate", "certificate", "PLAIN", "SCRAM"],
)
def test_who_is_refused_reads_why(
    secured: Secured, login: str, changes: Callable[[Secured], dict[str, Any]], told: str
) -> None:
    assert refusal(secured.config(login, login, **changes(secured))).endswith(told)


@pytest.mark.usefixtures("_impatient")
def test_a_token_that_the_broker_refuses_is_told(secured: Secured) -> None:
    expired = {"access_token": secured.tokens.new_token(-60.0), "token_type": "Bearer", "expires_in": 60}
    secured.tokens.answer = (HTTPStatus.OK, json.dumps(expired).encode(), {})
    try:
        told = refusal(secured.config("token", "token", sasl_oauth_scope="expired"))
    finally:
        secured.tokens.answer = None
    assert told.endswith("the broker refused the login; check what it expects of an access token (sasl_oauth_scope)")


@pytest.mark.usefixtures("_impatient")
def test_doctor_tells_a_wrong_password_and_does_not_repeat_it(secured: Secured, examine: Examine) -> None:
    findings = examine(secured.config("scram", **WRONG_PASSWORD))
    assert "check sasl_username, sasl_password" in findings["broker"]["found"]


def test_a_client_secret_that_the_token_endpoint_refuses_ends_run_with_one_line(
    secured: Secured, tmp_path: Path
) -> None:
    config = secured.config("token", "token", sasl_oauth_client_secret=SecretStr(f"{MARKER}-wrong"))
    with prefstream_run(secured, config, tmp_path) as run:
        assert complaint(run) == (
            f"the token endpoint {secured.tokens.url} refuses the client token (HTTP 401, invalid_client); "
            "check sasl_oauth_client_id and sasl_oauth_client_secret"
        )


@pytest.mark.parametrize("lacking", LACKING, ids=lambda lacking: lacking.user)
def test_run_without_one_of_its_acls_ends_with_one_line_that_names_it(
    secured: Secured, tmp_path: Path, lacking: Lacking
) -> None:
    with prefstream_run(secured, secured.config(lacking.user), tmp_path) as run:
        assert complaint(run).startswith(f"the broker denies {lacking.words}: grant that")


@pytest.mark.parametrize("lacking", LACKING, ids=lambda lacking: lacking.user)
def test_doctor_names_the_right_that_is_missing_and_no_other(
    secured: Secured, examine: Examine, lacking: Lacking
) -> None:
    findings = examine(secured.config(lacking.user))
    remedies = {finding["remedy"] for finding in findings.values() if finding["state"] == "fail"}
    assert remedies == {f"grant {lacking.words}"}


def test_a_group_that_has_lost_its_offsets_may_not_begin_again_unless_it_may_look_at_its_answers(
    secured: Secured,
) -> None:
    """It may only write them; whether everything would be answered twice is not known without reading."""
    config = secured.config("scram")
    with running(config) as service:
        produce(secured.inside(config), [battle_event(0)])
        service.wait_published(1)
    with closing(KafkaAdminClient(bootstrap_servers=secured.cluster.internal_servers)) as admin:
        committed = admin.list_group_offsets({config.group_id: None})[config.group_id]
        admin.delete_groups([config.group_id])
        try:
            with pytest.raises(
                NotAuthorizedError, match=f"Read on topic {config.preferences_topic}.*grant that"
            ) as told:
                find_starts(config)
            assert "--on-lost-offsets earliest" in str(told.value)
            assert find_starts(secured.inside(config)) == {at: position.offset for at, position in committed.items()}
        finally:
            admin.alter_group_offsets(config.group_id, committed)


@pytest.mark.parametrize("robbed", ROBBED, ids=lambda robbed: robbed.user)
def test_a_right_that_is_taken_away_ends_a_running_service_and_is_named(secured: Secured, robbed: Lacking) -> None:
    config = secured.config(robbed.user, review_share=1, review_share_above=1)
    event = b"no battle" if robbed.acl.name.endswith("dead-letters") else battle_event(0)
    with running(config) as service:
        produce(secured.inside(config), [event])
        service.wait_published(1)
        revoke(secured.cluster.internal_servers, robbed.user, robbed.acl)
        wait_until(lambda: produce(secured.inside(config), [event]) and not service.alive, what="the end")
        error = service.wait_ended()
    assert isinstance(error, NotAuthorizedError)
    assert robbed.words in str(error)


def test_the_listener_of_a_controller_is_told_from_a_brokers(secured: Secured) -> None:
    config = StreamConfig.load(bootstrap_servers=secured.cluster.servers("CONTROLLER"), broker_timeout_s=3)
    with pytest.raises(BrokerUnreachableError, match=r"answers no clients \(a controller's\?\)"):
        make_admin(config)
