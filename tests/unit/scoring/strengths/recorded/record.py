"""Makes the files beside it: battles without their texts, and what LMArena's package arena-rank says of them.

    python record.py battles DATA/dev.jsonl    # in this project's environment
    python record.py ratings                   # in one of its own: pip install arena-rank==0.1.1

`battles` are two sets: 1,500 drawn ones with ties among 12 models, and those of tiers `arena` and `core` of the file,
as pair, winner and differences in style. `ratings` of each are arena-rank's `BradleyTerry` as it comes (and once more
with its search for the optimum carried on, of the models that have a finite strength), and its `ContextualBradleyTerry`
without its shrinkage of coefficients, its weights per pair and its centring of covariates; and with them.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STYLE = ["length", "headings", "lists", "bold"]


def record_battles(data: Path) -> None:
    import numpy as np

    generator = np.random.default_rng(20260101)
    strengths = generator.normal(0, 0.7, 12)
    first = generator.integers(0, 12, 1500)
    second = (first + generator.integers(1, 12, 1500)) % 12
    style = np.round(np.clip(generator.normal(0, 0.45, (1500, 4)), -1, 1), 3)
    style[:, 1:][generator.random((1500, 3)) < 0.4] = 0
    wins = 1 / (1 + np.exp(strengths[second] - strengths[first] - style @ [0.8, 0.0, 0.2, -0.1]))
    tie = generator.random(1500) < 0.6 * np.minimum(wins, 1 - wins)
    winner = np.where(tie, 2, (generator.random(1500) > wins).astype(int))
    drawn = {
        "models": [f"model-{number:02}" for number in range(12)],
        "model_a": first.tolist(),
        "model_b": second.tolist(),
        "outcome": winner.tolist(),
        "style": style.tolist(),
    }
    write("battles_drawn.json", drawn)
    write("battles_dev.json", battles_of(data))


def battles_of(data: Path) -> dict[str, Any]:
    from prefstream.schemas import OUTCOMES, parse_battle
    from prefstream.scoring.style import style_differences, style_of

    lines = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line["tier"] in {"arena", "core"}]
    models = sorted({line[side] for line in lines for side in ("model_a", "model_b")})
    fields = ("id", "prompt", "response_a", "response_b")
    battles = [parse_battle({name: line[name] for name in fields}) for line in lines]
    return {
        "models": models,
        "model_a": [models.index(line["model_a"]) for line in lines],
        "model_b": [models.index(line["model_b"]) for line in lines],
        "outcome": [OUTCOMES.index(line["winner"]) for line in lines],
        "style": [[round(each, 3) for each in style_differences(style_of(battle))] for battle in battles],
    }


def record_ratings() -> None:
    for name in ("drawn", "dev"):
        battles = json.loads((HERE / f"battles_{name}.json").read_text())
        write(f"arena_rank_{name}.json", ratings_of(battles, name))


def ratings_of(battles: dict[str, Any], name: str) -> dict[str, Any]:
    import numpy as np
    import pandas as pd
    from arena_rank.models.bradley_terry import BradleyTerry  # type: ignore[import-not-found]
    from arena_rank.models.contextual_bradley_terry import ContextualBradleyTerry  # type: ignore[import-not-found]
    from arena_rank.utils.data_utils import ContextualPairDataset, PairDataset  # type: ignore[import-not-found]

    outcomes = np.array(["model_a", "model_b", "tie"])
    frame = pd.DataFrame(np.array(battles["style"]) / rms(battles["style"]), columns=STYLE)
    frame["model_a"] = np.array(battles["models"])[battles["model_a"]]
    frame["model_b"] = np.array(battles["models"])[battles["model_b"]]
    frame["winner"] = outcomes[battles["outcome"]]

    def plain(rows: Any, **settings: Any) -> dict[str, Any]:
        dataset = PairDataset.from_pandas(rows)
        return told(BradleyTerry(len(dataset.competitors), **settings).compute_ratings_and_cis(dataset))

    def styled(rows: Any, data: dict[str, Any], **settings: Any) -> dict[str, Any]:
        dataset = ContextualPairDataset.from_pandas(rows, feature_cols=STYLE, **data)
        model = ContextualBradleyTerry(len(dataset.competitors), len(STYLE), **settings)
        return told(model.compute_ratings_and_cis(dataset))

    finite = frame[frame.model_a.isin(core := strong(frame)) & frame.model_b.isin(core)]
    exactly = {"ftol": 0.0, "gtol": 1e-10, "max_iter": 5000}
    bare: dict[str, Any] = {"reweighted": False, "normalize_features": False}
    result = {
        "made_by": f"record.py ratings: {name}",
        "versions": {each: version(each) for each in ("arena-rank", "jax", "jaxlib", "optax", "numpy", "pandas")},
        "python": sys.version.split()[0],
        "plain": plain(frame),
        "plain_finite": plain(finite, **exactly),
        "style_as_it_comes": styled(frame, {}),
    }
    if name == "drawn":
        result["style"] = styled(finite, bare, reg=0.0, **exactly)
    return result


def rms(style: list[list[float]]) -> Any:
    import numpy as np

    return np.sqrt(np.mean(np.square(style), axis=0))


def strong(frame: Any) -> set[str]:
    """The largest set of models in which each can be reached from each by wins and ties."""
    edges: dict[str, set[str]] = {}
    for one, other, winner in zip(frame.model_a, frame.model_b, frame.winner, strict=True):
        edges.setdefault(one, set()).update({other} if winner != "model_b" else set())
        edges.setdefault(other, set()).update({one} if winner != "model_a" else set())

    def reach(start: str) -> set[str]:
        seen, left = {start}, [start]
        while left:
            new = edges[left.pop()] - seen
            seen |= new
            left += new
        return seen

    reached = {model: reach(model) for model in edges}
    return max(({other for other in there if model in reached[other]} for model, there in reached.items()), key=len)


def told(found: dict[str, Any]) -> dict[str, Any]:
    names = ("ratings", "rating_lower", "rating_upper", "coeffs")
    numbers = {name: [round(float(each), 6) for each in found[name]] for name in names if name in found}
    return {"competitors": list(found["competitors"]), **numbers}


def write(name: str, content: dict[str, Any]) -> None:
    (HERE / name).write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "battles":
        record_battles(Path(sys.argv[2]))
    else:
        record_ratings()
