"""The shipped checkpoints: small enough, loadable, as good as their cards say, and made by what is documented."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch", reason="pip install 'medprm-hf[train]'")
pytest.importorskip("transformers", reason="pip install 'medprm-hf[train]'")

from medprm_hf.phantom.figures import base_figures, policy_figures, sample
from medprm_hf.phantom.model import checkpoint
from medprm_hf.phantom.world import question_ids, scene_of

SCENES = [scene_of(question_id) for question_id in question_ids("test", 48, 11)]


def test_both_are_small_enough_to_ship() -> None:
    files = [file for name in ("base", "policy") for file in checkpoint(name).iterdir()]
    assert sum(file.stat().st_size for file in files) <= 12 * 2**20


@pytest.mark.parametrize("name", ["base", "policy"])
def test_cards_name_the_world_and_the_figures(name: str) -> None:
    path = checkpoint(name)
    card = (path / "README.md").read_text()
    assert "not for clinical use" in card and "license: apache-2.0" in card
    assert json.loads((path / "training.json").read_text())["name"] == name
    assert ("greedy" if name == "base" else "pass@8") in card


def test_the_base_answers_rightly() -> None:
    greedy = [group[0] for group in sample("phantom:base", SCENES)]
    figures = base_figures(SCENES, greedy)
    assert figures["greedy"].value >= 0.85
    assert min(figure.value for key, figure in figures.items() if key.startswith("step")) >= 0.8


def test_the_policy_errs_but_can_be_right() -> None:
    figures = policy_figures(SCENES, sample("phantom:policy", SCENES, k=8, temperature=0.8))
    assert 0.35 <= figures["pass@1"].value <= 0.75
    assert figures["pass@8"].value >= 0.8
    assert figures["format"].value <= 0.02


def test_sampling_repeats() -> None:
    first, again = (sample("phantom:policy", SCENES[:2], k=2, temperature=0.8, seed=5) for _ in range(2))
    assert first == again
