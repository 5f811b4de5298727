"""MIMIC-CXR-JPG: 377,110 chest X-rays of 65,379 patients with labels from their reports (Johnson et al. 2019).

Licence: PhysioNet Credentialed Health Data License 1.5.0
Redistribution: no; neither images nor reports may be passed on, nor shown to a service that may keep them
Needs: a credentialed PhysioNet account, training in human research, the signed data use agreement; a local copy
Columns: dicom_id, study_id, subject_id, split; ViewPosition of the metadata; the 14 findings of the chexpert table
Checked: public loaders of the dataset (file and column names); not against the files, which nobody may pass on

The folder holds mimic-cxr-2.0.0-{metadata,split,chexpert}.csv (or .csv.gz) and files/p10/p10000032/s50414267/ID.jpg.
One question an image from its labels (sources/chest.py), or none (ask=none); views=[PA, AP] takes frontal images. The
group is the patient. Labels and splits are held in memory (some 100 MB), images are not.

    python loading_scripts/mimic_cxr.py --path mimic-cxr-jpg/2.1.0 --split test --limit 3
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.sources import Pictures, context, records, run_script, split_name, text
from medprm_hf.sources.chest import FINDINGS, finding_columns

LICENSE = "PhysioNet Credentialed Health Data License 1.5.0"
VIEWS = ("PA", "AP")


def rows(
    path: str,
    split: str | None = None,
    limit: int | None = None,
    ask: str = "label",
    options: int = 4,
    views: Sequence[str] | None = VIEWS,
) -> Iterator[dict[str, Any]]:
    """Question rows in the order of the metadata; views=null takes all."""
    folder, wanted = Path(path), split_name(split)
    found = records(_table(folder, "metadata"), columns=("dicom_id", "study_id", "subject_id", "ViewPosition"))
    splits = {text(one["dicom_id"]): split_name(one["split"]) for one in records(_table(folder, "split"))}
    labels = {
        text(one["study_id"]): tuple(one[finding] or "" for finding in FINDINGS)
        for one in records(_table(folder, "chexpert"), columns=("study_id", *FINDINGS))
    }
    images = Pictures([folder])
    kept = (
        one
        for one in found
        if (views is None or text(one["ViewPosition"]) in views) and wanted in (None, splits.get(text(one["dicom_id"])))
    )
    for one in islice(kept, limit):
        patient, study, image = text(one["subject_id"]), text(one["study_id"]), text(one["dicom_id"])
        name = f"mimic_cxr-{image}"
        marks = dict(zip(FINDINGS, labels.get(study, ()), strict=False))
        yield {
            "question_id": name,
            "image": images.cell(f"files/p{patient[:2]}/p{patient}/s{study}/{image}.jpg"),
            **finding_columns(name, marks, options, ask),
            "modality": "chest_xray",
            "clinical_context": context(view=one["ViewPosition"]),
            "group": f"mimic-{patient}",
            "split": splits.get(image),
            "source": "mimic_cxr",
            "license": LICENSE,
        }


def _table(folder: Path, name: str) -> Path:
    files = [folder / f"mimic-cxr-2.0.0-{name}.csv{ending}" for ending in ("", ".gz")]
    for file in files:
        if file.is_file():
            return file
    raise DataError(f"no {files[0]} (or .gz): give the folder of MIMIC-CXR-JPG that holds it")


if __name__ == "__main__":
    run_script(rows, __doc__)
