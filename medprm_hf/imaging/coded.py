"""How large a compressed picture says it is, read from its own header before it is decoded.

A DICOM header may say 16 x 16 while the JPEG inside says 60,000 x 60,000: the decoder would believe the latter.

    coded_size(jpeg_bytes)  →  (60000, 60000)
"""

from __future__ import annotations

import struct

_J2K = b"\xff\x4f\xff\x51"
_NO_FRAME = (0xC4, 0xC8, 0xCC)


def coded_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of JPEG, JPEG-LS or JPEG 2000 bytes; None where neither begins or the header is broken."""
    try:
        at = data.find(_J2K, 0, 4096)
        if at >= 0:
            right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
            return right - left, bottom - top
        return _jpeg_size(data) if data[:2] == b"\xff\xd8" else None
    except (struct.error, IndexError):
        return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while True:
        kind = data[at + 1]
        if data[at] != 0xFF or kind == 0xDA:
            return None
        if kind == 0xFF:  # padding
            at += 1
            continue
        if (0xC0 <= kind <= 0xCF and kind not in _NO_FRAME) or kind == 0xF7:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
