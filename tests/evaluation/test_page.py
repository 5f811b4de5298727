"""The page: text of models and files stays text, nothing is fetched, and what was not fitted is not called fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.evaluation.commands import EvalRequest, evaluate_file
from medprm_hf.evaluation.core import EvalSettings
from medprm_hf.formats import write
from medprm_hf.labels.calibration import error_of, reliability
from tests.evaluation.rows import noisy_rows

HOSTILE = '<script>alert(1)</script><img src=https://example.org/x onerror=alert(2)>" onload="x {{ 7*7 }}'
SETTINGS = EvalSettings(resamples=30)


def scored(rows: list[dict[str, Any]]) -> list[list[float]]:
    """Wrong on purpose, so that every question stands among the worst cases."""
    return [[0.1 if label == "+" else 0.9 for label in row["labels"]] for row in rows]


def page_of(folder: Path, settings: EvalSettings = SETTINGS, **columns: Any) -> str:
    # Each question keeps a wording of its own: questions of one wording are one question.
    own = {name: value for name, value in columns.items() if name != "question"}
    asked = columns.get("question", "")
    table = [{**row, **own, "question": asked + row["question"]} for row in noisy_rows(20)]
    file = folder / "solutions.jsonl"
    write(table, file, "raw-json")
    evaluate_file(EvalRequest(file, out=folder / "out", settings=settings), scored)  # type: ignore[arg-type]
    return (folder / "out" / "evaluation.html").read_text(encoding="utf-8")


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, question=HOSTILE, options=[HOSTILE, "Right"], answer=HOSTILE, steps=[HOSTILE] * 4, source=HOSTILE,
        modality="ct_scan",
    )  # fmt: skip
    assert "&lt;script&gt;alert(1)" in page and "{{ 7*7 }}" in page
    assert "<script" not in page and "<img src=https" not in page and '" onload="' not in page


def test_the_page_forbids_itself_to_fetch_anything(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert "default-src 'none'; img-src data:" in page
    assert "not for clinical use" in page


@pytest.mark.parametrize(
    ("threshold", "says", "never"),
    [(None, "fixed on development data", "not fitted"), (0.4, "not fitted", "fixed on development data")],
)
def test_a_threshold_that_was_given_is_not_called_fitted(
    tmp_path: Path, threshold: float | None, says: str, never: str
) -> None:
    page = page_of(tmp_path, replace(SETTINGS, threshold=threshold))
    assert says in page and never not in page


def test_calibration_error_by_hand() -> None:
    # Two bins of equal width: (0.2 + 0.4) / 2 against 0 / 2, and 0.9 against 1 / 2.
    found = reliability([0.2, 0.4, 0.9, 0.9], [0, 0, 1, 0], bins=2)
    assert error_of(found) == pytest.approx(0.3 * 0.5 + 0.4 * 0.5)
    assert error_of([]) is None
