"""Images as data URLs: encoded once, and kept while they are likely to be asked for again.

data_url(png)   →   b"data:image/png;base64,iVBOR…"
"""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict

KEPT_BYTES = 32_000_000
"""Encoded bytes that are kept at most; the latest is always kept."""

_MAGIC = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


def mime(image: bytes) -> str:
    """MIME type by the first bytes; application/octet-stream when they are none that is known."""
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    return next((name for start, name in _MAGIC if image.startswith(start)), "application/octet-stream")


class _Encoded:
    """The latest encoded images, as many as fit."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def of(self, image: bytes) -> bytes:
        with self._lock:
            found = self._kept.get(image)  # Python hashes a bytes object once, and compares it by identity first
            if found is not None:
                self._kept.move_to_end(image)
                return found
        found = b"data:" + mime(image).encode() + b";base64," + base64.b64encode(image)
        with self._lock:
            if image not in self._kept:
                self._kept[image] = found
                self._size += len(found)
            while self._size > KEPT_BYTES and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[1])
        return found


data_url = _Encoded().of
"""The image as a data URL; encoded once per distinct image."""
