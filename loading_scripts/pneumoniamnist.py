"""PneumoniaMNIST as files: chest X-rays, "normal or pneumonia?". CC BY 4.0 (Kermany et al. 2018, MedMNIST).

Columns checked against `../shared/data/pneumoniamnist/cases.jsonl`: file, npz_split, npz_index, label,
label_name, width, height; images lie beside it as PNG. No patient id is published, so each image is its own
group. Not for clinical use.

    python loading_scripts/pneumoniamnist.py ../shared/data/pneumoniamnist | head -1
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medprm_hf.loading import image_value

OPTIONS = ["normal", "pneumonia"]


def rows(path: str, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Canonical question rows of the folder that holds cases.jsonl; `limit` takes the first that many."""
    folder = Path(path)
    lines = (folder / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines[:limit]:
        case = json.loads(line)
        name = f"pneumoniamnist-{case['npz_split']}-{case['npz_index']}"
        yield {
            "question_id": name,
            "image": image_value(folder / case["file"]),
            "question": "Does this chest X-ray look normal, or does it show pneumonia?",
            "options": OPTIONS,
            "answer": case["label_name"],
            "answer_index": OPTIONS.index(case["label_name"]),
            "modality": "chest_xray",
            "group": name,
            "source": "pneumoniamnist",
            "license": "CC BY 4.0",
        }


if __name__ == "__main__":
    import sys

    for row in rows(sys.argv[1]):
        print(json.dumps({**row, "image": row["image"]["path"]}))
