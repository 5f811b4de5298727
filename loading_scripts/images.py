"""A folder of one's own images: DICOM, NIfTI, PNG, JPEG and what else can be taken in, one row an image, no question.

Licence: yours (license=…)
Redistribution: as you may; file and folder names stay out of the rows
Needs: nothing to sign; the dicom extra for DICOM and NIfTI (whole series: dicom_folder, BIDS: nifti_folder)
Columns: pixels; of DICOM headers Modality and PatientID (as a pseudonym)
Checked: the DICOM files that pydicom ships for tests

A vision model can write the questions (`questions.write.backend`). The group is a pseudonym of the patient (DICOM's
PatientID, else the sub-folder, else the image by itself) under `secret`: the same secret gives the same patient the
same pseudonym, without one each run has its own. File and folder names stay out of the rows.

    python loading_scripts/images.py folder --license "CC0" --limit 1
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError, ImageError
from medprm_hf.ids import bytes_hash
from medprm_hf.imaging.deidentify import Deidentifier
from medprm_hf.imaging.dicom import is_dicom, read_dicom, render_dicom
from medprm_hf.imaging.volumes import render_nifti
from medprm_hf.sources import run_script

_SKIPPED = (".txt", ".md", ".csv", ".json", ".jsonl", ".xml", ".html")
_MODALITIES = {"CT": "ct_scan", "MR": "mri", "CR": "xray", "DX": "xray", "MG": "mammography", "US": "ultrasound"}


def rows(
    path: str,
    license: str,
    modality: str | None = None,
    window: str = "auto",
    slices: str = "middle",
    secret: str | None = None,
    source: str = "images",
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Question rows without a question, in the order of the paths; a file met twice comes once."""
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"no folder at {folder}: give the folder that holds the images")
    maker, seen = Deidentifier(secret.encode() if secret else None), set[str]()
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    for file in files:
        if file.suffix.lower() in _SKIPPED or (limit is not None and len(seen) >= limit):
            continue
        data = file.read_bytes()
        name = bytes_hash(data)[:16]
        if name in seen:
            continue
        seen.add(name)
        image, patient, kind = _image(data, window, slices)
        patient = patient or (str(file.parent.relative_to(folder)) if file.parent != folder else name)
        yield {
            "question_id": f"{source}-{maker.pseudonym(name)}",
            "image": image,
            "modality": modality or kind,
            "group": maker.pseudonym(patient),
            "source": source,
            "license": license,
        }


def _image(data: bytes, window: str, slices: str) -> tuple[Any, str, str | None]:
    """(what the door takes in, the patient's id or empty, modality); what is broken goes on as it is, to be refused."""
    try:
        if is_dicom(data):
            dataset = read_dicom(data)
            kind = str(dataset.get("Modality") or "")
            shown = render_dicom(dataset, window)
            return shown, str(dataset.get("PatientID") or ""), _MODALITIES.get(kind, kind.lower() or None)
        if data[:2] == b"\x1f\x8b" or data[344:347] == b"n+1" or data[4:7] == b"n+2":
            return render_nifti(data, slices, window=window), "", None
    except ImageError:
        return data, "", None
    return data, "", None


if __name__ == "__main__":
    run_script(rows, __doc__)
