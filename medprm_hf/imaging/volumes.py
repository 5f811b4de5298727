"""Volumes (NIfTI files, DICOM series) to one 8-bit PNG: a slice, or a montage of several.

    render_nifti("brain.nii.gz", slices="middle")
    render_nifti("abdomen.nii.gz", slices="montage:9", axis="axial", window="abdomen")
    render_series(Path("study/ct"), slices="40")

NIfTI volumes are turned to the nearest anatomical orientation first, so that `axial` is axial whatever the file's
order was; pictures follow the radiological convention (the patient's right on the viewer's left, front on top).
A series is sorted by where its slices lie, not by file name.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medprm_hf.errors import ConfigError, ImageError
from medprm_hf.imaging.dicom import read_dicom, render_dicom
from medprm_hf.imaging.grey import grey_levels
from medprm_hf.imaging.loaded import MAX_PIXELS, LoadedImage, as_png
from medprm_hf.imaging.nifti import MAX_VOXELS, open_volume
from medprm_hf.imaging.windows import read_window, spread, to_eight_bits
from medprm_hf.registry import near

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


@dataclass(frozen=True)
class Slices:
    """Which slices are shown: indices from 0 in order, and what that is called."""

    indices: tuple[int, ...]
    said: str


def choose_slices(text: str, count: int) -> Slices:
    """`middle`, a number from 0, or `montage:N` (N slices at equal distances). Raises ConfigError or ImageError."""
    head, _, rest = text.partition(":")
    if head == "montage" and (rest or "9").isdigit() and int(rest or 9) >= 1:
        n = min(int(rest or 9), count)
        return Slices(tuple(int((i + 0.5) * count / n) for i in range(n)), f"montage of {n} of {count} slices")
    if text == "middle":
        return Slices((count // 2,), f"slice {count // 2} of {count} (from 0)")
    if not text.isdigit():
        raise ConfigError(f"slices={text!r}: write middle, a number from 0, or montage:9")
    if int(text) >= count:
        raise ImageError(f"slice {text} is not among the {count} slices (0 to {count - 1})")
    return Slices((int(text),), f"slice {text} of {count} (from 0)")


def montage(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures of one size [height, width] side by side, row by row, nearly square; empty places are black."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    height, width = pictures[0].shape[:2]
    sheet = np.zeros((rows * height, columns * width, *pictures[0].shape[2:]), np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + height, left : left + width] = picture
    return sheet


def render_nifti(
    source: bytes | str | PathLike[str],
    slices: str = "middle",
    axis: str = "axial",
    window: str = "auto",
    max_voxels: int = MAX_VOXELS,
) -> LoadedImage:
    """A NIfTI file (.nii, .nii.gz, or its bytes, and what else nibabel reads) as PNG; of a 4-D file the first volume.

    Only the slices that are shown are read. Raises ImageError where it is broken, has fewer than two dimensions, or
    is over `max_voxels`.
    """
    if axis not in AXES:
        raise ConfigError(f"axis={axis!r}: there is {', '.join(AXES)}{near(axis, AXES)}")
    wanted = read_window(window)
    volume = open_volume(source, max_voxels)
    count = volume.shape[volume.voxel_axis(AXES[axis])]
    chosen = choose_slices(slices, count)
    _check_sheet(len(chosen.indices) * volume.voxels // max(count, 1))
    values = np.stack([_upright(volume.plane(AXES[axis], index)) for index in chosen.indices])
    if wanted is None:
        grey, how = spread(values)
        how = f"values {how}"
    else:
        grey, how = to_eight_bits(values, wanted), f"window {wanted} ({window})"
    sheet = montage(list(grey))
    _check_sheet(sheet.size)
    return as_png(sheet, (*volume.notes, f"{axis} {chosen.said}", how))


def render_series(folder: str | PathLike[str], slices: str = "middle", window: str = "auto") -> LoadedImage:
    """One slice, or a montage, of the DICOM series in a folder; refuses two series in one folder by name."""
    files = _series(Path(fspath(folder)))
    chosen = choose_slices(slices, len(files))
    if len(chosen.indices) == 1:
        found = render_dicom(files[chosen.indices[0]], window)
        return as_png(_pixels(found), (*found.notes, chosen.said))
    wanted = read_window(window)
    pictures = [_slice(files[index], wanted, window) for index in chosen.indices]
    if len({picture.shape for picture in pictures}) > 1:
        raise ImageError(f"its slices have {len({p.shape for p in pictures})} sizes: show one slice, not a montage")
    sheet = montage(pictures)
    _check_sheet(sheet.size)
    return as_png(sheet, (f"{files[0].get('Modality')} series", chosen.said, f"window {window}"))


def _slice(dataset: Any, wanted: Any, name: str) -> NDArray[np.uint8]:
    from pydicom.pixels import pixel_array

    try:
        return grey_levels(dataset, pixel_array(dataset, index=0), wanted, name)[0]
    except Exception as error:
        raise ImageError(f"a slice of the series cannot be decoded ({str(error).splitlines()[0]})") from error


def _pixels(image: LoadedImage) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(image.data)))


def _check_sheet(size: int) -> None:
    if not 0 < size <= MAX_PIXELS:
        raise ImageError(f"a picture of {size} pixels; allowed are 1 to {MAX_PIXELS}: show fewer slices")


def _series(folder: Path) -> list[Any]:
    """Datasets with pictures, in the order in which the slices lie."""
    if not folder.is_dir():
        raise ImageError(f"{folder.name} is no folder: give the folder that holds the series")
    found = []
    for file in sorted(folder.iterdir()):
        try:
            dataset = read_dicom(file)
        except ImageError:
            continue  # series come with notes, indexes and thumbnails
        if "PixelData" in dataset:
            found.append(dataset)
    series = {str(dataset.get("SeriesInstanceUID")) for dataset in found}
    if not found:
        raise ImageError(f"{folder.name} holds no DICOM slice with a picture")
    if len(series) > 1:
        raise ImageError(f"{folder.name} holds {len(series)} series: give each a folder of its own")
    return sorted(found, key=_place)


def _place(dataset: Any) -> tuple[float, float]:
    """Position along the normal of the slice (PS3.3, C.7.6.2); the instance number where there is none."""
    number = float(dataset.get("InstanceNumber") or 0)
    try:
        across, down = np.reshape([float(v) for v in dataset.ImageOrientationPatient], (2, 3))
        return float(np.dot(np.cross(across, down), [float(v) for v in dataset.ImagePositionPatient])), number
    except (AttributeError, TypeError, ValueError):
        return 0.0, number


def _upright(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """A plane [first axis, second axis] in RAS order as a picture: second axis upwards, patient's right on the left."""
    return plane.T[::-1, ::-1]
