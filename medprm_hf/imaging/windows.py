"""Grey levels to 8 bits: the window of a scan, as a radiologist would set it.

>>> window = PRESETS["lung"]
>>> str(window)
'-600/1500'
>>> [int(v) for v in to_eight_bits(np.array([-1350.0, -600.0, 150.0]), window)]
[0, 128, 255]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import ConfigError
from medprm_hf.registry import near

PERCENTILES = (0.5, 99.5)
"""What is taken for black and white where nobody has said it."""


@dataclass(frozen=True)
class Window:
    """Centre and width in the units of the values (Hounsfield units for CT); DICOM PS3.3, C.11.2.1.2."""

    center: float
    width: float
    """Above 1 (above 0 for the other two shapes)."""
    shape: str = "LINEAR"
    """LINEAR, LINEAR_EXACT or SIGMOID: the file's VOI LUT function."""

    def __str__(self) -> str:
        shape = "" if self.shape == "LINEAR" else f" {self.shape}"
        return f"{self.center:g}/{self.width:g}{shape}"


PRESETS: Mapping[str, Window] = {
    "lung": Window(-600, 1500),
    "bone": Window(480, 2500),
    "brain": Window(40, 80),
    "mediastinum": Window(50, 350),
    "abdomen": Window(60, 400),
}
"""Windows for CT, in Hounsfield units."""


def read_window(text: str) -> Window | None:
    """A preset's name or `CENTER/WIDTH`; None for `auto` (what the file says). Raises ConfigError."""
    if text == "auto":
        return None
    if text in PRESETS:
        return PRESETS[text]
    center, slash, width = text.partition("/")
    try:
        found = Window(float(center), float(width))
    except ValueError:
        found = Window(0, 0)
    if not slash or found.width <= 1:
        named = f"{', '.join(PRESETS)}{near(text, PRESETS)}"
        raise ConfigError(f"window={text!r}: write auto, CENTER/WIDTH with a width above 1, or {named}")
    return found


def to_eight_bits(values: NDArray[np.floating], window: Window) -> NDArray[np.uint8]:
    """Values of any shape through a window to 0..255 (PS3.3, C.11.2.1.2 and C.11.2.1.3)."""
    if window.shape == "SIGMOID":
        share = 1 / (1 + np.exp(np.clip(-4 * (values - window.center) / window.width, -60, 60)))
    elif window.shape == "LINEAR_EXACT":
        share = (values - window.center) / window.width + 0.5
    else:
        share = (values - (window.center - 0.5)) / (window.width - 1) + 0.5
    grey: NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(share), 0.0, 1.0) * 255).astype(np.uint8)
    return grey


def spread(values: NDArray[np.floating]) -> tuple[NDArray[np.uint8], str]:
    """Values between their own 0.5th and 99.5th percentile to 0..255, and how that is called; no number is black."""
    finite = values[np.isfinite(values)]
    low, high = (float(v) for v in np.percentile(finite, PERCENTILES)) if finite.size else (0.0, 0.0)
    if low == high and finite.size:  # a small lesion on empty ground lies beyond the percentiles
        low, high = float(finite.min()), float(finite.max())
    share = (np.nan_to_num(values, nan=low) - low) / ((high - low) or 1.0)
    grey: NDArray[np.uint8] = np.rint(np.clip(share, 0.0, 1.0) * 255).astype(np.uint8)
    return grey, f"{low:g}..{high:g} (percentiles 0.5 and 99.5)"
