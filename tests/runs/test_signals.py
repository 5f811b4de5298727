"""Signals against truth: figures that can be counted by hand, the prior on other questions, what rollouts miss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medprm_hf.phantom.chains import sampled_solution, true_solution
from medprm_hf.phantom.world import question_ids, scene_of
from medprm_hf.recipe import parse
from medprm_hf.runs import pictures
from medprm_hf.runs.signals import compare, truth_of

RECIPE = parse({"source": {"name": "phantom"}})


def rows(split: str, n: int = 40) -> list[dict[str, Any]]:
    """Solutions with injected errors; the rollouts see everything but location errors, the judge sees all."""
    out = []
    for i, name in enumerate(question_ids(split, n)):  # type: ignore[arg-type]
        steps = sampled_solution(scene_of(name), np.random.default_rng(i))
        row: dict[str, Any] = {"question_id": name, "solution_id": f"{name}-s0", "solution": "\n\n".join(steps)}
        row |= {"steps": steps, "is_correct": True}
        truth = truth_of(row)
        blind = [step.right or step.kind == "location" for step in truth]
        row["rollout_correct"] = [8 if right else 0 for right in blind]
        row["rollout_total"] = [8] * len(steps)
        row["judge_labels"] = ["+" if step.right else "-" for step in truth]
        row["judge_confidence"] = ["high"] * len(steps)
        row["judge_p_plus"] = [None] * len(steps)
        row["labels"] = [
            "?" if right != step.right else "+" if right else "-" for right, step in zip(blind, truth, strict=True)
        ]
        row["review_labels"] = ["+" if step.right else "-" for step in truth]
        out.append(row)
    return out


def test_what_rollouts_cannot_see_shows() -> None:
    table = {entry["signal"]: entry for entry in compare(rows("train", 120), rows("test"), RECIPE)}
    assert table["judge"]["macro_f1"] == 1.0
    assert table["rollout"]["error_recall"]["location"] == 0.0
    assert table["rollout"]["macro_f1"] < 1.0
    # dropping disagreements looks perfect, and has deleted exactly the location errors
    assert table["consensus"]["macro_f1"] == 1.0
    assert table["consensus"]["skipped"] > 0
    assert table["consensus"]["error_recall"]["location"] == 0.0
    assert table["consensus+review"]["error_recall"]["location"] == 1.0
    assert table["prior"]["macro_f1"] < table["rollout"]["macro_f1"]
    assert {entry["prior"] for entry in table.values()} == {table["prior"]["macro_f1"]}
    low, high = table["rollout"]["interval"]
    assert low < table["rollout"]["macro_f1"] < high


def test_the_prior_may_not_see_its_test() -> None:
    with pytest.raises(ValueError, match="both sides"):
        compare(rows("train", 5), rows("train", 5), RECIPE)


def test_clean_solutions_are_all_right() -> None:
    for name in question_ids("development", 50):
        row = {"question_id": name, "steps": true_solution(scene_of(name))}
        assert all(step.right for step in truth_of(row))


def test_pictures_are_drawn_from_the_table() -> None:
    table = compare(rows("train", 20), rows("test", 20), RECIPE)
    for picture in (pictures.signals(table), pictures.recall(table)):
        assert picture.startswith("data:image/svg+xml;base64,")
        assert len(picture) > 5000
    assert pictures.signals(table) == pictures.signals(table)


def test_p_right_is_a_signal_where_the_estimator_gives_it() -> None:
    recipe = parse(
        {
            "source": {"name": "phantom"},
            "rollout": {"estimator": "first_error"},
            "merge": {"policy": "consensus", "figure": "p_right"},
        }
    )
    ours = [
        {**row, "chance": 0.25, "p_right": [0.9 if c else 0.1 for c in row["rollout_correct"]]} for row in rows("test")
    ]
    table = {entry["signal"]: entry for entry in compare(ours, rows("development"), recipe)}
    assert "value" not in table and "advantage" not in table
    assert table["p_right"]["macro_f1"] == table["rollout"]["macro_f1"]
    assert table["p_right"]["error_recall"]["location"] == 0.0
    assert table["consensus"]["error_recall"]["size"] == 1.0
