"""A reader in another language: types generated from the committed schemas, and real messages read with them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from prefstream import Battle, Panel, PanelConfig, load_panel
from prefstream.consumer.broker.embedded import EmbeddedBroker
from prefstream.schemas import KafkaSource, Preference, Vote, decode_preference, encode_preference, encode_vote
from prefstream.schemas.dead_letter import ERROR_HEADERS
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from tests.support.hash_judge import score_with_hashes
from tests.support.npm import NPM_S, TYPESCRIPT, run
from tests.support.priors import prior_entry
from tests.support.streams import battle_event, fresh_config, produce, read_topic, running

READER: Final = TYPESCRIPT
SCHEMAS: Final = Path(__file__).parents[2] / "schemas"

pytestmark = pytest.mark.timeout(600)

BATTLES: Final[list[bytes | None]] = [
    battle_event(0, language="de", occurred_at="2026-11-20T10:00:00+01:00", response_id_a=7),
    battle_event(1, prompt="zqprompt", response_a="# zqanswera **so** 12", response_b="- zqanswerb", model_a=None),
    battle_event(2, prompt=["zqprompt", None], response_a=["zqanswera", ""], response_b=["zqanswerb", "b"]),
]
VOTES: Final = (Vote(id="battle-0", winner="model_b", voter="zqvoter"), Vote(id="battle-1", winner="both_bad"))


def swapping_panel() -> Panel:
    """Two judges of unequal weight that read both orders, and a calibrated mean."""
    judges = [prior_entry("one", (0.5, 0.25, 0.25)) | {"weight": 3}, prior_entry("two", (0.25, 0.25, 0.5))]
    config = PanelConfig.model_validate({"judges": judges, "swap": True})
    return load_panel(config, calibration=CalibrationFile(panel=Calibration(tie_bias=0.5)))


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What this version writes: of a stream on a broker, and of a file."""
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker())
        config = fresh_config(broker.bootstrap_servers)
        produce(config, [*BATTLES, b"{", None])
        with running(config, swapping_panel) as service:
            service.wait_published(5)
        published = [record.value for record in read_topic(config.bootstrap_servers, config.preferences_topic)]
        refused = read_topic(config.bootstrap_servers, config.dead_letters_topic)
    folder = tmp_path_factory.mktemp("files")
    (folder / "battles.jsonl").write_bytes(b"\n".join(battle for battle in BATTLES if battle))
    score_with_hashes(folder / "battles.jsonl", folder / "preferences.jsonl")
    headers = [{name: value.decode() for name, value in one.headers if name in ERROR_HEADERS} for one in refused]
    return {
        "battles": "\n".join(battle.decode() for battle in BATTLES if battle),
        "preferences": b"\n".join([*published, (folder / "preferences.jsonl").read_bytes()]).decode(),
        "votes": "\n".join(encode_vote(vote).decode() for vote in VOTES),
        "deadLetters": "\n".join(map(json.dumps, headers)),
    }


