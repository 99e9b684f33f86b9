"""Settings: which source wins, what is refused and how, and that secrets stay secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from prefstream.consumer.config import TOPIC_FIELDS, StreamConfig
from prefstream.consumer.connection import ENV_CONFIG_FILE, ENV_SECRETS_DIR, KafkaConnection
from prefstream.consumer.errors import UsageError

SECRET = "correct-horse"  # noqa: S105 - looked for where it must not be
LOGIN: dict[str, Any] = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "me"}
OAUTH_LOGIN: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauth_token_url": "https://login.test/token",
    "sasl_oauth_client_id": "me",
    "sasl_oauth_client_secret": SecretStr(SECRET),
}


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ENV_CONFIG_FILE, ENV_SECRETS_DIR, "PREFSTREAM_GROUP_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def yaml_file(tmp_path: Path) -> Path:
    path = tmp_path / "prefstream.yaml"
    path.write_text("group_id: from-yaml\n")
    return path


@pytest.fixture
def secrets_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv(ENV_SECRETS_DIR, str(folder))
    return folder


def test_without_anything_the_defaults_hold() -> None:
    assert StreamConfig.load().group_id == "prefstream"


def test_the_yaml_file_wins_over_defaults(yaml_file: Path) -> None:
    assert StreamConfig.load(yaml_file).group_id == "from-yaml"


def test_a_secret_file_wins_over_the_yaml_file(yaml_file: Path, secrets_dir: Path) -> None:
    (secrets_dir / "group_id").write_text("from-secret-file\n")
    assert StreamConfig.load(yaml_file).group_id == "from-secret-file"


def test_the_environment_wins_over_a_secret_file(secrets_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets_dir / "group_id").write_text("from-secret-file")
    monkeypatch.setenv("PREFSTREAM_GROUP_ID", "from-environment")
    assert StreamConfig.load().group_id == "from-environment"


def test_a_variable_in_small_letters_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("prefstream_group_id", "small")
    assert StreamConfig.load().group_id == "prefstream"


@pytest.mark.parametrize("servers", ["127.0.0.1", "kafka-1:9092, kafka-2"])
def test_a_broker_without_a_port_is_refused_with_that(servers: str) -> None:
    with pytest.raises(UsageError, match=r"the port of (127.0.0.1|kafka-2) is missing; write HOST:PORT"):
        StreamConfig.load(bootstrap_servers=servers)


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFSTREAM_GROUP_ID", "from-environment")
    assert StreamConfig.load(group_id="from-flag").group_id == "from-flag"


def test_a_flag_that_was_not_given_hides_nothing(yaml_file: Path) -> None:
    assert StreamConfig.load(yaml_file, group_id=None).group_id == "from-yaml"


def test_the_environment_names_the_yaml_file(yaml_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_CONFIG_FILE, str(yaml_file))
    assert StreamConfig.load().group_id == "from-yaml"


def test_a_file_that_is_given_wins_over_one_that_the_environment_names(
    yaml_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_CONFIG_FILE, str(tmp_path / "no-such-file"))
    assert StreamConfig.load(yaml_file).group_id == "from-yaml"


def test_a_missing_file_is_a_usage_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml: does not exist"):
        StreamConfig.load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("text", ["group_id: [", "- group_id", "just text", "group_id: \x00", "\t"], ids=repr)
def test_a_file_that_is_no_mapping_is_a_usage_error_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"broken\.yaml"):
        StreamConfig.load(path)


def test_an_empty_file_is_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing yet\n")
    assert StreamConfig.load(path).model_dump() == StreamConfig.load().model_dump()


def test_a_file_that_is_no_text_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"group_id: \xff\xfe")
    with pytest.raises(UsageError, match=r"binary\.yaml"):
        StreamConfig.load(path)


def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path) -> None:
    path = tmp_path / "typo.yaml"
    path.write_text("grup_id: x\n")
    with pytest.raises(UsageError, match="grup_id: unknown key; did you mean group_id"):
        StreamConfig.load(path)


def test_all_faults_are_told_together_with_their_sources(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("linger_ms: -1\nmax_in_flight: 0\nhttp_port: many\n")
    with pytest.raises(UsageError) as fault:
        StreamConfig.load(path)
    assert all(name in str(fault.value) for name in ("linger_ms", "max_in_flight", "http_port", "faults.yaml"))


@pytest.mark.parametrize("other", [field for field in TOPIC_FIELDS if field != "battles_topic"])
def test_no_topic_serves_two_ends(other: str) -> None:
    with pytest.raises(UsageError, match=rf"battles_topic, {other}: must be topics of their own"):
        StreamConfig.load(None, **{"battles_topic": "same", other: "same"})


def test_there_is_no_review_topic_unless_one_is_named() -> None:
    assert StreamConfig.load().review_topic is None


@pytest.mark.parametrize("limit", ["-0.1", "1.5", "nan", "half"])
def test_a_dead_letter_limit_is_a_share(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFSTREAM_DEAD_LETTER_LIMIT", limit)
    with pytest.raises(UsageError, match="dead_letter_limit"):
        StreamConfig.load()


def test_settings_can_not_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        StreamConfig.load().group_id = "other"  # type: ignore[misc]


@pytest.mark.parametrize("missing", ["sasl_mechanism", "sasl_username", "sasl_password"])
def test_half_a_login_is_a_usage_error_that_names_the_rest(missing: str) -> None:
    settings: dict[str, Any] = {**LOGIN, "sasl_password": SecretStr(SECRET)}
    del settings[missing]
    with pytest.raises(UsageError, match=missing) as fault:
        KafkaConnection.load(**settings)
    assert SECRET not in str(fault.value)


def test_a_login_without_a_protocol_that_uses_it_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no effect"):
        KafkaConnection.load(sasl_mechanism="PLAIN", sasl_username="me", sasl_password=SecretStr(SECRET))


@pytest.mark.parametrize("missing", ["sasl_oauth_token_url", "sasl_oauth_client_id", "sasl_oauth_client_secret"])
def test_half_a_login_by_oauth_is_a_usage_error_that_names_the_rest(missing: str) -> None:
    settings = {name: setting for name, setting in OAUTH_LOGIN.items() if name != missing}
    with pytest.raises(UsageError, match=missing) as fault:
        KafkaConnection.load(**settings)
    assert SECRET not in str(fault.value)


@pytest.mark.parametrize(
    ("settings", "useless"),
    [
        (LOGIN | {"sasl_password": SecretStr(SECRET), "sasl_oauth_scope": "kafka"}, "sasl_oauth_scope"),
        (OAUTH_LOGIN | {"sasl_username": "me"}, "sasl_username"),
    ],
)
def test_what_belongs_to_another_mechanism_is_a_usage_error(settings: dict[str, Any], useless: str) -> None:
    with pytest.raises(UsageError, match=f"{useless}: no effect with sasl_mechanism"):
        KafkaConnection.load(**settings)


@pytest.mark.parametrize(
    "url",
    [
        "http://login.test/token",
        "http://localhost.test/token",
        "ftp://login.test/token",
        "login.test/token",
        "https:///token",
        "https://login.test:many/token",
        f"https://me:{SECRET}@login.test/token",
        "file:///etc/passwd",
    ],
)
def test_a_secret_goes_to_no_address_where_others_could_read_it(url: str) -> None:
    with pytest.raises(UsageError) as fault:
        KafkaConnection.load(**OAUTH_LOGIN | {"sasl_oauth_token_url": url})
    assert SECRET not in str(fault.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080"])
def test_a_token_endpoint_on_this_machine_needs_no_tls(host: str) -> None:
    client = KafkaConnection.load(**OAUTH_LOGIN | {"sasl_oauth_token_url": f"http://{host}/token"}).oauth_client
    assert client is not None
    assert client.token_url == f"http://{host}/token"


def test_a_key_without_its_certificate_is_a_usage_error(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch()
    with pytest.raises(UsageError, match="no effect without ssl_certfile"):
        KafkaConnection.load(security_protocol="SSL", ssl_keyfile=key)


def test_secrets_come_from_environment_or_files_and_are_never_shown(
    secrets_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secrets_dir / "sasl_password").write_text(f"{SECRET}\n")
    monkeypatch.setenv("PREFSTREAM_SSL_PASSWORD", SECRET)
    config = StreamConfig.load(**LOGIN)
    for password in (config.sasl_password, config.ssl_password):
        assert password is not None
        assert password.get_secret_value() == SECRET
    assert SECRET not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"


def test_errors_do_not_quote_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFSTREAM_SASL_PASSWORD", SECRET)
    with pytest.raises(UsageError) as fault:
        StreamConfig.load(**LOGIN, linger_ms=-1)
    assert SECRET not in str(fault.value)


def test_a_folder_of_secrets_as_kubernetes_mounts_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is a link into a folder that is replaced as a whole when the secret changes."""
    mount = tmp_path / "mount"
    version = mount / "..2026_11_22"
    version.mkdir(parents=True)
    (version / "sasl_password").write_text(SECRET)
    (mount / "..data").symlink_to(version.name)
    (mount / "sasl_password").symlink_to("..data/sasl_password")
    monkeypatch.setenv(ENV_SECRETS_DIR, str(mount))
    password = StreamConfig.load(**LOGIN).sasl_password
    assert password is not None
    assert password.get_secret_value() == SECRET


def test_a_folder_of_secrets_that_does_not_exist_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going on would mean going on without the password."""
    monkeypatch.setenv(ENV_SECRETS_DIR, str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="nowhere"):
        StreamConfig.load()


@pytest.mark.parametrize("name", ["PREFSTREAM_PANEL", "PREFSTREAM_SASL_MECHANISM", "PREFSTREAM_INSTANCE_ID"])
def test_an_empty_variable_is_a_variable_that_is_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files and charts pass what they have, empty or not."""
    unset = StreamConfig.load().model_dump()
    monkeypatch.setenv(name, "")
    assert StreamConfig.load().model_dump() == unset


def test_every_setting_is_explained() -> None:
    """The description is the option's help."""
    assert [name for name, field in StreamConfig.model_fields.items() if not field.description] == []
