"""`python -m tests.image`: an image at work, as nobody special, on Apache Kafka: battles in, preferences out."""

from __future__ import annotations

import json
import socket
import tempfile
import urllib.request
from pathlib import Path
from typing import Annotated, Final

import typer
from packaging.utils import canonicalize_name
from packaging.version import Version

from prefstream.consumer.config import StreamConfig
from tests.image.container import Container, container, layers, packages, wait_while_running
from tests.support.collector import Collector, collecting
from tests.support.kafka.cluster import ENV_HOME, KafkaCluster, kafka_home
from tests.support.streams import assert_exactly_once, battle_events, fresh_config, produce, visible_count

DEPLOY: Final = Path(__file__).parents[2] / "deploy"


def image(
    *,
    name: Annotated[
        str, typer.Option("--image", help="The image; the CPU one, for the bill of materials.")
    ] = "prefstream",
    panel: Annotated[
        str, typer.Option(help="Panel file in the container: one of deploy/panels, or what `--mount` brings.")
    ] = "/panels/priors.yaml",
    mount: Annotated[
        list[str] | None, typer.Option(help="What else to mount, as Podman's `--volume` takes it.")
    ] = None,
    battles: Annotated[int, typer.Option(min=1, help="To send; one more is none, and becomes a dead letter.")] = 20,
    traces: Annotated[bool, typer.Option("--traces", help="Trace battles, and hold the spans that come.")] = False,
    memory: Annotated[
        str | None,
        typer.Option(show_default="all there is", help="What it may take at most, as Podman's `--memory` takes it."),
    ] = None,
) -> None:
    """Run an image with all rights taken away, and hold what it does against what its files promise.

    Exit codes: 0 all of it held, 1 not.
    """
    home = kafka_home()
    if home is None:
        raise typer.BadParameter(f"{ENV_HOME} should name an unpacked Kafka, and Java be there")
    sizes = layers(name)
    typer.echo(f"{sum(size for size, _ in sizes) / 1e6:,.0f} MB")
    for size, made_by in sizes[:4]:
        typer.echo(f"  {size / 1e6:7,.0f} MB  {' '.join(made_by.split())[:100]}")
    _hold_against_bill(packages(name))
    with (
        tempfile.TemporaryDirectory() as folder,
        KafkaCluster(home, Path(folder) / "kafka") as cluster,
        collecting() as collector,
    ):
        config = fresh_config(cluster.bootstrap_servers, partitions=4)
        sent = produce(config, [*battle_events(battles), b"none"])
        environment = _settings(config, panel)
        with container(name, "topics", "create", environment=environment) as once:
            assert once.wait() == 0, once.log()
        if traces:
            environment |= {"PREFSTREAM_TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        mounts = [f"{DEPLOY / 'panels'}:/panels:ro", *(mount or ())]
        with container(name, environment=environment, mounts=mounts, memory=memory) as running:
            _serve(running, config, environment["PREFSTREAM_HTTP_PORT"], len(sent))
            code = running.stop()
            assert code == 0, f"exit code {code}\n{running.log()}"
        outcome = assert_exactly_once(config, sent)
        typer.echo(
            f"SIGTERM: exit code {code}; {len(outcome.preferences)} preferences, "
            f"{len(outcome.dead_letters)} dead letter, each record answered once"
        )
        _hold_spans(collector, config.battles_topic, len(sent) if traces else 0)


def _serve(running: Container, config: StreamConfig, port: str, records: int) -> None:
    wait_while_running(running, lambda: _says_yes(port, "/readyz"), "it was ready")
    typer.echo(f"ready after {running.age_s:.1f} s")
    wait_while_running(running, lambda: running.health() == "healthy", "it was healthy")
    typer.echo("healthy, by the image's own check")
    wait_while_running(running, lambda: visible_count(config) >= records, "all was answered")
    typer.echo(f"all answered after {running.age_s:.1f} s")


def _hold_spans(collector: Collector, topic: str, records: int) -> None:
    """All of them are there once the container has ended: it waits for the last ones."""
    ended = collector.named(f"process {topic}")
    assert len(ended) == records, f"{len(ended)} spans of {records} traced records"
    assert all(span.service == "prefstream" and span.attributes["prefstream.committed"] for span in ended)
    if records:
        typer.echo(f"{len(collector.spans)} spans, one of them for each of {records} records, all committed")


def _says_yes(port: str, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


def _settings(config: StreamConfig, panel: str) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chosen = ("bootstrap_servers", "group_id", "battles_topic", "preferences_topic", "dead_letters_topic")
    return {
        **{f"PREFSTREAM_{field.upper()}": getattr(config, field) for field in chosen},
        "PREFSTREAM_PANEL": panel,
        "PREFSTREAM_HTTP_PORT": str(port),
        "PREFSTREAM_LOG_FORMAT": "json",
    }


def _hold_against_bill(installed: dict[str, str]) -> None:
    bill = json.loads((DEPLOY / "sbom.cdx.json").read_text(encoding="utf-8"))
    listed = {(canonicalize_name(part["name"]), Version(part["version"])) for part in bill["components"]}
    found = {(canonicalize_name(name), Version(version)) for name, version in installed.items()}
    own = {(name, version) for name, version in found if name == "prefstream"}
    assert len(own) == 1
    assert found - own == listed, f"not as the bill of materials has it: {sorted(map(str, (found - own) ^ listed))}"
    typer.echo(f"{len(listed)} packages and prefstream, as the bill of materials has them")


if __name__ == "__main__":
    typer.run(image)
