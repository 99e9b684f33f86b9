"""The card that ships is of the panel that ships, and its guide says what the card does."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefstream.scoring.card.card import Card
from prefstream.scoring.card.guide import DEMO_GUIDE, with_figures
from prefstream.scoring.config import DEMO_PANEL, FeaturesJudgeConfig, JudgeConfig, ModelJudgeConfig, load_panel_config
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.baselines import CLASS_PRIOR, LENGTH_ONLY
from prefstream.scoring.loading.adapter_record import hash_adapter
from prefstream.scoring.loading.features import read_features_adapter
from prefstream.scoring.panel.identity import version_of
from prefstream.scoring.panel.load import read_calibration

RENEW = "run: python -m prefstream.scoring.card.make"
GUIDE = DEMO_GUIDE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def card() -> Card:
    return Card.read()


def adapter_hash(judge: JudgeConfig) -> str | None:
    if isinstance(judge, FeaturesJudgeConfig):
        return read_features_adapter(Path(judge.adapter))[0].weights_hash
    return hash_adapter(Path(judge.adapter)) if isinstance(judge, ModelJudgeConfig) and judge.adapter else None


def test_it_is_of_the_adapters_and_the_calibration_that_ship(card: Card) -> None:
    config = load_panel_config(DEMO_PANEL)
    assert set(card.judges) == {judge.name for judge in config.judges}, RENEW
    for judge in config.judges:
        assert card.judges[judge.name] == adapter_hash(judge), RENEW
    assert card.calibration == version_of(read_calibration(config)), RENEW


def test_each_tier_begins_with_the_panel_and_ends_with_the_baselines(card: Card) -> None:
    for tier in card.tiers.values():
        assert [system.kind for system in tier.systems][:: len(tier.systems) - 1] == ["panel", "baseline"]
        assert [system.name for system in tier.baselines] == [CLASS_PRIOR, LENGTH_ONLY]


def test_the_guide_has_its_figures(card: Card) -> None:
    assert with_figures(GUIDE, card) == GUIDE, RENEW


def test_a_guide_without_a_place_for_them_is_refused(card: Card) -> None:
    with pytest.raises(ValueError, match="no place for a card's figures"):
        with_figures("# A guide\n", card)


def test_what_is_no_card_is_refused_by_what_is_wrong_with_it(tmp_path: Path) -> None:
    other = tmp_path / "card.json"
    with pytest.raises(FileError, match="No such file"):
        Card.read(other)
    other.write_text('{"format": 1}')
    with pytest.raises(FileError, match="panel: Field required; it should be a panel's card"):
        Card.read(other)


def test_what_is_written_is_read_as_it_was(card: Card, tmp_path: Path) -> None:
    card.write(tmp_path / "card.json")
    assert Card.read(tmp_path / "card.json") == card
