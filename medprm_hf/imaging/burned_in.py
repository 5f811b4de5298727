"""Is there writing in the pixels? Scanners and ultrasound machines burn names and dates into the picture.

A line of writing is a row of small shapes of one height, all of one brightness that stands out against its ground.
Both ends of the grey scale are looked at. This suspects, it does not read: what is suspected is held back for a
person, and a clean verdict is no proof.

    suspect_writing(png_bytes)  →  (Line(top=12, left=8, height=11, width=94, shapes=12),)
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MIN_SHAPES = 5
"""Shapes in a row from which it is taken for writing: a side marker (L, R, ERECT is 5 and rare) stays below."""
HEIGHTS = (6, 48)
"""Pixels that a letter may be high."""
EDGE = 60
"""Grey levels, of 255, by which a letter stands out."""


class Line(NamedTuple):
    """A suspected line of writing, in pixels."""

    top: int
    left: int
    height: int
    width: int
    shapes: int
    """Letters that were counted."""


def suspect_writing(data: bytes) -> tuple[Line, ...]:
    """Suspected lines in PNG or JPEG bytes, from the top; images above 2,048 pixels are halved until they fit."""
    image = Image.open(io.BytesIO(data)).convert("L")
    while max(image.size) > 2048:
        image = image.reduce(2)
    grey = np.asarray(image, np.int16)
    found = [*_lines(grey), *_lines(255 - grey)]
    return tuple(sorted(set(found)))


def _lines(grey: NDArray[np.int16]) -> list[Line]:
    """Rows of bright shapes on darker ground."""
    from scipy import ndimage

    ground = ndimage.median_filter(grey, size=9) if grey.size < 300_000 else ndimage.uniform_filter(grey, size=25)
    bright = (grey >= 200) & (grey - ground >= EDGE)
    labels, count = ndimage.label(bright, structure=np.ones((3, 3)))
    if not count:
        return []
    sizes = np.bincount(labels.ravel())[1:]
    boxes = zip(ndimage.find_objects(labels), sizes, strict=True)
    letters = [box for box, pixels in boxes if pixels >= 6 and _letter_sized(box)]
    return [line for line in _rows(letters) if line.shapes >= MIN_SHAPES]


def _letter_sized(box: tuple[slice, slice]) -> bool:
    height, width = (side.stop - side.start for side in box)
    return bool(HEIGHTS[0] <= height <= HEIGHTS[1] and 0.08 * height <= width <= 2.0 * height)


def _rows(letters: list[tuple[slice, slice]]) -> list[Line]:
    """Letters of like height on a common base line, close to each other, joined into lines."""
    open_rows: list[list[Any]] = []
    for box in sorted(letters, key=lambda item: item[1].start):
        for row in open_rows:
            if _follows(row[-1], box):
                row.append(box)
                break
        else:
            open_rows.append([box])
    return [_line(row) for row in open_rows]


def _follows(last: tuple[slice, slice], box: tuple[slice, slice]) -> bool:
    height = max(last[0].stop - last[0].start, box[0].stop - box[0].start)
    gap = box[1].start - last[1].stop
    on_line = min(abs(last[0].stop - box[0].stop), abs(last[0].start - box[0].start)) <= max(1, 0.2 * height)
    alike = 0.45 <= (box[0].stop - box[0].start) / (last[0].stop - last[0].start) <= 2.2
    return bool(on_line and alike and -0.3 * height <= gap <= 1.6 * height)


def _line(row: list[tuple[slice, slice]]) -> Line:
    top, bottom = min(box[0].start for box in row), max(box[0].stop for box in row)
    left, right = row[0][1].start, max(box[1].stop for box in row)
    return Line(int(top), int(left), int(bottom - top), int(right - left), len(row))
