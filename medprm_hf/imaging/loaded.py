"""An image that can be sent, and how large one may be: what every reader of images gives and keeps to."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medprm_hf.ids import bytes_hash

MAX_PIXELS = 50_000_000
MAX_BYTES = 50_000_000


@dataclass(frozen=True)
class LoadedImage:
    """An image that can be sent."""

    data: bytes
    """PNG or JPEG bytes: the original ones where that is possible."""
    sha256: str
    """SHA-256 of `data`: the image_sha256 column, and what a request's image hash is compared with."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    mode: str
    """RGB, or L for 8-bit grey."""
    mime: str
    """image/png or image/jpeg."""
    notes: tuple[str, ...] = ()
    """What was done to it, in order; empty where `data` is the original."""


def as_png(picture: NDArray[np.uint8], notes: tuple[str, ...]) -> LoadedImage:
    """8-bit grey [height, width] or RGB [height, width, 3] as a PNG without metadata."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    data = out.getvalue()
    return LoadedImage(data, bytes_hash(data), image.width, image.height, image.mode, "image/png", notes)
