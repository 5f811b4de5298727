"""Small tables to publish: two solutions a question, one right and one wrong, pictures that differ from each other."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medprm_hf.formats import write
from medprm_hf.ids import bytes_hash
from medprm_hf.publishing.opening import Material, open_material
from medprm_hf.publishing.publish import Wish
from medprm_hf.schema import COLUMNS

Row = dict[str, Any]
CARD = "maintainer: The testers\ncontact: tests@example.org\ncost: nothing\n"


def picture(number: int, size: int = 40) -> bytes:
    """A PNG of smooth noise: every number gives one that looks different."""
    rng = np.random.Generator(np.random.Philox(key=number))
    grey = Image.fromarray(rng.integers(40, 170, (5, 5), dtype=np.uint8)).resize((size, size))
    buffer = io.BytesIO()
    grey.save(buffer, "PNG")
    return buffer.getvalue()


def decision(label: str, reviewer: str = "dr-a") -> Row:
    return {"reviewer": reviewer, "label": label, "error_type": None, "severity": None, "note": None, "blind": True,
            "seconds": 8.0, "at": "2026-01-02T03:04:05Z"}  # fmt: skip


def row(number: int, solution: int, **changes: Any) -> Row:
    """Solution 0 is right, solution 1 wrong from its second step on."""
    data = picture(number)
    labels = ["+", "+", "+"] if solution == 0 else ["+", "-", "-"]
    steps = [f"A nodule of {number + 3} mm is seen.", "It is solid." if solution == 0 else "It is calcified.",
             "Answer: B" if solution == 0 else "Answer: A"]  # fmt: skip
    full: Row = {column.name: None for column in COLUMNS} | {
        "question_id": f"q{number}", "image": {"bytes": data, "path": "x.png"}, "image_sha256": bytes_hash(data),
        "image_notes": [], "question": f"Which follow-up for case {number}?", "options": ["none", "CT", "biopsy"],
        "answer": "CT", "answer_index": 1, "modality": ("ct_scan", "pathology", "clinical_photo")[number % 3],
        "difficulty": ("easy", "medium", "hard")[number % 3], "group": f"patient-{number}", "source": "ours",
        "license": "CC BY 4.0", "split": ("train", "train", "development", "test")[number % 4],
        "solution_id": f"q{number}-s{solution}", "solution_index": solution, "solution": "\n".join(steps),
        "final_answer": "AB"[1 - solution], "is_correct": solution == 0, "steps": steps, "step_titles": ["", "", ""],
        "generator": {"model": "scripted:solver", "prompt": "bare", "temperature": 0.7, "top_p": 1.0,
                      "max_tokens": 96, "seed": 0, "origin": "model"},
        "rollout_correct": [4, 4, 4] if solution == 0 else [3, 0, 0], "rollout_total": [4, 4, 4],
        "expected_accuracy": [1.0, 1.0, 1.0] if solution == 0 else [0.75, 0.0, 0.0],
        "judge_labels": labels, "judge_reasons": ["sound"] * 3, "labels": labels,
        "judge": {"model": "scripted:judge", "gold_shown": False, "mode": "verdict", "per": "solution",
                  "prompt": "p", "voters": ["scripted:judge"], "repaired": 0},
        "label_p": [0.9, 0.9, 0.9] if solution == 0 else [0.8, 0.1, 0.05], "label_method": ["consensus"] * 3,
        "needs_review": [False] * 3, "reviews": [[], [], []], "review_labels": ["?"] * 3, "keep": True,
        "flags": [], "errors": [],
    }  # fmt: skip
    return full | changes


def bare(one: Row, **changes: Any) -> Row:
    """The row without anything that lines up with its steps."""
    return one | {column.name: None for column in COLUMNS if column.per_step} | changes


def rows(questions: int = 8) -> list[Row]:
    return [row(number, solution) for number in range(questions) for solution in (0, 1)]


def reviewed(one: Row, reviewer: str = "dr-a") -> Row:
    """Every step looked at by somebody, who agrees."""
    return one | {"reviews": [[decision(label, reviewer)] for label in one["labels"]],
                  "review_labels": list(one["labels"])}  # fmt: skip


def table(folder: Path, content: list[Row]) -> Path:
    """A file of the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    write(content, folder / "table.jsonl", "raw-json", images="inline")
    return folder / "table.jsonl"


def material(folder: Path, content: list[Row]) -> Material:
    return open_material(table(folder, content))


def wish(folder: Path, **settings: Any) -> Wish:
    """A wish whose card has no gap."""
    card = folder / "card.yaml"
    card.parent.mkdir(parents=True, exist_ok=True)
    card.write_text(CARD)
    return Wish(**{"card": card, **settings})
