"""Images of similar cases, for a judge that is shown them: from the row itself, or from the table of cases.

The table (`judge.cases`, the one of `retrieve.cases`) is read once a process; a case that it lacks is shown without
its image.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from medprm_hf.errors import ImageError
from medprm_hf.imaging.load import load_image
from medprm_hf.loading import open_source
from medprm_hf.specs import JudgeSpec
from medprm_hf.stages.base import Row, RowErrors


def case_images(spec: JudgeSpec, row: Row, errors: RowErrors) -> dict[int, bytes]:
    """{number of the similar case, from 1: its image}, the most similar first, `spec.case_images` at most."""
    found: dict[int, bytes] = {}
    for number, case in enumerate(row.get("similar_cases") or (), start=1):
        if len(found) == spec.case_images:
            break
        cell = case.get("image") or (case_table(spec.cases).get(str(case["question_id"])) if spec.cases else None)
        if cell:
            try:
                found[number] = load_image(cell).data
            except ImageError as error:
                errors.add("image", f"similar case {case['question_id']}: {error}")
    return found


@lru_cache(maxsize=2)
def case_table(path: str) -> dict[str, Any]:
    """{question_id: image} of a table of cases."""
    return {str(row["question_id"]): row["image"] for row in open_source("table", path=path) if row.get("image")}
