"""Passages that say the same: exact after normalising case and spaces, near by MinHash over word 5-shingles.

MinHash (Broder, 1997) with bands finds pairs that may be alike; each pair is then checked by its true Jaccard
similarity, so no passage is dropped on a guess. The first of a set of twins is kept.

    >>> twins(["Take two aspirin a day.", "Rest.", "take two  aspirin a day."])
    {2: 0}
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
HASHES, BANDS = 64, 16
"""64 hashes in 16 bands of 4: a pair of Jaccard 0.85 is missed with probability 1e-5, one of 0.3 met with 0.12."""
AT_ONCE = 2048
"""Passages whose shingles are held at once."""
_PRIME = np.uint64((1 << 61) - 1)

Hashes = NDArray[np.uint64]


def twins(texts: Sequence[str], threshold: float = 0.85) -> dict[int, int]:
    """Index of each passage that repeats an earlier one -> index of the one that is kept.

    `threshold` is the Jaccard similarity of their word 5-shingles, 0..1, from which two count as the same.
    """
    kept: dict[bytes, int] = {}
    same: dict[int, int] = {}
    for index, text in enumerate(texts):
        first = kept.setdefault(_name(text), index)
        if first != index:
            same[index] = first
    alone = sorted(kept.values())
    kept.clear()
    same |= _near(texts, alone, threshold)
    return {index: _root(same, first) for index, first in sorted(same.items())}


def _name(text: str) -> bytes:
    """Sixteen bytes that tell a normalised text from others: of a million texts none is held twice."""
    normal = " ".join(text.lower().split())
    return hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _root(same: dict[int, int], index: int) -> int:
    while index in same:
        index = same[index]
    return index


def _near(texts: Sequence[str], names: list[int], threshold: float) -> dict[int, int]:
    shingles = lru_cache(maxsize=AT_ONCE)(lambda place: _shingles(texts[names[place]]))
    same: dict[int, int] = {}
    for first, second in _candidates(_all_signatures([texts[name] for name in names])):
        if names[second] not in same and _jaccard(shingles(first), shingles(second)) >= threshold:
            same[names[second]] = names[first]
    return same


def _shingles(text: str) -> Hashes:
    """Sorted distinct hashes of a passage's word 5-shingles; one that is shorter is a single shingle."""
    ids = np.array([zlib.crc32(word.encode()) for word in text.lower().split()], np.uint64)
    width = min(SHINGLE, len(ids))
    rolled = np.zeros(len(ids) - width + 1, np.uint64)
    for offset in range(width):
        rolled = rolled * np.uint64(0x9E3779B97F4A7C15) + ids[offset : offset + len(rolled)]
    return np.unique(rolled)


def _candidates(signatures: Hashes) -> Iterator[tuple[int, int]]:
    """Pairs (earlier, later) that agree in at least one band, in order of the later."""
    rows = HASHES // BANDS
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        buckets: dict[bytes, int] = {}
        for index, part in enumerate(np.ascontiguousarray(signatures[:, band * rows : (band + 1) * rows])):
            first = buckets.setdefault(part.tobytes(), index)
            if first != index:
                pairs.add((first, index))
    yield from sorted(pairs, key=lambda pair: (pair[1], pair[0]))


def _all_signatures(texts: Sequence[str]) -> Hashes:
    """MinHash signatures, shape (n, HASHES); the shingles of `AT_ONCE` passages are held at once."""
    result = np.empty((len(texts), HASHES), np.uint64)
    for start in range(0, len(texts), AT_ONCE):
        part = [_shingles(text) for text in texts[start : start + AT_ONCE]]
        result[start : start + len(part)] = _signatures(part)
    return result


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
