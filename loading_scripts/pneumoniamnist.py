"""PneumoniaMNIST as files: chest X-rays, "normal or pneumonia?" (Kermany et al. 2018, MedMNIST).

Licence: CC BY 4.0
Redistribution: yes, with attribution
Needs: nothing to sign; a folder with cases.jsonl and its PNG files
Columns: file, npz_split, npz_index, label_name
Checked: ../shared/data/pneumoniamnist

No patient id is published, so each image is its own group. Not for clinical use.

    python loading_scripts/pneumoniamnist.py ../shared/data/pneumoniamnist --limit 1
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medprm_hf.loading import image_value
from medprm_hf.sources import run_script

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
    run_script(rows, __doc__)
