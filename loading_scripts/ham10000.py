"""HAM10000: 10,015 dermatoscopic images of pigmented lesions, seven diagnoses (Tschandl et al. 2018).

Hub: marmal88/skin_cancer
Licence: CC BY-NC 4.0
Redistribution: no; non-commercial use with attribution
Needs: nothing to sign; the copy on the Hub is not the authors' (Harvard Dataverse, doi 10.7910/DVN/DBW86T, is)
Columns: image_id, lesion_id, dx, age, sex, localization; on the Hub also image
Checked: dataset card (marmal88/skin_cancer, dataset_info); HAM10000_metadata(.csv) by public code that reads it;
    the licence from memory

The group is the lesion: several images show one. The Hub's split puts images of one lesion into several splits; the
questions stage sees to that. ask=none gives rows without a question. The local copy is HAM10000_metadata.csv beside
the image folders.

    python loading_scripts/ham10000.py --path copy/of/HAM10000 --limit 3
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.sources import Pictures, ask_class, context, optional, picture, records, run_script, text

HUB = "marmal88/skin_cancer"
LICENSE = "CC BY-NC 4.0"
QUESTION = "What is the diagnosis of this pigmented skin lesion?"
CLASSES = {
    "akiec": "actinic keratosis or intraepithelial carcinoma",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis-like lesion",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
}
_HUB_NAMES = {
    "actinic_keratoses": "akiec", "basal_cell_carcinoma": "bcc", "benign_keratosis-like_lesions": "bkl",
    "dermatofibroma": "df", "melanoma": "mel", "melanocytic_nevi": "nv", "vascular_lesions": "vasc",
}  # fmt: skip
_FOLDERS = ("", "images", "HAM10000_images", "HAM10000_images_part_1", "HAM10000_images_part_2")


def rows(
    path: str | None = None,
    hub: str = HUB,
    split: str | None = None,
    limit: int | None = None,
    ask: str = "label",
    options: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Question rows; options=4 shows four of the seven diagnoses."""
    folder = Path(path or ".")
    folder = folder.parent if folder.is_file() else folder
    images = Pictures([folder / name for name in _FOLDERS])
    needed = ("image_id", "lesion_id", "dx")
    for record in islice(records(_table(path), hub, columns=needed, only=split), limit):
        name, dx = f"ham10000-{record['image_id']}", text(record["dx"]).casefold()
        label = CLASSES.get(_HUB_NAMES.get(dx, dx), optional(record["dx"]))
        held = picture(record["image"]) if "image" in record.value else images.cell(f"{record['image_id']}.jpg")
        yield {
            "question_id": name,
            "image": held,
            **ask_class(name, QUESTION, label, list(CLASSES.values()), options=options, ask=ask),
            "modality": "dermoscopy",
            "clinical_context": context(age=record["age"], sex=record["sex"], site=record["localization"]),
            "group": f"ham10000-{record['lesion_id']}",
            "split": record.split,
            "source": "ham10000",
            "license": LICENSE,
        }


def _table(path: str | None) -> str | None:
    """The authors' metadata where it is there (Dataverse's has no suffix); Kaggle's folder also holds other tables."""
    named = [Path(path or ".") / name for name in ("HAM10000_metadata.csv", "HAM10000_metadata")]
    return next((str(file) for file in named if path and file.is_file()), path)


if __name__ == "__main__":
    run_script(rows, __doc__)
