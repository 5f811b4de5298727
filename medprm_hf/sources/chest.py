"""The 14 findings of CheXpert, which MIMIC-CXR uses too, as one question an image.

    label        1.0 reported   0.0 reported as absent   -1.0 uncertain   empty: not mentioned

The right option is one finding that is reported; beside it stand findings that are not: never an uncertain one, never
one that a reported one implies (edema is a lung opacity) or that may be meant by it, and not `Support Devices`, which
is no finding. The labels come from reports, so the question asks what was reported. An image without a reported
finding gets no question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medprm_hf.ids import content_hash
from medprm_hf.sources.classes import ask_class, ask_rows
from medprm_hf.sources.rows import text

FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
_PARENT = {
    "Cardiomegaly": "Enlarged Cardiomediastinum", "Edema": "Lung Opacity", "Consolidation": "Lung Opacity",
    "Lung Lesion": "Lung Opacity", "Atelectasis": "Lung Opacity", "Pneumonia": "Consolidation",
}  # fmt: skip
"""The labels' own hierarchy (Irvin et al. 2019, figure 1)."""
QUESTION = "Which of these findings was reported for this chest X-ray?"


def _mark(value: Any) -> float | None:
    try:
        return float(text(value))
    except ValueError:
        return None


def finding_columns(name: str, record: Mapping[str, Any], options: int = 4, ask: str = "label") -> dict[str, Any]:
    """question, options, answer and answer_index of one image (`ask: none`: no question)."""
    marks = {finding: _mark(record.get(finding)) for finding in FINDINGS if finding != "Support Devices"}
    reported = sorted((f for f, mark in marks.items() if mark == 1.0), key=lambda f: content_hash(name, f))
    if not ask_rows(ask) or not reported:
        return {"question": None, "options": []}
    absent = [
        finding for finding, mark in marks.items() if mark == 0.0 or (mark is None and not _may_be(finding, reported))
    ]
    absent = [finding for finding in absent if not any(finding in _above(one) for one in reported)]
    if "No Finding" not in reported:
        absent = [finding for finding in absent if finding != "No Finding"]  # it would be wrong without looking
    return ask_class(name, QUESTION, reported[0], [reported[0], *absent], options=options)


def _above(finding: str) -> set[str]:
    """What a finding implies."""
    parent = _PARENT.get(finding)
    return {parent, *_above(parent)} if parent else set()


def _may_be(finding: str, reported: list[str]) -> bool:
    """Whether an unmentioned finding is a kind of a reported one."""
    return bool(_above(finding) & set(reported))
