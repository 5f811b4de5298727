"""`medprm train` on a file and on a run's dataset; the recipe's section answers unknown keys with near names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from medprm_hf import formats
from medprm_hf.errors import ConfigError
from medprm_hf.recipe import Recipe, parse
from medprm_hf.schema import BY_NAME
from medprm_hf.scoring.settings import load_settings
from medprm_hf.training.commands import train_recipe
from tests.training.rows import MARKER, labelled_rows

TRAIN: dict[str, Any] = {
    "form": "marker", "model": "phantom:base", "layout": MARKER, "epochs": 1, "lr": 1e-3, "batch": 8, "accumulate": 1,
    "freeze": ["visual"], "trainer": {"disable_tqdm": True, "save_strategy": "no"},
}  # fmt: skip


def test_trains_on_a_file_of_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{name: row.get(name) for name in BY_NAME if name != "errors"} for row in labelled_rows(5, 2)]
    formats.write(rows, tmp_path / "theirs.jsonl", format="stepwise")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": "small", "train": TRAIN}))
    report = train_recipe(Path("recipe.yaml"), data=Path("theirs.jsonl"), settings=("train.seed=3",))
    assert report["spec"]["seed"] == 3 and report["classes"]["+"] > 0
    settings = load_settings(tmp_path / "runs" / "small" / "prm")
    assert settings.trained_on["simulated"] is False  # the file does not say where its questions are from
    assert settings.base == "phantom:base"


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text("name: small\n")
    with pytest.raises(ConfigError, match="there is no runs/small: build it first"):
        train_recipe(Path("recipe.yaml"))


def test_section_is_checked_and_does_not_change_a_run() -> None:
    with pytest.raises(ConfigError, match=r"unknown key train.epoch; did you mean epochs"):
        parse({"train": {"epoch": 3}})
    with pytest.raises(ConfigError, match="train.form"):
        parse({"train": {"form": "marked"}})
    assert Recipe().fingerprint() == parse({"train": {"epochs": 7}}).fingerprint()


def test_defaults_are_those_of_the_papers() -> None:
    chat, marker = Recipe().train, parse({"train": {"form": "marker"}}).train
    assert [chat.value(name) for name in ("lr", "epochs", "weight_decay", "warmup")] == [1e-5, 1, 0.05, 0.05]
    assert [marker.value(name) for name in ("lr", "epochs", "max_length")] == [2e-6, 3, 4096]
