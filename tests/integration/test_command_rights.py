"""Commands on a cluster that lets nobody in without reason: with exactly the rights of the guide, and without each.

A right that none of them uses would go unseen if it were granted: so nobody here has more than the guide says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from typer.testing import CliRunner, Result

from prefstream.consumer.cli import app
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import NotAuthorizedError
from prefstream.consumer.panels.choices import publish_choice, read_choice
from tests.support.kafka.secured import PASSWORD, Secured, secured_cluster
from tests.support.kafka.security import AGAIN, Acl, needed_acls_of_calibration, needed_acls_of_commands
from tests.support.panel_folders import choice, loader_of, write_panels
from tests.support.recalibrated import calibration_of, decided, following, vote
from tests.support.streams import battle_events, produce, read_topic, running, wait_until

NAMES: Final = StreamConfig()
BATTLES: Final = 300

BATTLE: Final = "labelled.jsonl"
PANEL: Final = "one.yaml"
"""Files beside the panels."""

ARGUMENTS: Final[dict[str, list[str]]] = {
    "audit": ["audit", "battles@earliest..latest"],
    "audit --shadow": ["audit", "battles@earliest..latest", "--shadow"],
    "diff": ["diff", "preferences@earliest..latest", "preferences.shadow@earliest..latest", "--votes", "votes"],
    "diff --replay": ["diff", "--replay", "preferences@earliest..latest", "--panel", PANEL],
    "panels list": ["panels", "list"],
    "panels use": ["panels", "use", "two", "--group-id", "another"],
    "replay": ["replay", BATTLE],
    "replay --votes": ["replay", BATTLE, "--votes"],
    "dead-letters retry": ["dead-letters", "retry", "0/0", "--yes"],
    "rescore -o FILE": ["rescore", "battles@0..100", "-o", "-", "--panel", PANEL],
    "rescore -o TOPIC": ["rescore", "battles@0..100", "-o", AGAIN, "--panel", PANEL],
}
ENDS_WITH: Final = {"audit --shadow": 1}
"""What stands on its topic are copies of answers, without the headers that a shadow's have: that is what it finds."""

NEEDED: Final = needed_acls_of_commands(NAMES) | {
    "recalibrate": needed_acls_of_calibration(NAMES),
    "recalibrate --dry-run": [acl for acl in needed_acls_of_calibration(NAMES) if acl.operation != "Write"],
}


def user_of(command: str, lacking: int | None = None) -> str:
    """Who has the rights that a command needs, all but one if one is named."""
    name = command.replace(" ", "-").lower()
    return name if lacking is None else f"{name}-lacks-{lacking}"


LACKING: Final = [(command, number) for command, acls in NEEDED.items() for number in range(len(acls))]
USERS: Final[dict[str, list[Acl]]] = {
    **{user_of(command): list(acls) for command, acls in NEEDED.items()},
    **{
        user_of(command, number): [acl for acl in NEEDED[command] if acl is not NEEDED[command][number]]
        for command, number in LACKING
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_panels(tmp_path_factory.mktemp("panels"), "one", "two")
    said = {"id": "battle-0", "prompt": "Which?", "response_a": "this", "response_b": "that", "winner": "tie"}
    (made / BATTLE).write_text(json.dumps(said) + "\n")
    return made


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Secured]:
    """Battles that a service has answered, and what is none; the same answers as a shadow's; votes on them."""
    with secured_cluster(tmp_path_factory, USERS) as made:
        inside = StreamConfig.load(bootstrap_servers=made.inside.bootstrap_servers, panels=folder, http=False)
        topics = ["battles_topic", "preferences_topic", "dead_letters_topic", "shadow_topic", "votes_topic"]
        with closing(KafkaAdminClient(bootstrap_servers=inside.bootstrap_servers)) as admin:
            names = [*(getattr(inside, topic) for topic in topics), inside.panels_topic, AGAIN]
            admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1} for name in names})
        with running(inside, loader_of(folder)) as service:
            sent = produce(inside, [*battle_events(BATTLES), b"no battle"])
            service.wait_published(len(sent))
        vote(inside, BATTLES)
        with closing(KafkaProducer(bootstrap_servers=inside.bootstrap_servers)) as producer:
            for record in read_topic(inside.bootstrap_servers, inside.preferences_topic):
                producer.send(inside.shadow_topic, record.value, key=record.key)
            producer.flush(60)
        yield made


def call(secured: Secured, command: str, folder: Path, user: str) -> Result:
    """A command, as its user calls it."""
    login = secured.login(user) | {"sasl_password": PASSWORD}
    environment = {f"PREFSTREAM_{name.upper()}": str(setting) for name, setting in login.items()}
    arguments = [str(folder / word) if word in {BATTLE, PANEL} else word for word in ARGUMENTS[command]]
    return CliRunner().invoke(app, arguments, env=environment)


def config_of(secured: Secured, folder: Path, user: str) -> StreamConfig:
    return StreamConfig.load(**secured.login(user), panels=folder)


@pytest.mark.parametrize("command", ARGUMENTS)
def test_a_command_does_its_work_with_exactly_the_rights_of_the_guide(
    secured: Secured, folder: Path, command: str
) -> None:
    result = call(secured, command, folder, user_of(command))
    assert result.exit_code == ENDS_WITH.get(command, 0), (result.output, result.exception)


@pytest.mark.parametrize(("command", "number"), [one for one in LACKING if one[0] in ARGUMENTS])
def test_without_one_of_its_rights_it_names_that_one(secured: Secured, folder: Path, command: str, number: int) -> None:
    lacking = NEEDED[command][number]
    error = call(secured, command, folder, user_of(command, number)).exception
    assert isinstance(error, NotAuthorizedError), error
    assert f"{lacking.operation} on {lacking.resource.replace('-', ' ')} {lacking.name}" in str(error)


def test_live_calibration_chooses_with_exactly_the_rights_of_the_guide_and_only_tells_with_one_less(
    secured: Secured, folder: Path
) -> None:
    chosen = read_choice(secured.inside, NAMES.group_id)
    with following(config_of(secured, folder, user_of("recalibrate --dry-run")), folder, dry_run=True) as live:
        wait_until(lambda: decided(live, "would_publish"), what="a decision")
    assert read_choice(secured.inside, NAMES.group_id) == chosen
    with following(config_of(secured, folder, user_of("recalibrate")), folder) as live:
        wait_until(lambda: decided(live, "published"), what="a choice")
    heard = read_choice(secured.inside, NAMES.group_id)
    assert heard is not None
    assert heard.choice.chosen_by == "calibrate"


@pytest.mark.parametrize("user", [user_of("panels list"), user_of("audit")], ids=["may read", "may not even see it"])
def test_a_choice_that_may_not_be_written_is_told_as_the_right_that_is_missing(
    secured: Secured, folder: Path, user: str
) -> None:
    with pytest.raises(NotAuthorizedError, match="Write on topic panels: grant that"):
        publish_choice(config_of(secured, folder, user), choice(NAMES.group_id))


@pytest.mark.parametrize(("command", "number"), [one for one in LACKING if one[0] not in ARGUMENTS])
def test_live_calibration_without_one_of_its_rights_ends_at_its_start_and_names_it(
    secured: Secured, folder: Path, command: str, number: int
) -> None:
    lacking = NEEDED[command][number]
    config = config_of(secured, folder, user_of(command, number))
    with pytest.raises(NotAuthorizedError, match=f"{lacking.operation} on topic {lacking.name}: grant that"):
        calibration_of(config, folder, dry_run=command.endswith("--dry-run")).run()
