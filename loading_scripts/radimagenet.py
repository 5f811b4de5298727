"""RadImageNet: 1.35 million CT, MRI and ultrasound images with 165 labels (Mei et al. 2022).

Licence: RadImageNet research use agreement
Redistribution: no
Needs: a request at radimagenet.com and its agreement; a local copy with RadiologyAI_{train,val,test}.csv
Columns: filename (radiology_ai/MR/knee/…), label
Checked: public code that reads the CSV files, and the authors' README (BMEII-AI/RadImageNet)

The options are labels of the same modality and region: the right one and three others (options=null: all of them).
The classes are read from the tables first, images one at a time. No patient is published, each image is its own group;
the published split is by patient, so keep it. ask=none gives rows without a question.

    python loading_scripts/radimagenet.py --path RadImageNet --split test --limit 3
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.ids import content_hash
from medprm_hf.sources import Pictures, ask_class, optional, records, run_script, text

LICENSE = "RadImageNet research use agreement"
QUESTION = "What does this {what} show?"
_MODALITIES = {"CT": ("ct_scan", "CT image"), "MR": ("mri", "MR image"), "US": ("ultrasound", "ultrasound image")}
TABLES = ("RadiologyAI_", "train", "val", "test")
NEEDED = ("filename", "label")
Region = tuple[str, str]


def rows(
    path: str, split: str | None = None, limit: int | None = None, ask: str = "label", options: int | None = 4
) -> Iterator[dict[str, Any]]:
    """Question rows in the order of the tables."""
    folder = Path(path)
    folder = folder.parent if folder.is_file() else folder
    images = Pictures([folder, folder / "RadImageNet_data"])
    classes: dict[Region, set[str]] = defaultdict(set)
    if ask == "label":
        for record in records(path, columns=NEEDED, tables=TABLES):
            if label := label_of(record["label"]):
                classes[region_of(record["filename"])].add(label)
    for record in islice(records(path, columns=NEEDED, only=split, tables=TABLES), limit):
        file, region = text(record["filename"]), region_of(record["filename"])
        modality, what = _MODALITIES.get(region[0], ("radiology", "image"))
        name, shown = f"radimagenet-{content_hash(file)}", sorted(classes[region])
        yield {
            "question_id": name,
            "image": images.cell(file),
            **ask_class(name, QUESTION.format(what=what), label_of(record["label"]), shown, options=options, ask=ask),
            "modality": modality,
            "clinical_context": f"region: {region[1].replace('_', ' ')}" if region[1] else None,
            "group": name,
            "split": record.split,
            "source": "radimagenet",
            "license": LICENSE,
        }


def region_of(filename: Any) -> Region:
    """(CT, MR or US; region) of `radiology_ai/MR/knee/acl_pathology/knee012.png`."""
    parts = text(filename).split("/")
    places = [place for place, part in enumerate(parts[:-1]) if part in _MODALITIES]
    if not places:
        return "", ""
    return parts[places[0]], parts[places[0] + 1] if places[0] + 2 < len(parts) else ""


def label_of(value: Any) -> str | None:
    """`acl_pathology` → acl pathology."""
    said = optional(value)
    return said.replace("_", " ") if said else None


if __name__ == "__main__":
    run_script(rows, __doc__)
