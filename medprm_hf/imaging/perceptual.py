"""Pictures that look the same though their bytes differ: 64-bit perceptual hashes and their neighbours.

    seen = PerceptualIndex(distance=4)
    seen.twin("q1", picture_hash(png)), seen.twin("q2", picture_hash(the_same_as_jpeg))   →  (None, "q1")

pHash (Zauner, 2010; `imagehash`): the signs of the lowest 8 x 8 frequencies. Two hashes that differ in at most d of 64
bits agree in at least one of d + 1 bands of bits, so only those that share a band are compared.
"""

from __future__ import annotations

import io
from collections import defaultdict

from PIL import Image

from medprm_hf.errors import MissingExtraError

BITS = 64


def picture_hash(data: bytes) -> int:
    """The perceptual hash of PNG or JPEG bytes, 64 bits; MissingExtraError without `imagehash`."""
    try:
        import imagehash
    except ImportError:
        raise MissingExtraError("telling images that look alike", "dicom", "imagehash") from None
    with Image.open(io.BytesIO(data)) as image:
        return int(str(imagehash.phash(image.convert("L"))), 16)


class PerceptualIndex:
    """Remembers hashes by name; holds some 100 bytes a picture."""

    def __init__(self, distance: int) -> None:
        self._distance = distance
        self._bands: list[dict[int, list[tuple[int, str]]]] = [defaultdict(list) for _ in range(distance + 1)]

    def twin(self, name: str, value: int) -> str | None:
        """The first picture seen within the distance, if any; the new one is remembered where there is none."""
        parts = list(self._parts(value))
        for band, part in zip(self._bands, parts, strict=True):
            for other, known in band.get(part, ()):
                if (other ^ value).bit_count() <= self._distance:
                    return known
        for band, part in zip(self._bands, parts, strict=True):
            band[part].append((value, name))
        return None

    def _parts(self, value: int) -> list[int]:
        edges = [BITS * n // len(self._bands) for n in range(len(self._bands) + 1)]
        return [(value >> low) & ((1 << (high - low)) - 1) for low, high in zip(edges, edges[1:], strict=False)]
