"""A small dataset as a run leaves it: phantom questions, two solutions each, with labels, both signals and reviews.

folder = dataset(tmp_path / "ds", questions=6)      # folder/data/train-00000.parquet, 12 rows
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medprm_hf.phantom.chains import true_solution
from medprm_hf.phantom.questions import question_row
from medprm_hf.phantom.world import question_ids, scene_of
from medprm_hf.schema import COLUMNS, features
from medprm_hf.text.answers import matches, read_answer

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
"""Text that must stay text."""


def solution(question_id: str, number: int, wrong: bool, reviewed: bool) -> dict[str, Any]:
    """One labelled solution of a phantom question; a wrong one errs at step 5 and after."""
    row = question_row(question_id)
    steps = true_solution(scene_of(question_id))
    if wrong:
        steps = [*steps[:4], f"Several solid >8 mm: {row['options'][3]}.", "Answer: D."]
    labels = ["+"] * 4 + (["-", "-"] if wrong else ["+", "+"])
    answer = read_answer(steps[-1], row["options"])
    review = {
        "reviewer": "ann", "label": labels[4], "error_type": None, "severity": None, "note": HOSTILE, "blind": True,
        "seconds": 4.0, "at": "2026-11-21T09:00:00Z",
    }  # fmt: skip
    return {
        **dict.fromkeys((column.name for column in COLUMNS), None),
        **row,
        "split": "train" if number % 3 else "test",
        "solution_id": f"{question_id}-s{number}", "solution_index": number, "solution": "\n".join(steps),
        "final_answer": answer, "is_correct": matches(answer, row["options"], row["answer"], row["answer_index"]),
        "steps": steps, "step_titles": [""] * 6,
        "rollout_correct": [6] * 4 + ([1, 0] if wrong else [7, 8]), "rollout_total": [8] * 6,
        "rollout_unreadable": [0] * 6, "rollout_failed": [0] * 6,
        "expected_accuracy": [0.75] * 4 + ([0.125, 0.0] if wrong else [0.875, 1.0]),
        "judge_labels": ["+"] * 5 + (["-"] if wrong else ["+"]), "judge_confidence": ["high"] * 6,
        "judge_reasons": ["simulated verdict"] * 6,
        "labels": labels, "label_p": [0.97] * 4 + ([0.31, 0.05] if wrong else [0.9, 0.96]),
        "label_method": ["consensus:agree"] * 5 + ["consensus:judge"], "needs_review": [False] * 4 + [wrong, False],
        "reviews": [[]] * 4 + [[review] if reviewed else []] + [[]],
        "review_labels": ["?"] * 4 + [labels[4] if reviewed else "?"] + ["?"],
        "keep": number != 2, "drop_reason": "too_few_steps" if number == 2 else None, "errors": [],
    }  # fmt: skip


def dataset(folder: Path, questions: int = 6) -> Path:
    """Writes it, two solutions a question, in several row groups; gives the folder."""
    import pyarrow.parquet as pq
    from datasets import Dataset

    rows = [
        solution(name, number, wrong=number % 2 == 1, reviewed=place % 2 == 0)
        for place, name in enumerate(question_ids("test", questions, seed=5))
        for number in (0, 1)
    ]
    table = Dataset.from_list(rows, features=features(tuple(column.name for column in COLUMNS))).data.table
    (folder / "data").mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "data" / "train-00000.parquet", row_group_size=5)
    return folder
