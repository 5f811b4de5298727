"""PubMedQA (pqa_labeled): text-only yes/no/maybe questions on PubMed abstracts. MIT licence.

Columns checked against `../shared/data/pubmedqa/pqal_dev500.json` (the project's `ori_pqal.json`): an object
keyed by PMID with QUESTION, CONTEXTS, LABELS, MESHES, LONG_ANSWER and final_decision. The abstract's sections
become the clinical context; the long answer is left out, since it says the gold answer.

    python loading_scripts/pubmedqa.py ../shared/data/pubmedqa/pqal_dev500.json | head -1
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OPTIONS = ["yes", "no", "maybe"]


def rows(path: str, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Canonical question rows; `limit` takes the first that many in file order."""
    items = json.loads(Path(path).read_text(encoding="utf-8"))
    for number, (pmid, item) in enumerate(items.items()):
        if limit is not None and number >= limit:
            return
        yield {
            "question_id": f"pubmedqa-{pmid}",
            "question": item["QUESTION"],
            "options": OPTIONS,
            "answer": item["final_decision"],
            "answer_index": OPTIONS.index(item["final_decision"]),
            "modality": "text",
            "clinical_context": "\n".join(item["CONTEXTS"]),
            "group": pmid,
            "source": "pubmedqa",
            "license": "MIT",
        }


if __name__ == "__main__":
    import sys

    for row in rows(sys.argv[1]):
        print(json.dumps(row, ensure_ascii=False))