@pytest.fixture(scope="module")
def compiled(node_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the reader, compiled against types that are generated from the committed schemas."""
    folder = tmp_path_factory.mktemp("typescript")
    for name in ("package.json", "reader.ts", "tsconfig.json"):
        shutil.copy(READER / name, folder)
    for name in ("battle", "preference", "vote", "dead-letter"):
        schema = str(SCHEMAS / f"{name}.schema.json")
        run(str(node_programs / "json2ts"), "--no-additionalProperties", schema, f"{name}.ts", folder=folder)
    run(str(node_programs / "tsc"), "--project", ".", folder=folder)
    return folder


def read_in_typescript(folder: Path, topics: dict[str, str]) -> dict[str, Any]:
    (folder / "topics.json").write_text(json.dumps(topics), encoding="utf-8")
    script = (
        "import { readFileSync } from 'node:fs'; import { read } from './reader.js';"
        "console.log(JSON.stringify(read(JSON.parse(readFileSync('topics.json', 'utf8')))))"
    )
    read: dict[str, Any] = json.loads(run("node", "--input-type=module", "--eval", script, folder=folder))
    return read


def seen(preference: Preference) -> dict[str, Any]:
    """What the reader tells of a preference, told by ours."""
    source, style, judges = preference.source, preference.style, preference.judges
    separator = "/" if isinstance(source, KafkaSource) else ":"
    return {
        "id": preference.id,
        "version": preference.schema_version,
        "preferred": preference.preferred,
        "chance": getattr(preference.probabilities, preference.preferred),
        "place": separator.join(map(str, source.model_dump().values())),
        "judges": [[judge.name, judge.provenance.kind, judge.weight] for judge in judges],
        "uncalibrated": [judge.uncalibrated and judge.uncalibrated.tie for judge in judges],
        "gaps": [judge.position_gap for judge in judges],
        "leftOut": list(preference.left_out),
        "models": [preference.model_a, preference.model_b],
        "characters": style and [style.a.characters, style.b.characters],
        "entropy": preference.uncertainty and preference.uncertainty.entropy,
        "panel": preference.panel and preference.panel.hash,
        "scoredAt": preference.timings and int(preference.timings.scored_at.timestamp() * 1000),
    }


def test_a_reader_in_typescript_reads_what_this_version_writes(compiled: Path, topics: dict[str, str]) -> None:
    read = read_in_typescript(compiled, topics)
    written = [decode_preference(line.encode()) for line in topics["preferences"].splitlines()]
    assert len(written) == 2 * len(BATTLES)
    assert read["preferences"] == [seen(preference) for preference in written]
    assert all(one["panel"] and one["characters"] and one["entropy"] is not None for one in read["preferences"])
    battles = [Battle.model_validate(orjson.loads(battle)) for battle in BATTLES if battle]
    assert read["battles"] == [[one.id, list(one.prompt), one.model_a, one.response_id_a] for one in battles]
    assert read["votes"] == [[vote.id, vote.outcome] for vote in VOTES]
    assert sorted(read["reasons"]) == ["not_json", "null_value"]


def test_it_reads_what_an_earlier_and_a_later_version_write(compiled: Path, topics: dict[str, str]) -> None:
    recorded = READER.parents[1] / "unit" / "schemas" / "recorded"
    first = decode_preference(topics["preferences"].splitlines()[0].encode())
    later = orjson.loads(encode_preference(first)) | {"schema_version": "1.2", "new": {"deep": [1]}}
    later["judges"][0]["provenance"]["kind"] = "features"
    texts = [path.read_text(encoding="utf-8").strip() for path in sorted(recorded.glob("*.jsonl"))]
    texts.append(json.dumps(later))
    read = read_in_typescript(compiled, topics | {"preferences": "\n".join(texts)})["preferences"]
    assert read == [seen(decode_preference(line.encode())) for line in "\n".join(texts).splitlines()]
    assert {one["version"] for one in read} == {"1.0", "1.2"}
    assert read[-1]["judges"][0][1] == "features"


def test_the_compiler_refuses_a_reader_that_misspells_a_field(compiled: Path, node_programs: Path) -> None:
    """Or the types would hold nothing."""
    text = (compiled / "reader.ts").read_text(encoding="utf-8")
    misspelt = {
        "preference.ts": ("preference.preferred,", "preference.prefered,"),
        "vote.ts": ("vote.winner ===", "vote.outcome ==="),
    }
    for name, (right, wrong) in misspelt.items():
        assert right in text
        (compiled / f"broken-{name}").write_text(text.replace(right, wrong), encoding="utf-8")
    config = json.loads((compiled / "tsconfig.json").read_text(encoding="utf-8"))
    broken = config | {"files": [f"broken-{name}" for name in misspelt]}
    (compiled / "broken.json").write_text(json.dumps(broken), encoding="utf-8")
    done = subprocess.run(
        [node_programs / "tsc", "--noEmit", "--pretty", "false", "--project", "broken.json"],
        cwd=compiled,
        capture_output=True,
        text=True,
        timeout=NPM_S,
    )
    assert done.returncode != 0
    refused = re.findall(r"^broken-(.+)\(\d+,\d+\): error TS", done.stdout, re.MULTILINE)
    assert set(refused) == misspelt.keys(), done.stdout
