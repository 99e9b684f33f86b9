"""The parts of the chart's schema that follow from the code: settings, names of panels and of alerts.

    python -m tests.support.helm.settings_schema

writes them into `deploy/chart/values.schema.json`; a test holds both together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import yaml

from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.recalibrate_config import RecalibrateConfig
from prefstream.scoring.config import DEMO_PANEL
from tests.support.helm.chart import CHART

SCHEMA: Final = CHART / "values.schema.json"

_BY_THE_CHART: Final = {
    *("instance_id", "panel", "http", "http_host", "http_port", "traces"),
    *("recalibrate_http_host", "recalibrate_http_port"),
    *("board_file", "board_http_host", "board_http_port", "board_root_path", "board_shipped"),
}
"""Settings that follow from where things are mounted, and from what probes and Services ask."""


def generated() -> dict[str, Any]:
    """The definitions, by name."""
    panels = sorted(path.stem for path in (CHART / "files" / "panels").glob("*.yaml"))
    rules = yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))
    return {
        "alerts": {"enum": [rule["alert"] for group in rules["groups"] for rule in group["rules"]]},
        "panels": {"enum": ["", DEMO_PANEL, *panels]},
        "settings": _settings(StreamConfig, lambda name: not name.startswith("board_")),
        "boardSettings": _settings(BoardConfig, lambda name: name.startswith("board_")),
        "recalibrateSettings": _settings(RecalibrateConfig, lambda name: name.startswith("recalibrate_")),
    }


def _settings(model: type[KafkaConnection], wanted: Callable[[str], bool]) -> dict[str, Any]:
    properties = {
        name: {key: part for key, part in field.items() if key not in {"title", "default"}}
        for name, field in model.model_json_schema()["properties"].items()
        if wanted(name) and name not in _BY_THE_CHART and not _is_mounted(field)
    }
    if "bootstrap_servers" in properties:
        properties["bootstrap_servers"].pop("minLength")  # empty until somebody says; the chart tells how
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _is_mounted(field: dict[str, Any]) -> bool:
    """Whether it is a secret or a file."""
    return any(kind.get("format") in {"password", "path"} for kind in (field, *field.get("anyOf", ())))


def main() -> None:
    """Write them."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    schema["definitions"].update(generated())
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
