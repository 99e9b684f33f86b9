"""Judges of features that learnt something in a second, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from prefstream.scoring.finetune.features.recipe import FeaturesRecipe
from prefstream.scoring.finetune.features.run import finetune_features
from tests.support.labelled_pairs import make_rows, write_rows

SMALL: Final = {"hash_bits": 8}
"""Few buckets: a fit takes a blink."""


def make_features_recipe(**settings: Any) -> FeaturesRecipe:
    """A recipe for made pairs, weakly penalised; `settings` override whole groups."""
    penalties = dict.fromkeys(("measures", "words", "characters", "tie_measures", "tie_words"), 0.1)
    fields = {"name": "small", "kind": "features", "features": SMALL, "penalties": penalties, **settings}
    return FeaturesRecipe.model_validate(fields)


def make_features_adapter(folder: Path, *, pairs: int = 120, **settings: Any) -> Path:
    """An adapter folder of a judge that prefers answers that say they are correct; the folder."""
    train = write_rows(folder.with_name(f"{folder.name}-train.jsonl"), make_rows(pairs, prompts=24))
    finetune_features(make_features_recipe(**settings), train, folder, say=lambda _: None)
    return folder
