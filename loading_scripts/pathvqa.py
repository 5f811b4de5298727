"""PathVQA: 32,632 questions about pathology figures of textbooks and the PEIR library (He et al. 2020).

Hub: flaviagiammarino/path-vqa
Licence: MIT
Redistribution: yes, with the licence's text
Needs: nothing to sign
Columns: image, question, answer
Checked: dataset card (flaviagiammarino/path-vqa, dataset_info)

No patient is published: each image is its own group. About half of the answers are yes or no; they become a choice
of two (yes_no=false leaves them free text).

    python loading_scripts/pathvqa.py --path copy/of/path-vqa --limit 5
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from medprm_hf.ids import bytes_hash
from medprm_hf.sources import closed, picture, records, run_script, text

HUB = "flaviagiammarino/path-vqa"
LICENSE = "MIT"


def rows(
    path: str | None = None, hub: str = HUB, split: str | None = None, limit: int | None = None, yes_no: bool = True
) -> Iterator[dict[str, Any]]:
    """Question rows of the Hub dataset or of a copy of it."""
    for record in islice(records(path, hub, columns=("image", "question", "answer"), only=split), limit):
        name = f"pathvqa-{record.split or 'rows'}-{record.number:05d}"
        shown = picture(record["image"])
        held = shown.get("bytes") if isinstance(shown, dict) else None
        yield {
            "question_id": name,
            "image": shown,
            "question": text(record["question"]),
            **closed(record["answer"], yes_no),
            "modality": "pathology",
            "group": f"pathvqa-{bytes_hash(held)[:12]}" if held else name,
            "split": record.split,
            "source": "pathvqa",
            "license": LICENSE,
        }


if __name__ == "__main__":
    run_script(rows, __doc__)
