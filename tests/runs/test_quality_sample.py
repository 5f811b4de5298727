"""Agreement with experts: counted by hand, on the blind sample alone."""

from __future__ import annotations

from typing import Any

import pytest

from medprm_hf.runs.quality_sample import agreement


def row(name: str, experts: str, judge: str, labels: str, p: list[float | None], counts: list[int]) -> dict[str, Any]:
    return {
        "question_id": name, "calibration_labels": list(experts), "judge_labels": list(judge), "labels": list(labels),
        "label_p": p, "rollout_correct": counts, "rollout_total": [8] * len(counts),
    }  # fmt: skip


ROWS = [
    row("a", "++--", "+---", "++--", [0.95, 0.95, 0.05, 0.05], [8, 8, 0, 8]),
    row("b", "????", "----", "----", [0.05] * 4, [0] * 4),
    row("c", "+-+-", "+-+-", "+-+-", [0.95, 0.05, 0.95, None], [8, 0, 8, 0]),
]


def test_only_the_sample_counts() -> None:
    found = agreement(ROWS)
    assert found is not None
    assert (found["solutions"], found["steps"]) == (2, 8)
    assert found["judge"]["kappa"] == pytest.approx(0.75)
    assert found["rollout"]["kappa"] == pytest.approx(0.75)
    assert found["label"]["kappa"] == 1.0
    assert found["ece"] == pytest.approx(0.05)


def test_nothing_sampled_is_nothing_measured() -> None:
    assert agreement([ROWS[1]]) is None and agreement([{"question_id": "a"}]) is None
    silent = agreement([{"question_id": "a", "calibration_labels": ["+"]}])
    assert silent is not None
    assert (silent["solutions"], silent["steps"], silent["ece"], silent["reliability"]) == (1, 1, None, [])
    assert silent["pearson"] == {"judge": None, "rollout": None, "label_p": None}
    assert not {"judge", "rollout", "label"} & set(silent)


def test_correlation_and_bins_count_steps_that_both_speak_of() -> None:
    found = agreement([{**ROWS[0], "difficulty": "easy"}, ROWS[2]])
    assert found is not None
    assert found["pearson"]["judge"]["n_steps"] == 8 and found["pearson"]["label_p"]["n_steps"] == 7
    assert found["pearson"]["label_p"]["r"] == pytest.approx(1.0)
    assert [(one["n"], one["share_right"]) for one in found["reliability"]] == [(3, 0.0), (4, 1.0)]
    assert found["ece_by_difficulty"]["easy"]["n"] == 4 and found["ece_by_difficulty"]["unknown"]["n"] == 3
