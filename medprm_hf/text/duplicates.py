"""Passages that say the same: exact after normalising case and spaces, near by MinHash over word 5-shingles.

MinHash (Broder, 1997) with bands finds pairs that may be alike; each pair is then checked by its true Jaccard
similarity, so no passage is dropped on a guess. The first of a set of twins is kept.

    >>> twins(["Take two aspirin a day.", "Rest.", "take two  aspirin a day."])
    {2: 0}
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
HASHES, BANDS = 64, 16
"""64 hashes in 16 bands of 4: a pair of Jaccard 0.85 is missed with probability 1e-5, one of 0.3 met with 0.12."""
_PRIME = np.uint64((1 << 61) - 1)

Hashes = NDArray[np.uint64]


def twins(texts: Sequence[str], threshold: float = 0.85) -> dict[int, int]:
    """Index of each passage that repeats an earlier one -> index of the one that is kept.

    `threshold` is the Jaccard similarity of their word 5-shingles, 0..1, from which two count as the same.
    """
    words = [text.lower().split() for text in texts]
    kept: dict[str, int] = {}
    same: dict[int, int] = {}
    for index, text in enumerate(words):
        first = kept.setdefault(" ".join(text), index)
        if first != index:
            same[index] = first
    alone = sorted(set(range(len(texts))) - set(same))
    same |= _near([words[i] for i in alone], alone, threshold)
    return {index: _root(same, first) for index, first in sorted(same.items())}


def _root(same: dict[int, int], index: int) -> int:
    while index in same:
        index = same[index]
    return index


def _near(words: list[list[str]], names: list[int], threshold: float) -> dict[int, int]:
    shingles = _shingles(words)
    same: dict[int, int] = {}
    for first, second in _candidates(shingles):
        if names[second] not in same and _jaccard(shingles[first], shingles[second]) >= threshold:
            same[names[second]] = names[first]
    return same


def _shingles(words: list[list[str]]) -> list[Hashes]:
    """Sorted distinct hashes of each passage's word 5-shingles; one that is shorter is a single shingle."""
    known: dict[str, int] = {}
    result = []
    for text in words:
        ids = np.array([known.setdefault(word, zlib.crc32(word.encode())) for word in text], np.uint64)
        width = min(SHINGLE, len(ids))
        rolled = np.zeros(len(ids) - width + 1, np.uint64)
        for offset in range(width):
            rolled = rolled * np.uint64(0x9E3779B97F4A7C15) + ids[offset : offset + len(rolled)]
        result.append(np.unique(rolled))
    return result


def _candidates(shingles: list[Hashes]) -> Iterator[tuple[int, int]]:
    """Pairs (earlier, later) that agree in at least one band, in order of the later."""
    if not shingles:
        return
    signatures = _signatures(shingles)
    rows = HASHES // BANDS
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        buckets: dict[bytes, int] = {}
        for index, part in enumerate(np.ascontiguousarray(signatures[:, band * rows : (band + 1) * rows])):
            first = buckets.setdefault(part.tobytes(), index)
            if first != index:
                pairs.add((first, index))
    yield from sorted(pairs, key=lambda pair: (pair[1], pair[0]))


def _signatures(shingles: list[Hashes]) -> Hashes:
    """MinHash signatures, shape (n, HASHES)."""
    rng = np.random.Generator(np.random.Philox(key=1997))
    factors = rng.integers(1, int(_PRIME), HASHES, dtype=np.uint64) | np.uint64(1)
    flat = np.concatenate(shingles)
    starts = np.cumsum([0, *(len(part) for part in shingles[:-1])])
    result = np.empty((len(shingles), HASHES), np.uint64)
    for column, factor in enumerate(factors):
        mixed = flat * factor  # modulo 2^64; the upper bits are the well-mixed ones
        result[:, column] = np.minimum.reduceat(mixed ^ (mixed >> np.uint64(29)), starts)
    return result


def _jaccard(one: Hashes, other: Hashes) -> float:
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)
