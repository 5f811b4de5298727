"""Content hashes and seeds that are the same in every process, on every machine.

Python's own `hash` is salted per process, so nothing that is stored or must repeat may use it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # made once: dumps makes one a call
Part = str | int | float | bool | None | Sequence["Part"]


def content_hash(*parts: Part, length: int = 16) -> str:
    """Hex digest of plain values; `length` hex characters (16 are 64 bits)."""
    return hashlib.sha256(_encode(parts).encode()).hexdigest()[:length]


def bytes_hash(data: bytes) -> str:
    """SHA-256 of bytes, 64 hex characters: the `image_sha256` column."""
    return hashlib.sha256(data).hexdigest()


def files_hash(files: Iterable[Path], length: int = 16) -> str:
    """Hex digest of the names and contents of files, in that order; `length` hex characters."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            digest.update(f"{file.name}\0".encode() + hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:length]


def stable_seed(*parts: Part) -> int:
    """A 63-bit seed that depends on the parts alone."""
    return int(content_hash(*parts), 16) >> 1


def uniforms(seed: int, count: int) -> NDArray[np.float64]:
    """`count` draws in [0, 1) that depend on the seed alone, shape (count,)."""
    return np.random.Generator(np.random.Philox(key=seed)).random(count)
