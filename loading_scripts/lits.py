"""LiTS: 131 abdominal CT volumes with liver and liver tumours outlined (Bilic et al. 2023).

Licence: CC BY-NC-ND 4.0
Redistribution: no; non-commercial, unchanged
Needs: registration at the challenge; a local copy with volume-N.nii and segmentation-N.nii (or .nii.gz); nibabel
Columns: voxels of the volume; of the segmentation 0 background, 1 liver, 2 tumour
Checked: the paper and public code that reads the files; not against the files. The licence is from memory: confirm it

Two rows a volume at most: the slice with most tumour, and the slice with most liver of those without tumour; each asks
whether a tumour is seen. A volume without segmentation (the test set) gives its middle slice and no question, and so
does ask=none. The group is the volume.

    python loading_scripts/lits.py --path copy/of/LiTS --limit 4
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from medprm_hf.errors import DataError, ImageError, MissingExtraError
from medprm_hf.imaging.volumes import render_nifti
from medprm_hf.sources import ask_rows, closed, run_script

LICENSE = "CC BY-NC-ND 4.0"
QUESTION = "Is a liver tumour visible on this slice?"
_VOLUME = re.compile(r"volume-(\d+)\.nii(?:\.gz)?$")


def rows(path: str, limit: int | None = None, ask: str = "label", window: str = "abdomen") -> Iterator[dict[str, Any]]:
    """Question rows, volume by volume."""
    folder = Path(path)
    asked = ask_rows(ask)
    volumes = sorted((int(found[1]), file) for file in folder.rglob("volume-*") if (found := _VOLUME.search(file.name)))
    if not volumes:
        raise DataError(f"{folder} holds no volume-N.nii: give the folder of the LiTS volumes")
    made = (row for number, file in volumes for row in _rows(number, file, asked, window))
    yield from islice(made, limit)


def _rows(number: int, file: Path, asked: bool, window: str) -> Iterator[dict[str, Any]]:
    outlined = _outlines(file)
    for place, answer in _chosen(outlined) if outlined else [(None, None)]:
        name = f"lits-{number}" if place is None else f"lits-{number}-{place}"
        known = asked and answer is not None and place is not None
        yield {
            "question_id": name,
            "image": _shown(file, place, window),
            "question": QUESTION if known else None,
            **(closed(answer) if known else {}),
            "modality": "ct_scan",
            "group": f"lits-{number}",
            "source": "lits",
            "license": LICENSE,
        }


def _outlines(file: Path) -> Path | None:
    """The segmentation beside a volume, or (Kaggle) in segmentations/ beside volumes/."""
    name = file.name.replace("volume-", "segmentation-")
    places = (file.with_name(name), file.parent.parent / "segmentations" / name)
    return next((place for place in places if place.is_file()), None)


def _chosen(outlined: Path) -> list[tuple[int | None, str | None]]:
    """(axial slice, is there tumour) of the slice with most tumour, and of that with most liver without any."""
    try:
        liver, tumour = _areas(outlined)
    except ImageError:
        return [(None, None)]  # what the outlines cannot say is not asked
    chosen: list[tuple[int | None, str | None]] = []
    if tumour.max(initial=0) > 0:
        chosen.append((int(tumour.argmax()), "yes"))
    clean = np.where(tumour == 0, liver, 0)
    if clean.max(initial=0) > 0:
        chosen.append((int(clean.argmax()), "no"))
    return chosen or [(None, None)]


def _areas(outlined: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Voxels of liver and of tumour on each axial slice, [slices], in the order in which slices are rendered."""
    try:
        from medprm_hf.imaging.nifti import open_volume
    except ImportError as error:
        raise MissingExtraError("lits", "dicom", "nibabel") from error
    volume = open_volume(outlined)
    count = volume.shape[volume.voxel_axis(2)]
    planes = (volume.plane(2, index) for index in range(count))
    sizes = [((plane == 1).sum(), (plane == 2).sum()) for plane in planes]
    liver, tumour = np.array(sizes).T if sizes else np.zeros((2, 0))
    return liver, tumour


def _shown(file: Path, place: int | None, window: str) -> Any:
    try:
        return render_nifti(file, "middle" if place is None else str(place), window=window)
    except ImageError as error:
        return ImageError(str(error).replace(file.name, "the volume"))


if __name__ == "__main__":
    run_script(rows, __doc__)
