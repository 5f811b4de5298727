"""The demo's last part at the smallest size: two PRMs from a run's dataset, figures beside the baselines."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from medprm_hf.recipe import parse
from medprm_hf.runs.prm_demo import demo_prms
from tests.training.rows import MARKER, labelled_rows


def test_two_prms_and_their_table(tmp_path: Path) -> None:
    import datasets

    rows = labelled_rows(8, 2)
    datasets.Dataset.from_list([{k: v for k, v in row.items() if k != "review_labels"} for row in rows]).to_parquet(
        tmp_path / "dataset" / "data" / "train-00000.parquet"
    )
    recipe = parse({"generate": {"backend": "phantom:policy", "prompt": "bare", "temperature": 0.8, "max_tokens": 96}})
    train = replace(
        recipe.train, form="marker", model="phantom:base", layout=MARKER, loss="soft", epochs=1, lr=1e-3, batch=8,
        accumulate=1, freeze=("visual",), trainer={"disable_tqdm": True, "save_strategy": "no"},
    )  # fmt: skip
    said = io.StringIO()
    console = Console(file=said, width=80)
    found = demo_prms(tmp_path, recipe.model_copy(update={"train": train}), console, questions=6, solutions=2)
    assert set(found["prms"]) == {"rollouts", "hybrid"}
    for figures in found["prms"].values():
        assert 0 <= figures["ece"] <= 1 and set(figures["best_of"]) == {"mean", "min", "last"}
    assert found["pass@1"] <= found["pass@n"] <= 1
    assert json.loads((tmp_path / "prm.json").read_text()) == found
    assert "majority" in said.getvalue() and max(map(len, said.getvalue().split("\n"))) <= 80
