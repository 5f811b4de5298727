"""MMLU-Med: the six medical subjects of MMLU, four options (Hendrycks et al. 2021).

Hub: cais/mmlu
Licence: MIT
Redistribution: yes, with the licence's text
Needs: nothing to sign
Columns: question, subject, choices, answer (the option's place from 0)
Checked: from memory of the card (cais/mmlu); not looked up, not against the files

Subjects: anatomy, clinical_knowledge, college_biology, college_medicine, medical_genetics, professional_medicine
(`subjects` names others). validation and dev (five examples a subject) both become development. Text only.

    python loading_scripts/mmlu_med.py --split test --limit 5
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from medprm_hf.sources import Record, choice, records, run_script, text

HUB = "cais/mmlu"
LICENSE = "MIT"
SUBJECTS = (
    "anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics", "professional_medicine"
)  # fmt: skip


def rows(
    path: str | None = None,
    hub: str = HUB,
    split: str | None = None,
    limit: int | None = None,
    subjects: Sequence[str] = SUBJECTS,
) -> Iterator[dict[str, Any]]:
    """Question rows, subject by subject; a local copy has a folder for each subject."""
    needed = ("question", "choices", "answer")
    found = (
        _row(record, subject)
        for subject in subjects
        for record in records(path, hub, config=subject, columns=needed, only=split)
    )
    yield from islice(found, limit)


def _row(record: Record, subject: str) -> dict[str, Any]:
    name = f"mmlu-{subject}-{record.where.split('-')[0].split('.')[0]}-{record.number:04d}"
    return {
        "question_id": name,
        "question": text(record["question"]),
        **choice(list(record["choices"] or []), index=record["answer"]),
        "modality": "text",
        "group": name,
        "split": record.split,
        "source": f"mmlu_{subject}",
        "license": LICENSE,
    }


if __name__ == "__main__":
    run_script(rows, __doc__)
