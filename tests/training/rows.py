"""Rows that training tests share: phantom questions, true and spoilt solutions, labelled by what was spoilt."""

from __future__ import annotations

from typing import Any

import numpy as np

from medprm_hf.phantom.chains import sampled_solution
from medprm_hf.phantom.oracle import check_steps
from medprm_hf.phantom.questions import question_row
from medprm_hf.phantom.world import question_ids, scene_of
from medprm_hf.specs_train import TrainSpec

LAYOUT: dict[str, Any] = {"system": "", "question_head": "", "process_head": "", "numbered": False}
MARKER: dict[str, Any] = {**LAYOUT, "solution_by": "assistant", "marker": "\n\n"}


def labelled_rows(questions: int, solutions: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with labels, label_p and rollout counts of a kind; every second question has no image if asked to."""
    rng = np.random.default_rng(seed)
    rows = []
    for name in question_ids("train", questions, 90 + seed):
        question = question_row(name)
        for number in range(solutions):
            steps = sampled_solution(scene_of(name), rng)
            right = [step.right for step in check_steps(scene_of(name), steps)]
            rows.append({
                **question,
                "solution_id": f"{name}/{number}",
                "steps": steps,
                "labels": ["+" if one else "-" for one in right],
                "label_p": [0.9 if one else 0.2 for one in right],
                "review_labels": None,
                "rollout_correct": [8 if one else 0 for one in right],
                "rollout_total": [8] * len(right),
                "expected_accuracy": [1.0 if one else 0.0 for one in right],
                "is_correct": right[-1],
            })  # fmt: skip
    return rows


def spec(form: str = "marker", **changes: Any) -> TrainSpec:
    """A tiny training on the phantom base."""
    own: dict[str, Any] = {
        "form": form,
        "model": "phantom:base",
        "layout": MARKER if form == "marker" else {**LAYOUT, "process_head": "\n"},
        "epochs": 1,
        "lr": 1e-3,
        "batch": 4,
        "accumulate": 1,
        "freeze": ("visual",),
        "trainer": {"disable_tqdm": True, "logging_steps": 1, "save_strategy": "no"},
    }
    return TrainSpec(**{**own, **changes})
