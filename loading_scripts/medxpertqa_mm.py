"""MedXpertQA-MM: 2,000 expert-level questions with images and five options (Zuo et al. 2025).

Hub: TsinghuaC3I/MedXpertQA
Licence: MIT
Redistribution: yes, with the licence's text; its authors ask that examples are not put online in plain text
Needs: nothing to sign; images.zip (0.5 GB) or images/ beside MM/
Columns: id, question, options (by letter), label, images (medical_task, body_system, question_type stay out)
Checked: dataset card (TsinghuaC3I/MedXpertQA, config MM) and public code that reads it

The choices that the question's text repeats are taken off. Several images become one picture, side by side. It is a
benchmark: keep it out of training. No patient is published; each question is its own group.

    python loading_scripts/medxpertqa_mm.py --path copy/of/MedXpertQA --limit 3
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.sources import Pictures, choice, hub_files, picture, records, run_script, text
from medprm_hf.sources.pictures import side_by_side

HUB = "TsinghuaC3I/MedXpertQA"
LICENSE = "MIT"
_REPEATED = re.compile(r"\s*Answer Choices:\s*\(A\).*\Z", re.DOTALL)


def rows(
    path: str | None = None, hub: str = HUB, split: str | None = None, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Question rows of the configuration MM."""
    folder = Path(path or hub)
    folder = folder.parent.parent if folder.is_file() else folder
    images = Pictures([folder / "images", folder], hub_files(path, hub, ["images.zip"]))
    needed = ("id", "question", "options", "label", "images")
    for record in islice(records(path, hub, config="MM", columns=needed, only=split), limit):
        options = record["options"] or {}
        cells = [images.cell(name) for name in record["images"] or []]
        yield {
            "question_id": f"medxpertqa-{record['id']}",
            "image": side_by_side(cells) if cells else picture(None),
            "question": _REPEATED.sub("", text(record["question"])),
            **choice([options[key] for key in sorted(options) if options[key] is not None], letter_of=record["label"]),
            "modality": "mixed",
            "group": f"medxpertqa-{record['id']}",
            "split": record.split,
            "source": "medxpertqa_mm",
            "license": LICENSE,
        }


if __name__ == "__main__":
    run_script(rows, __doc__)
