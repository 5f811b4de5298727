"""Is there writing in the pixels? Scanners and ultrasound machines burn names and dates into the picture.

A line of writing is a row of small shapes of like height, made of thin strokes near one end of the grey scale that
stand out against their ground (a white top-hat: what an opening wider than a stroke takes away). Both ends are looked
at. This suspects, it does not read: what is suspected is held back for a person, and a clean verdict is no proof.

    suspect_writing(png_bytes)  →  (Line(top=12, left=8, height=11, width=94, shapes=12),)
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MIN_SHAPES = 6
"""Shapes in a row from which it is taken for writing: a side marker (L, R, ERECT) stays below."""
HEIGHTS = (6, 48)
"""Pixels that a letter may be high."""
STROKE = 11
"""Pixels that a stroke is thinner than: bold letters of 48 pixels have some 8."""
BRIGHT, EDGE = 180, 70
"""Grey levels, of 255, that a letter reaches at least, and by which it stands out."""
_MIN_PIXELS = 6


class Line(NamedTuple):
    """A suspected line of writing, in pixels."""

    top: int
    left: int
    height: int
    width: int
    shapes: int
    """Letters that stand on its base line."""


class _Box(NamedTuple):
    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top


def suspect_writing(data: bytes) -> tuple[Line, ...]:
    """Suspected lines in PNG or JPEG bytes, from the top; images above 2,048 pixels are halved until they fit."""
    image = Image.open(io.BytesIO(data)).convert("L")
    while max(image.size) > 2048:
        image = image.reduce(2)
    grey = np.asarray(image, np.uint8)
    return tuple(sorted({*_lines(grey), *_lines(255 - grey)}))


def _lines(grey: NDArray[np.uint8]) -> list[Line]:
    """Rows of bright, thin-stroked shapes."""
    from scipy import ndimage

    padded = np.pad(grey, STROKE, mode="edge")
    ground = ndimage.maximum_filter(ndimage.minimum_filter(padded, STROKE), STROKE)
    inner = slice(STROKE, -STROKE)
    stands_out = grey.astype(np.int16) - ground[inner, inner] >= EDGE
    labels, count = ndimage.label((grey >= BRIGHT) & stands_out, structure=np.ones((3, 3)))
    if not count:
        return []
    sizes = np.bincount(labels.ravel())[1:]
    found = (_Box(y.start, y.stop, x.start, x.stop) for y, x in ndimage.find_objects(labels))
    letters = [box for box, pixels in zip(found, sizes, strict=True) if pixels >= _MIN_PIXELS and _letter_sized(box)]
    return [line for line in map(_line, _rows(letters)) if line.shapes >= MIN_SHAPES]


def _letter_sized(box: _Box) -> bool:
    width = box.right - box.left
    return HEIGHTS[0] <= box.height <= HEIGHTS[1] and 0.08 * box.height <= width <= 2.0 * box.height


def _rows(letters: list[_Box]) -> list[list[_Box]]:
    """Letters of like height on a common line, close to each other, joined into rows."""
    rows: list[list[_Box]] = []
    near: list[list[_Box]] = []
    for box in sorted(letters, key=lambda item: (item.left, item.top)):
        near = [row for row in near if box.left - row[-1].right <= 2 * HEIGHTS[1]]  # the others are out of reach
        for row in near:
            if _follows(row[-1], box):
                row.append(box)
                break
        else:
            rows.append([box])
            near.append(rows[-1])
    return rows


def _follows(last: _Box, box: _Box) -> bool:
    height = max(last.height, box.height)
    on_line = min(abs(last.bottom - box.bottom), abs(last.top - box.top)) <= max(1, 0.2 * height)
    alike = 0.45 <= box.height / last.height <= 2.2
    return on_line and alike and -0.3 * height <= box.left - last.right <= 1.6 * height


def _line(row: list[_Box]) -> Line:
    top, bottom = min(box.top for box in row), max(box.bottom for box in row)
    left, right = row[0].left, max(box.right for box in row)
    base = sorted(box.bottom for box in row)[len(row) // 2]
    tall = sorted(box.height for box in row)[len(row) // 2]
    steady = [box for box in row if abs(box.bottom - base) <= 1 + 0.1 * tall or abs(box.top + tall - base) <= 1]
    return Line(top, left, bottom - top, right - left, len(steady))
