"""Folders of NIfTI volumes, plain or as BIDS has them: one row a volume, shown as a slice or a montage, no question.

Licence: yours (license=…)
Redistribution: as you may; file names stay out of the rows
Needs: the dicom extra (nibabel)
Columns: voxels; the patient is `sub-XX` of the path (BIDS), else the first folder, else the file
Checked: the volumes that nibabel ships for tests

The group is a pseudonym of the patient under `secret`: sessions and sequences of one patient stay together. modality
is given (mri), or told by BIDS' folder (anat, func, dwi, perf: mri; pet: pet).

    python loading_scripts/nifti_folder.py --path bids --license "CC0" --slices montage:9 --axis axial
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError, ImageError
from medprm_hf.imaging.deidentify import Deidentifier
from medprm_hf.imaging.volumes import render_nifti
from medprm_hf.sources import run_script

_SUBJECT = re.compile(r"(?:^|/)(sub-[A-Za-z0-9]+)")
_BIDS = {"anat": "mri", "func": "mri", "dwi": "mri", "fmap": "mri", "perf": "mri", "pet": "pet"}


def rows(
    path: str,
    license: str,
    modality: str | None = None,
    slices: str = "middle",
    axis: str = "axial",
    window: str = "auto",
    secret: str | None = None,
    source: str = "nifti_folder",
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows without a question, in the order of the paths."""
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"no folder at {folder}: give the folder that holds the volumes")
    maker = Deidentifier(secret.encode() if secret else None)
    files = sorted(file for ending in ("*.nii", "*.nii.gz") for file in folder.rglob(ending))
    for file in islice(files, limit):
        inside = file.relative_to(folder).as_posix()
        yield {
            "question_id": f"{source}-{maker.pseudonym(inside)}",
            "image": _shown(file, slices, axis, window),
            "modality": modality or next((_BIDS[part] for part in inside.split("/") if part in _BIDS), None),
            "group": maker.pseudonym(patient_of(inside)),
            "source": source,
            "license": license,
        }


def patient_of(inside: str) -> str:
    """`sub-01` of a BIDS path, else its first folder, else the file's own name."""
    found = _SUBJECT.search(inside)
    return found[1] if found else inside.split("/")[0]


def _shown(file: Path, slices: str, axis: str, window: str) -> Any:
    try:
        return render_nifti(file, slices, axis, window)
    except ImageError as error:
        return ImageError(str(error).replace(file.name, "the file"))


if __name__ == "__main__":
    run_script(rows, __doc__)
