"""A volume on disk or in bytes, turned to anatomical axes without reading more of it than is shown.

    volume = open_volume("brain.nii.gz")
    volume.plane(AXIAL := 2, 12)          # [right, anterior] values of the 13th axial slice from below

NIfTI first of all; other files that nibabel reads as a spatial volume come along. Axes are ordered and flipped to the
nearest of right, anterior, superior (RAS+); a file whose affine says nothing is taken as it lies, which a note says.
"""

from __future__ import annotations

import gzip
import io
import math
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import ImageError, MissingExtraError

MAX_VOXELS = 400_000_000
"""Voxels of one volume; a larger one would take minutes to unpack for a single slice."""


@dataclass(frozen=True)
class Volume:
    """The first volume of a file; values are read as planes are asked for."""

    data: Any
    """nibabel's array proxy."""
    shape: tuple[int, int, int]
    """Voxels along the axes as they lie in the file."""
    turn: tuple[tuple[int, bool], ...]
    """For each axis of the file: which anatomical axis it is (0 right, 1 anterior, 2 superior), and whether it runs
    backwards."""
    more: int
    """Dimensions behind the third."""
    notes: tuple[str, ...]

    @property
    def voxels(self) -> int:
        """Voxels of the volume."""
        return math.prod(self.shape)

    def voxel_axis(self, anatomical: int) -> int:
        """The file's axis that is an anatomical one."""
        return [axis for axis, _ in self.turn].index(anatomical)

    def plane(self, anatomical: int, index: int) -> NDArray[np.float64]:
        """Slice `index` along an anatomical axis; the two other axes in anatomical order. Raises ImageError."""
        along = self.voxel_axis(anatomical)
        at = self.shape[along] - 1 - index if self.turn[along][1] else index
        where = tuple(at if axis == along else slice(None) for axis in range(3))
        rest = [axis for axis in range(3) if axis != along]
        try:
            plane = self._read(where).reshape([self.shape[axis] for axis in rest])
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(f"its voxels cannot be read ({said_of(error)}): use an unbroken file") from error
        flips = tuple(slice(None, None, -1 if self.turn[axis][1] else 1) for axis in rest)
        plane = plane[flips]
        return plane.T if self.turn[rest[0]][0] > self.turn[rest[1]][0] else plane

    def _read(self, where: tuple[Any, ...]) -> NDArray[np.float64]:
        given = len(self.data.shape)
        found = np.asarray(self.data[(*where[:given], *([0] * self.more))])
        if found.dtype.fields or found.dtype.kind not in "buifc":
            raise ImageError(f"its voxels are {found.dtype}, not single numbers: convert it to grey first")
        values = np.abs(found) if found.dtype.kind == "c" else found
        return np.asarray(values, np.float64)


def open_volume(source: bytes | str | PathLike[str], max_voxels: int = MAX_VOXELS) -> Volume:
    """The volume behind a path or NIfTI bytes (gzip or not); raises ImageError for what is none or too large."""
    try:
        import nibabel
        from nibabel.spatialimages import SpatialImage
    except ImportError:
        raise MissingExtraError("NIfTI files", "dicom", "nibabel") from None
    try:
        image: Any = _from_bytes(source) if isinstance(source, bytes) else nibabel.load(Path(fspath(source)))
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"cannot be read as a volume ({said_of(error)}): give a NIfTI file (.nii, .nii.gz)") from error
    kind = type(image).__name__
    if not isinstance(image, SpatialImage):
        raise ImageError(f"a {kind} holds no volume of voxels: give a NIfTI file (.nii, .nii.gz)")
    shape = tuple(int(size) for size in image.shape)
    if kind.startswith("Minc") and len(shape) > 3:
        raise ImageError("a MINC file of several volumes: convert it to NIfTI, whose first three axes are space")
    if len(shape) < 2 or not 0 < math.prod(shape[:3]) <= max_voxels or 0 in shape:
        raise ImageError(f"a volume of {' x '.join(map(str, shape))}; allowed are 1 to {max_voxels} voxels")
    turn, aside = _turn(image)
    extra = (f"first of {math.prod(shape[3:])} volumes",) if len(shape) > 3 else ()
    notes = ("volume " + " x ".join(map(str, shape)), *extra, *aside)
    return Volume(image.dataobj, (*shape, 1)[:3], turn, max(0, len(shape) - 3), notes)  # type: ignore[arg-type]


def _turn(image: Any) -> tuple[tuple[tuple[int, bool], ...], tuple[str, ...]]:
    from nibabel.orientations import io_orientation

    as_it_lies = ((0, False), (1, False), (2, False))
    if len(image.shape) < 3 or image.affine is None:
        return as_it_lies, ("orientation unknown",)
    found = io_orientation(image.affine)[:3]
    if np.isnan(found).any():
        return as_it_lies, ("orientation unknown",)
    return tuple((int(axis), bool(sign < 0)) for axis, sign in found), ()


def _from_bytes(data: bytes) -> Any:
    """A NIfTI image whose voxels are unpacked as they are asked for: a small file may hold gigabytes."""
    from nibabel import FileHolder, Nifti1Image, Nifti2Image

    stream: Any = gzip.GzipFile(fileobj=io.BytesIO(data)) if data[:2] == b"\x1f\x8b" else io.BytesIO(data)
    head = stream.read(348)
    stream.seek(0)
    if head[344:347] == b"n+1":
        return Nifti1Image.from_file_map({"image": FileHolder(fileobj=stream), "header": FileHolder(fileobj=stream)})
    if head[4:7] == b"n+2":
        return Nifti2Image.from_file_map({"image": FileHolder(fileobj=stream), "header": FileHolder(fileobj=stream)})
    raise ImageError(f"{len(data)} bytes that begin neither as an image nor as a NIfTI volume")


def said_of(error: Exception) -> str:
    """The first line of an error without any path: paths name people."""
    named = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = (str(named).strip().splitlines() or [type(error).__name__])[0]
    return line.split(' "')[0].split(" '/")[0][:160]
