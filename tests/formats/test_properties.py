"""For every format: what is read back equals what was written, minus the declared losses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from medprm_hf import formats
from medprm_hf.schema import BY_NAME
from medprm_hf.text.prompts import letter
from tests.formats.rows import rows

Row = dict[str, Any]
Expected = list[Row]
RADIOLOGY = {"chest_xray": "radiology", "ct_scan": "radiology", "phantom_axial": "radiology",
             "pathology": "pathology", "clinical_photo": "clinical", None: None}


def final(row: Row) -> list[str]:
    """The labels that count, said once more in plain words."""
    count = len(row["steps"])
    mc = row.get("expected_accuracy") or [None] * count
    base = row["labels"]
    if base is None:
        judged = row["judge_labels"] if all(score is None for score in mc) else None
        base = judged or ["?" if score is None else "+" if score > 0 else "-" for score in mc]
    review = row["review_labels"] or ["?"] * count
    return [ours if theirs == "?" else theirs for ours, theirs in zip(base, review, strict=True)]


def joined(row: Row, joint: str) -> tuple[list[str], list[str]]:
    texts: list[str] = []
    labels: list[str] = []
    waiting: list[str] = []
    for text, label in zip(row["steps"], final(row), strict=True):
        waiting.append(text)
        if label in "+-":
            texts.append(joint.join(waiting))
            labels.append(label)
            waiting = []
    return texts, labels


def asked(row: Row, *names: str) -> Row:
    return {name: row.get(name) for name in ("question", "options", "clinical_context", *names)}


def known(labels: list[str]) -> list[str]:
    return [label if label in "+-" else "?" for label in labels]


def letter_of(row: Row) -> str | None:
    return row["final_answer"] if row["options"] else None


def numbered(row: Row) -> str:
    return "\n".join(f"Step {number}: {text}" for number, text in enumerate(row["steps"], start=1))


def flat(text: str) -> str:
    return re.sub("\r\n|\r|\n", " ", text)


def line_steps(row: Row) -> list[str]:
    """Steps of formats whose marked text has no line breaks: kept where the solution shows them."""
    return [flat(step) for step in row["steps"]] if row["solution"] == "In other words." else row["steps"]


def visualprm(group: list[Row]) -> Expected:
    made = [(row, *joined(row, "\n\n")) for row in group]
    return [{**asked(row), "steps": texts, "labels": labels} for row, texts, labels in made if texts]


def stepwise(group: list[Row]) -> Expected:
    made = [(row, *joined(row, "\n")) for row in group]
    return [{**asked(row), "steps": texts, "labels": labels} for row, texts, labels in made if texts]


def rollouts(row: Row) -> Row:
    if row.get("expected_accuracy") is None:
        zeros = [0] * len(row["steps"])
        return {"rollout_correct": zeros, "rollout_total": zeros, "expected_accuracy": [None] * len(zeros)}
    return {name: row[name] for name in ("rollout_correct", "rollout_total", "expected_accuracy")}


def visualprm_raw(group: list[Row]) -> Expected:
    return [
        {**asked(row, "answer", "answer_index", "steps"), **rollouts(row),
         "solution": row["solution"] or "\n\n".join(row["steps"])}
        for row in group
    ]


def visualprocessbench(group: list[Row]) -> Expected:
    return [
        {**asked(row, "answer", "answer_index", "steps", "source"), "labels": final(row)}
        for row in group
        if "?" not in final(row)
    ]


def scores(row: Row, ends_known: bool) -> Row:
    """Rollout columns: null as a whole where every value is."""
    names = ("rollout_correct", "rollout_total", "expected_accuracy")
    found = {name: row.get(name) for name in names}
    if ends_known:
        labels = final(row)
        end = max(place for place, label in enumerate(labels) if label in "+-") + 1
        blank = [label not in "+-" for label in labels]
        for name in names[:2]:
            values = found[name]
            found[name] = values and [None if no else v for v, no in zip(values[:end], blank, strict=False)]
        found["expected_accuracy"] = row.get("expected_accuracy") and row["expected_accuracy"][:end]
    return {name: None if not v or all(x is None for x in v) else v for name, v in found.items()}


def case(row: Row) -> Row:
    same = ("question_id", "question", "options", "answer_index", "modality", "source", "solution_index",
            "is_correct")
    return {**{name: row[name] for name in same}, "final_answer": letter_of(row)}


def vmp(group: list[Row]) -> Expected:
    return [
        {**case(row), "steps": row["steps"], "step_titles": row["step_titles"], "labels": known(final(row)),
         **scores(row, False)}
        for row in group
    ]


def vmp_result(group: list[Row]) -> Expected:
    return [{**row, "source": group[0]["source"]} for row in vmp(group)]


def steps(group: list[Row]) -> Expected:
    found = []
    for row in group:
        labels = known(final(row))
        if set(labels) == {"?"}:
            continue
        end = max(place for place, label in enumerate(labels) if label in "+-") + 1
        cut = {name: row[name][:end] for name in ("steps", "step_titles")}
        found.append({**case(row), **cut, "labels": labels[:end], **scores(row, True)})
    return found


def steps_json(group: list[Row]) -> Expected:
    """As steps-jsonl, but the prefix carries no scores: those of unlabelled steps are lost too."""
    found = steps(group)
    for row in found:
        values = row["expected_accuracy"]
        if values:
            kept = [None if label == "?" else v for v, label in zip(values, row["labels"], strict=True)]
            row["expected_accuracy"] = None if all(v is None for v in kept) else kept
    return found


def question(row: Row) -> Row:
    same = ("question_id", "source", "question", "options", "answer", "answer_index", "evidence", "is_correct")
    return {**{name: row.get(name) for name in same}, "final_answer": row["final_answer"],
            "solution": row["solution"] or numbered(row), "steps": line_steps(row)}


def medprm(group: list[Row]) -> Expected:
    found = []
    for row in group:
        labels = known(final(row))
        holes = [label == "?" for label in labels]

        def spread(values: list[Any] | None, lost: Any, holes: list[bool] = holes) -> list[Any] | None:
            if values is None or any(v == lost for v, no in zip(values, holes, strict=True) if not no):
                return None
            return [lost if no else v for v, no in zip(values, holes, strict=True)]

        judged = row["judge_labels"] and known(row["judge_labels"])
        found.append({**question(row), "labels": labels, "judge_labels": spread(judged, "?"),
                      "expected_accuracy": spread(row.get("expected_accuracy"), None)})
    return found


def question_json(group: list[Row]) -> Expected:
    return [
        {**question(row), "modality": RADIOLOGY[row["modality"]], "difficulty": row["difficulty"],
         "judge_labels": known(row["judge_labels"] or ["?"] * len(row["steps"])),
         "expected_accuracy": row.get("expected_accuracy") or [None] * len(row["steps"]),
         "review_labels": row["review_labels"] and known(row["review_labels"])}
        for row in group
    ]


def case_json(group: list[Row]) -> Expected:
    same = ("question_id", "answer", "answer_index", "modality", "difficulty", "source", "steps", "label_method")
    nothing = [None] * 9
    return [
        {**asked(row, *same), "labels": known(final(row)),
         "step_titles": [title if title == "observation" else "" for title in row["step_titles"]],
         "judge_labels": known(row["judge_labels"] or ["?"] * len(row["steps"])),
         "expected_accuracy": row.get("expected_accuracy") or nothing[: len(row["steps"])]}
        for row in group
    ]


def preference(group: list[Row]) -> Expected:
    right = [row for row in group if row["is_correct"] is True]
    wrong = [row for row in group if row["is_correct"] is False]
    return [
        {**asked(row, "is_correct"), "solution": row["solution"] or numbered(row)}
        for pair in zip(right, wrong, strict=False)
        for row in pair
    ]


def prm800k(group: list[Row]) -> Expected:
    return [{**asked(row, "answer", "answer_index", "steps"), "labels": final(row)} for row in group]


def math_shepherd(group: list[Row]) -> Expected:
    return [
        {**asked(row, "source"), "steps": cut["steps"], "labels": cut["labels"]}
        for row in group
        for cut in steps([row])
    ]


def mm_prm(group: list[Row], answers: bool = False) -> Expected:
    found = []
    for row in group:
        texts: list[str] = []
        values: list[float] = []
        waiting: list[str] = []
        for text, value in zip(row["steps"], row.get("expected_accuracy") or [None] * 9, strict=False):
            waiting.append(text)
            if value is not None:
                texts.append("\n\n".join(waiting))
                values.append(value)
                waiting = []
        if texts:
            told = ("answer", "answer_index") if answers else ()
            found.append({**asked(row, *told), "steps": texts, "expected_accuracy": values})
    return found


def raw_json(group: list[Row]) -> Expected:
    return group


CASES: dict[str, tuple[Callable[[list[Row]], Expected], str, dict[str, Any]]] = {
    "raw-json": (raw_json, ".jsonl", {}),
    "visualprm-raw": (visualprm_raw, ".jsonl", {}),
    "visualprm": (visualprm, ".jsonl", {}),
    "visualprocessbench": (visualprocessbench, ".jsonl", {}),
    "vmp-result": (vmp_result, ".json", {}),
    "vmp-solutions": (vmp, ".jsonl", {}),
    "steps-jsonl": (steps, ".jsonl", {}),
    "steps-json": (steps_json, ".json", {}),
    "medprm": (medprm, ".json", {}),
    "question-json": (question_json, ".json", {}),
    "case-json": (case_json, ".json", {}),
    "stepwise": (stepwise, ".jsonl", {}),
    "preference": (preference, ".jsonl", {}),
    "prm800k": (prm800k, ".jsonl.gz", {}),
    "math-shepherd": (math_shepherd, ".jsonl", {}),
    "mm-prm": (mm_prm, ".jsonl", {}),
    "mm-prm paths": (lambda group: mm_prm(group, True), ".jsonl", {"shape": "paths"}),
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(group=rows())
def test_what_is_read_back_is_what_was_written_minus_the_declared_losses(name: str, group: list[Row]) -> None:
    expected, suffix, options = CASES[name]
    format_id = name.split()[0]
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        report = formats.write(group, path, format_id, **options)
        problems: list[formats.Problem] = []
        found = list(formats.read(path, format_id, problems=problems, **options))
        once = path.read_bytes()
        formats.write(group, path, format_id, **options)
        assert path.read_bytes() == once
    assert report.rejected == 0
    assert [problem for problem in problems if problem.reason != "empty_file"] == []
    wanted = expected(group)
    carries = formats.open_format(format_id).carries
    for row, original in zip(found, wanted, strict=True):
        columns = {column: row.get(column) for column in original}
        if name != "raw-json":
            assert {column for column in row if column in carries} <= set(BY_NAME)
        assert columns == original


def test_probabilities_of_case_json_come_back_to_12_digits(tmp_path: Path) -> None:
    from tests.formats.rows import row

    odd = 1 / 3
    formats.write([row(steps=list("abc"), step_titles=None, labels=["+", "-", "-"], label_p=[odd, 0.1, odd],
                       expected_accuracy=None, rollout_correct=None, rollout_total=None, judge_labels=None)],
                  tmp_path / "c.json", "case-json")
    (back,) = formats.read(tmp_path / "c.json")
    assert back["label_p"][:2] == [odd, 0.1]
    assert math.isclose(back["label_p"][2], odd, abs_tol=1e-12)
    assert back["extra"] is None


def test_every_writer_has_a_property() -> None:
    writers = {name for name in formats.FORMATS if formats.open_format(name).writes}
    assert {name.split()[0] for name in CASES} == writers
    assert letter(0) == "A"
