"""VQA-RAD: questions that clinicians asked about radiology images of MedPix (Lau et al. 2018).

Hub: flaviagiammarino/vqa-rad
Licence: CC0 1.0
Redistribution: yes
Needs: nothing to sign
Columns: image, question, answer; of the authors' JSON also qid, image_name, image_organ, phrase_type, image_case_url
Checked: dataset card (flaviagiammarino/vqa-rad, dataset_info); the authors' JSON by its documentation at osf.io/89kps

The Hub has no patient, so there each image is its own group, and its train and test share images: the questions
stage leaves those out of train. The authors' JSON names the MedPix case, which is the group then, and marks its test
questions in phrase_type. A yes/no answer becomes a choice of two (yes_no=false leaves it free text).

    python loading_scripts/vqa_rad.py --path copy/of/vqa-rad --limit 5
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.ids import bytes_hash
from medprm_hf.sources import Pictures, Record, closed, optional, picture, records, run_script, text

HUB = "flaviagiammarino/vqa-rad"
LICENSE = "CC0 1.0"
_ORGANS = {"CHEST": "chest radiology", "HEAD": "head radiology", "ABD": "abdominal radiology"}


def rows(
    path: str | None = None, hub: str = HUB, split: str | None = None, limit: int | None = None, yes_no: bool = True
) -> Iterator[dict[str, Any]]:
    """Question rows of the Hub dataset, of a copy of it, or of the authors' JSON with its image folder beside it."""
    folder = Path(path or ".")
    folder = folder.parent if folder.is_file() else folder
    images = Pictures([folder / "VQA_RAD Image Folder", folder / "images", folder])
    for record in islice(records(path, hub, columns=("question", "answer"), only=split), limit):
        yield {
            **_place(record, images),
            "question": text(record["question"]),
            **closed(record["answer"], yes_no),
            "source": "vqa_rad",
            "license": LICENSE,
        }


def _place(record: Record, images: Pictures) -> dict[str, Any]:
    """Name, image, group, split and modality, by which of the two layouts it is."""
    if "image_name" in record.value:
        case = optional(record["image_case_url"]) or text(record["image_name"])
        return {
            "question_id": f"vqa_rad-{record['qid']}",
            "image": images.cell(record["image_name"]),
            "group": f"vqa_rad-{case.rstrip('/').rsplit('/', 1)[-1]}",
            "split": "test" if text(record["phrase_type"]).startswith("test") else "train",
            "modality": _ORGANS.get(text(record["image_organ"]).upper(), "radiology"),
        }
    name = f"vqa_rad-{record.split or 'rows'}-{record.number:05d}"
    shown = picture(record["image"])
    held = shown.get("bytes") if isinstance(shown, dict) else None
    return {
        "question_id": name,
        "image": shown,
        "group": f"vqa_rad-{bytes_hash(held)[:12]}" if held else name,
        "split": record.split,
        "modality": "radiology",
    }


if __name__ == "__main__":
    run_script(rows, __doc__)
