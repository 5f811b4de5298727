"""The recipes in the package: `medprm init` writes each, it parses, and can be estimated before anything is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from medprm_hf.cli import app
from medprm_hf.recipe import load
from tests.sources.making import png, put

KINDS = ("hybrid", "visualprm", "medprm", "cheap", "phantom")
OPEN_MODELS = ("medgemma", "HuatuoGPT-Vision", "llava-med", "Lingshu", "Qwen2.5-VL", "InternVL")
RECIPES = Path(__file__).parents[2] / "medprm_hf" / "recipes"


def test_these_ship() -> None:
    assert {file.stem for file in RECIPES.glob("*.yaml")} == set(KINDS)


@pytest.fixture
def written(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe as a user gets it, in a folder with six questions of which half have an image."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "a.png", png())
    rows = [
        {
            "question": f"Question {n}?",
            "options": ["one", "two"],
            "answer": "one",
            **({"image": "a.png"} if n % 2 else {}),
        }
        for n in range(6)
    ]
    put(tmp_path / "questions.jsonl", "\n".join(map(json.dumps, rows)))
    done = CliRunner().invoke(app, ["init", request.param, "--out", "recipe.yaml"])
    assert done.exit_code == 0, done.output
    return tmp_path / "recipe.yaml"


@pytest.mark.parametrize("written", KINDS, indirect=True)
def test_it_parses_and_can_be_estimated(written: Path) -> None:
    assert load(written).stages
    done = CliRunner().invoke(app, ["estimate", str(written), "--json"])
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert json.loads(done.stdout)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "phantom"])
def test_it_names_the_open_models_and_what_they_need(kind: str) -> None:
    said = (RECIPES / f"{kind}.yaml").read_text()
    assert all(name in said for name in OPEN_MODELS)
    blocks = {(RECIPES / f"{one}.yaml").read_text().partition("# Open models")[2] for one in KINDS if one != "phantom"}
    assert len(blocks) == 1, "the list of open models is not the same everywhere"


def test_cheap_asks_for_rollouts_only_where_the_judge_is_unsure() -> None:
    recipe = load(RECIPES / "cheap.yaml")
    assert recipe.rollout.where == "unsure" and recipe.merge.policy == "judge_first" and recipe.rollout.k == 4
    assert recipe.stages.index("judge") < recipe.stages.index("rollout")


def test_every_source_of_a_recipe_is_one(tmp_path: Path) -> None:
    from medprm_hf.loading import source_names

    for kind in KINDS:
        assert yaml.safe_load((RECIPES / f"{kind}.yaml").read_text())["source"]["name"] in source_names()
