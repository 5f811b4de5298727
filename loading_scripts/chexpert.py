"""CheXpert: 224,316 chest X-rays of 65,240 patients with labels from their reports (Irvin et al. 2019).

Licence: Stanford University Dataset Research Use Agreement
Redistribution: no; non-commercial research by those who signed
Needs: registration with Stanford AIMI and its research use agreement; a local copy (small or full)
Columns: Path, Sex, Age, Frontal/Lateral, AP/PA and the 14 findings
Checked: public loaders of train.csv and valid.csv (file and column names); not against the files

One question an image from its labels (sources/chest.py), or none (ask=none). frontal=true takes frontal images alone.
The group is the patient. Labels: 1.0 reported, 0.0 absent, -1.0 uncertain, empty not mentioned.

    python loading_scripts/chexpert.py --path CheXpert-v1.0-small --split valid --limit 3
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.sources import Pictures, context, optional, records, run_script, text
from medprm_hf.sources.chest import FINDINGS, finding_columns

LICENSE = "Stanford University Dataset Research Use Agreement"


def rows(
    path: str,
    split: str | None = None,
    limit: int | None = None,
    ask: str = "label",
    options: int = 4,
    frontal: bool = True,
) -> Iterator[dict[str, Any]]:
    """Question rows of train.csv, valid.csv and test.csv, whichever are there."""
    folder = Path(path)
    images = Pictures([folder.parent, folder])
    found = records(path, columns=("Path", *FINDINGS), only=split, tables=("train", "valid", "test"))
    kept = (one for one in found if not frontal or text(one["Frontal/Lateral"]) in ("Frontal", ""))
    for record in islice(kept, limit):
        parts = text(record["Path"]).split("/")
        name = "chexpert-" + "-".join(parts[-4:]).rsplit(".", 1)[0]
        yield {
            "question_id": name,
            "image": _cell(images, parts),
            **finding_columns(name, record.value, options, ask),
            "modality": "chest_xray",
            "clinical_context": context(age=record["Age"], sex=record["Sex"], view=record["AP/PA"]),
            "group": f"chexpert-{optional(parts[-3]) if len(parts) > 2 else name}",
            "split": record.split,
            "source": "chexpert",
            "license": LICENSE,
        }


def _cell(images: Pictures, parts: list[str]) -> Any:
    """`CheXpert-v1.0-small/train/patient00001/…`, wherever the folder was put."""
    return images.find("/".join(parts)) or images.cell("/".join(parts[1:]))


if __name__ == "__main__":
    run_script(rows, __doc__)
