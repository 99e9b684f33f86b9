"""The profile of a panel: nothing of the time is left out, and products are counted as arithmetic counts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefstream.schemas import Battle
from prefstream.scoring.bench.profile import PanelProfile, profile_panel
from prefstream.scoring.bench.throughput import bench_battles
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import ConfigError
from tests.support.models import make_tiny_judge
from tests.support.priors import prior_entry


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> PanelProfile:
    folder = tmp_path_factory.mktemp("profile")
    judges = [
        make_tiny_judge(folder / "llama", "llama", "pointwise"),
        make_tiny_judge(folder / "gemma", "gemma3", "pointwise", adapter=False),
    ]
    config = PanelConfig.model_validate({"judges": [*judges, prior_entry()]})
    return profile_panel(config, battles=bench_battles(2), batch_battles=2, say=lambda _line: None)


@pytest.mark.long
def test_shares_of_the_time_sum_to_one(profile: PanelProfile) -> None:
    assert profile.judges.keys() == {"llama", "gemma"}
    for judge in profile.judges.values():
        assert sum(judge.shares.values()) == pytest.approx(1.0)
        assert judge.shares["products"] > 0
        assert judge.shares["attention"] > 0
        assert 0 < judge.encoding_s < judge.seconds


@pytest.mark.long
def test_products_are_what_the_weights_say(profile: PanelProfile, tmp_path: Path) -> None:
    """Each weight of a linear layer is multiplied once for each padded token, and the head's once a sequence."""
    from transformers import AutoConfig

    from prefstream.scoring.loading.base_model import skeleton

    entry = make_tiny_judge(tmp_path / "llama", "llama", "pointwise")
    model = skeleton(AutoConfig.from_pretrained(entry["base"], num_labels=2))
    weights = sum(one.numel() for name, one in model.named_parameters() if name.endswith("_proj.weight"))
    judge = profile.judges["llama"]
    head = judge.product_flops - 2 * judge.padded_tokens * weights
    assert 0 < head <= 2 * 2 * model.config.hidden_size * judge.padded_tokens


@pytest.mark.long
def test_the_profile_is_json(profile: PanelProfile) -> None:
    fields = json.loads(json.dumps(profile.to_fields()))
    judge = fields["judges"]["gemma"]
    assert judge["peak_share"] > 0
    assert judge["shape_peak_share"] > 0
    assert 0 <= judge["padding_share"] < 1
    assert fields["battles"] == 2


def test_a_panel_that_reads_nothing_is_refused() -> None:
    battles = [Battle(id="1", prompt=("a",), response_a=("b",), response_b=("c",))]
    with pytest.raises(ConfigError, match="nothing to profile"):
        profile_panel(PanelConfig.model_validate({"judges": [prior_entry()]}), battles=battles, say=lambda _line: None)
