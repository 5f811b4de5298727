"""Folders of DICOM studies: one row a series, shown as one slice or a montage, no question.

Licence: yours (license=…)
Redistribution: as you may; identifiers stay out of the rows
Needs: the dicom extra; a folder in which each folder with files holds one series
Columns: of the header Modality, PatientID (as a pseudonym), SeriesInstanceUID (as a pseudonym)
Checked: the DICOM files that pydicom ships for tests

The source `images` gives one row a file; this one a row a series, so that a CT of 300 slices is one question. The
group is a pseudonym of PatientID under `secret`. Where one folder mixes series, the row is left out and says so.

    python loading_scripts/dicom_folder.py --path studies --license "in-house" --slices montage:9
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError, ImageError
from medprm_hf.imaging.deidentify import Deidentifier
from medprm_hf.imaging.dicom import is_dicom, read_dicom
from medprm_hf.imaging.volumes import render_series
from medprm_hf.sources import run_script

MODALITIES = {"CT": "ct_scan", "MR": "mri", "CR": "xray", "DX": "xray", "MG": "mammography", "US": "ultrasound"}


def rows(
    path: str,
    license: str,
    slices: str = "middle",
    window: str = "auto",
    secret: str | None = None,
    source: str = "dicom_folder",
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows without a question, in the order of the folders' paths."""
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"no folder at {folder}: give the folder that holds the series")
    maker = Deidentifier(secret.encode() if secret else None)
    inside = (one for one in [folder, *sorted(folder.rglob("*"))] if one.is_dir())
    series = ((one, header) for one in inside if (header := _header(one)) is not None)
    for one, header in islice(series, limit):
        uid = str(header.get("SeriesInstanceUID") or one.relative_to(folder))
        kind = str(header.get("Modality") or "")
        patient = str(header.get("PatientID") or "") or uid
        yield {
            "question_id": f"{source}-{maker.pseudonym(f'{uid} {one.relative_to(folder)}')}",
            "image": _shown(one, slices, window),
            "modality": MODALITIES.get(kind, kind.lower() or None),
            "group": maker.pseudonym(patient),
            "source": source,
            "license": license,
        }


def _header(folder: Path) -> Any:
    """The header of the first DICOM file that lies in a folder; null where none does."""
    for file in sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith(".")):
        try:
            data = file.read_bytes()
            if is_dicom(data):
                return read_dicom(data)
        except ImageError:
            continue
    return None


def _shown(folder: Path, slices: str, window: str) -> Any:
    try:
        return render_series(folder, slices, window)
    except ImageError as error:
        return ImageError(str(error).replace(folder.name, "the folder"))


if __name__ == "__main__":
    run_script(rows, __doc__)
