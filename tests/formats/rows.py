"""Canonical rows for tests: one by hand, and a hypothesis strategy over the whole table."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from medprm_hf.text.prompts import letter

LABELS = ["+", "-", "0", "?"]
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
line = any_text.map(lambda text: "".join(text.split("\n"))).filter(bool)
share = st.floats(0, 1, allow_nan=False)
MODALITIES = ["chest_xray", "ct_scan", "pathology", "clinical_photo", "phantom_axial", None]


def row(**columns: Any) -> dict[str, Any]:
    """A row with two steps; `columns` replace."""
    return {
        "question_id": "q1", "image": None, "image_sha256": None, "question": "Which side?", "turns": None,
        "options": ["Left", "Right"], "answer": "Left", "answer_index": 0, "modality": "chest_xray",
        "difficulty": "easy", "clinical_context": None, "group": "g", "source": "demo", "license": "CC0",
        "solution_id": "q1/0", "solution_index": 0, "solution": None, "final_answer": "A", "is_correct": True,
        "generator": None, "step_titles": ["", ""], "steps": ["Look.", "So: left."],
        "rollout_correct": [14, 16], "rollout_total": [16, 16], "expected_accuracy": [0.875, 1.0],
        "judge_labels": ["+", "-"], "labels": ["+", "+"], "review_labels": None, **columns,
    }


@st.composite
def _rollouts(draw: st.DrawFn, count: int) -> dict[str, Any]:
    total = draw(st.lists(st.integers(0, 16), min_size=count, max_size=count))
    right = [draw(st.integers(0, number)) for number in total]
    return {
        "rollout_correct": right,
        "rollout_total": total,
        "rollout_unreadable": [0] * count,
        "expected_accuracy": [c / n if n else None for c, n in zip(right, total, strict=True)],
    }


@st.composite
def questions(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Question columns."""
    options = draw(st.lists(line.filter(lambda text: len(text) > 2), max_size=5, unique=True))
    gold = draw(st.integers(0, len(options) - 1)) if options else None
    return {
        "question_id": name, "image": None, "image_sha256": None, "question": draw(any_text), "turns": None,
        "options": options, "answer": draw(line) if gold is None else options[gold], "answer_index": gold,
        "modality": draw(st.sampled_from(MODALITIES)),
        "difficulty": draw(st.sampled_from(["easy", "medium", "hard", None])),
        "clinical_context": draw(st.none() | line), "source": draw(st.none() | line), "license": None,
        "evidence": draw(st.none() | st.just([
            {"id": "doc-1", "text": "A passage.", "source": None, "license": None, "score": None}])),
    }


@st.composite
def rows(draw: st.DrawFn, name: str = "q1") -> list[dict[str, Any]]:
    """One to three solutions of one question."""
    question = draw(questions(name))
    return [{**question, **draw(_solutions(question, index))} for index in range(draw(st.integers(1, 3)))]


@st.composite
def _solutions(draw: st.DrawFn, question: dict[str, Any], index: int) -> dict[str, Any]:
    steps = draw(st.lists(any_text, min_size=1, max_size=5))
    count = len(steps)

    def per_step(values: st.SearchStrategy[Any]) -> Any:
        return draw(st.lists(values, min_size=count, max_size=count))

    letters = [letter(place) for place in range(len(question["options"]))]
    rollouts = draw(_rollouts(count)) if draw(st.booleans()) else {}
    numbered = "\n".join(f"Step {number}: {text}" for number, text in enumerate(steps, start=1))
    return {
        "solution_id": f"{question['question_id']}/{index}", "solution_index": index,
        "solution": draw(st.sampled_from([None, numbered, "In other words."])),
        "final_answer": draw(st.sampled_from([None, *letters])) if letters else draw(st.none() | line),
        "is_correct": draw(st.sampled_from([True, False, None])), "generator": None,
        "step_titles": per_step(st.sampled_from(["", "observation", "Look"])), "steps": steps,
        **rollouts,
        "judge_labels": draw(st.none() | st.just(per_step(st.sampled_from(LABELS)))),
        "judge_reasons": None,
        "labels": draw(st.none() | st.just(per_step(st.sampled_from(LABELS)))),
        "label_p": per_step(st.none() | share), "label_method": per_step(st.sampled_from(["consensus", None])),
        "review_labels": draw(st.none() | st.just(per_step(st.sampled_from(LABELS)))),
        "keep": None,
    }
