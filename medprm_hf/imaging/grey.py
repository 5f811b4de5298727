"""Decoded grey values of a DICOM file to 8 bits: modality LUT, window, MONOCHROME1, in the order of PS3.3, C.11.

    grey, said = grey_levels(dataset, values, read_window("lung"), "lung")
    said  →  ("window -600/1500 (lung)",)

What the header says counts wherever it stands: at the top, or in the functional groups of an enhanced multi-frame
file (PS3.3, C.7.6.16), the frame's own before the shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.imaging.windows import PRESETS, Window, spread, to_eight_bits

Grey = tuple[NDArray[np.uint8], tuple[str, ...]]


def grey_levels(
    dataset: Any, values: NDArray[Any], wanted: Window | None = None, name: str = "auto", frame: int = 0
) -> Grey:
    """Decoded values [height, width] of one frame to 8 bits, and what was decided."""
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    levels = _modality_levels(dataset, values, frame)
    grey, said = _windowed(dataset, values, levels, wanted, name, frame)
    return (np.invert(grey), (*said, "MONOCHROME1 inverted")) if inverted else (grey, said)


def _windowed(
    dataset: Any, values: NDArray[Any], levels: NDArray[np.float64], wanted: Window | None, name: str, frame: int
) -> Grey:
    modality = str(dataset.get("Modality") or "")
    aside: tuple[str, ...] = ()
    if wanted is not None and name in PRESETS and modality not in ("CT", ""):
        wanted, aside = None, (f"window {name} is for CT and was left out for {modality}",)
    if wanted is not None:
        return to_eight_bits(levels, wanted), (f"window {wanted} ({name})",)
    if dataset.get("VOILUTSequence"):
        return _looked_up(dataset, levels), (*aside, "VOI LUT of the file")
    own = own_window(dataset, frame)
    if own is not None:
        return to_eight_bits(levels, own), (*aside, f"window {own} (the file's)")
    if values.dtype == np.uint8 and (levels == values).all():
        top = (1 << int(dataset.BitsStored)) - 1
        return np.rint(np.minimum(levels / top, 1.0) * 255).astype(np.uint8), aside
    grey, how = spread(np.where(_padding(dataset, values), np.nan, levels))
    return grey, (*aside, f"values {how}")


def _modality_levels(dataset: Any, values: NDArray[Any], frame: int) -> NDArray[np.float64]:
    """Values in the units of the modality (Hounsfield units for CT)."""
    from pydicom.pixels import apply_modality_lut

    for found in _groups(dataset, "PixelValueTransformationSequence", frame):
        slope, intercept = found.get("RescaleSlope"), found.get("RescaleIntercept")
        if slope is not None and intercept is not None:
            return np.asarray(values, np.float64) * float(slope) + float(intercept)
    return np.asarray(apply_modality_lut(values, dataset), np.float64)


def own_window(dataset: Any, frame: int = 0) -> Window | None:
    """The first window that the file names; None where it names none that can be used."""
    for holder in (*_groups(dataset, "FrameVOILUTSequence", frame), dataset):
        try:
            center, width = (_first(holder.get(key)) for key in ("WindowCenter", "WindowWidth"))
        except (TypeError, ValueError, IndexError):
            continue
        shape = str(holder.get("VOILUTFunction") or "LINEAR")
        if width > (1 if shape == "LINEAR" else 0):
            return Window(center, width, shape)
    return None


def _first(value: Any) -> float:
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)


def _groups(dataset: Any, name: str, frame: int) -> Iterator[Any]:
    """The items of a functional group that hold for a frame: its own, then the shared one."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in (*frames[frame : frame + 1], *shared[:1]):
        yield from (group.get(name) or [])[:1]


def _looked_up(dataset: Any, levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Through the file's first VOI LUT, its largest entry being white."""
    from pydicom.pixels import apply_voi

    found = np.asarray(apply_voi(levels.astype(np.int64), dataset), np.float64)
    top = float(np.max(dataset.VOILUTSequence[0].LUTData))
    grey: NDArray[np.uint8] = np.rint(np.clip(found / (top or 1.0), 0, 1) * 255).astype(np.uint8)
    return grey


def _padding(dataset: Any, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a scanner has filled up what it did not see: no value to spread the grey levels over."""
    padding = dataset.get("PixelPaddingValue")
    if not isinstance(padding, int) or (values == padding).all():
        return np.zeros(values.shape, np.bool_)
    return np.asarray(values == padding, np.bool_)
