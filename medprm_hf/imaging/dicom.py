"""DICOM files to 8-bit PNG, with everything that was decided on the way said in `notes`.

    found = render_dicom("chest.dcm")                 # the file's own window
    found = render_dicom("slice.dcm", window="lung")  # or a preset, or "40/400"
    found.notes  →  ("CT 512 x 512", "window -600/1500 (lung)")

Order of things: frame, decoding (uncompressed, RLE, JPEG, JPEG lossless, JPEG-LS, JPEG 2000), modality LUT, window
(setting, else VOI LUT, else the file's first window, else percentiles), inversion of MONOCHROME1, 8 bits. Sizes are
checked on the headers, the compressed picture's own among them, before a pixel is decoded. What holds no picture is
refused by name.
"""

from __future__ import annotations

import io
import warnings
import zlib
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import ImageError, MissingExtraError
from medprm_hf.imaging.coded import coded_size
from medprm_hf.imaging.grey import grey_levels
from medprm_hf.imaging.loaded import MAX_PIXELS, LoadedImage, as_png
from medprm_hf.imaging.windows import Window, read_window

MAX_FILE = 1_000_000_000
"""Bytes of a file that is opened at most."""
MAX_INFLATED = 250_000_000
"""Bytes that a deflated file may have when it is inflated."""
_DEFLATED = "1.2.840.10008.1.2.1.99"


def is_dicom(data: bytes) -> bool:
    """Whether bytes begin as a DICOM file does (preamble of 128 bytes, then DICM)."""
    return data[128:132] == b"DICM"


def read_dicom(source: bytes | str | PathLike[str], max_bytes: int = MAX_FILE) -> Any:
    """The `pydicom.Dataset` of a file or bytes, pixels not yet decoded; raises ImageError for what is none."""
    try:
        import pydicom
    except ImportError:
        raise MissingExtraError("DICOM files", "dicom", "pydicom") from None
    name = "image" if isinstance(source, bytes) else Path(fspath(source)).name
    data = source if isinstance(source, bytes) else _bytes_of(source, max_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values in headers are not ours to mend
            _check_deflated(data)
            return pydicom.dcmread(io.BytesIO(data), force=not is_dicom(data) and _looks_bare(data))
    except ImageError:
        raise
    except Exception as error:  # pydicom raises nearly everything on broken files
        raise ImageError(f"{name}: {len(data)} bytes that are no DICOM file ({_short(error)})") from error


def render_dicom(
    source: bytes | str | PathLike[str] | Any,
    window: str = "auto",
    frame: int | str = "middle",
    max_pixels: int = MAX_PIXELS,
) -> LoadedImage:
    """One frame of a DICOM file (bytes, path or Dataset) as PNG.

    `window` is auto, a preset or CENTER/WIDTH; `frame` a number from 0, or middle. Raises ImageError where there is
    no picture, it cannot be decoded, or it is over `max_pixels`.
    """
    wanted = read_window(window)
    dataset: Any = read_dicom(source) if isinstance(source, bytes | str | PathLike) else source
    rows, columns, frames = _size(dataset, max_pixels)
    index = frames // 2 if frame == "middle" else int(frame)
    if not 0 <= index < frames:
        raise ImageError(f"frame {index} is not among the {frames} frames (0 to {frames - 1})")
    notes = [f"{dataset.get('Modality') or 'DICOM'} {columns} x {rows}"]
    if frames > 1:
        notes.append(f"frame {index} of {frames} (from 0)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_coded(dataset, index, frames, max_pixels)
            picture, said = _picture(dataset, index, wanted, window)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"its pixels cannot be decoded ({_syntax(dataset)}: {_short(error)}): export it uncompressed"
        ) from error
    return as_png(picture, (*notes, *said))


def _picture(dataset: Any, index: int, wanted: Window | None, name: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    from pydicom.pixels import apply_color_lut, pixel_array

    values = pixel_array(dataset, index=index)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return _eight_bits_of_color(apply_color_lut(values, dataset)), ("palette to RGB",)
    if values.ndim == 3:
        return _eight_bits_of_color(values, int(dataset.BitsStored)), ()
    return grey_levels(dataset, values, wanted, name, index)


def _eight_bits_of_color(values: NDArray[Any], bits: int = 0) -> NDArray[np.uint8]:
    depth = bits or values.dtype.itemsize * 8
    return (values >> (depth - 8)).astype(np.uint8) if depth > 8 else values.astype(np.uint8)


def _size(dataset: Any, max_pixels: int) -> tuple[int, int, int]:
    """(rows, columns, frames) by the header; refuses what is no picture or too large."""
    kind = dataset.get("Modality") or "unknown modality"
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise ImageError(f"a DICOM file without a picture ({kind}): give a file that has pixel data")
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames = int(dataset.get("NumberOfFrames") or 1)
    except (AttributeError, TypeError, ValueError) as error:
        raise ImageError(f"its header does not say how large the picture is ({_short(error)})") from error
    if not 0 < rows * columns <= max_pixels or frames < 1:
        raise ImageError(f"{columns} x {rows} x {frames} frames; allowed are 1 to {max_pixels} pixels a frame")
    return rows, columns, frames


def _bytes_of(source: str | PathLike[str], max_bytes: int) -> bytes:
    path = Path(fspath(source))
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise ImageError(f"{path.name}: {size} bytes are over the limit of {max_bytes}: split it first")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path.name} cannot be read ({error.strerror}): check the path and its rights") from error


def _looks_bare(data: bytes) -> bool:
    """Whether bytes without a preamble begin with a tag of the groups 0002 or 0008, as old files do."""
    return data[:2] in (b"\x08\x00", b"\x02\x00", b"\x00\x08") and len(data) > 8


def _check_deflated(data: bytes) -> None:
    """Inflates a deflated file in pieces, keeping none, and stops at the limit: pydicom would inflate it whole."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    if _DEFLATED.encode() not in data[:2048]:
        return
    stream = io.BytesIO(data)
    read_preamble(stream, force=True)
    _read_file_meta_info(stream)
    inflater, rest, size = zlib.decompressobj(-zlib.MAX_WBITS), data[stream.tell() :], 0
    while rest and size <= MAX_INFLATED:
        size += len(inflater.decompress(rest, 1 << 20))
        rest = inflater.unconsumed_tail
    if size > MAX_INFLATED:
        raise ImageError(f"a deflated file that is over {MAX_INFLATED} bytes when inflated: refused")


def _check_coded(dataset: Any, index: int, frames: int, max_pixels: int) -> None:
    """Refuses a compressed frame that is larger than the header says it may be."""
    from pydicom.encaps import get_frame

    syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if syntax is None or not syntax.is_encapsulated or "PixelData" not in dataset:
        return
    size = coded_size(get_frame(dataset.PixelData, index, number_of_frames=frames))
    if size and size[0] * size[1] > max_pixels:
        raise ImageError(
            f"its compressed picture says {size[0]} x {size[1]}, its header {dataset.Columns} x {dataset.Rows}; "
            f"allowed are {max_pixels} pixels: export it uncompressed"
        )


def _syntax(dataset: Any) -> str:
    found = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    return str(found.name) if found else "no transfer syntax"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
