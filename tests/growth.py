"""Whether work grows with the length of its text or with its square: a ratio in one run, so no machine is too slow."""

from __future__ import annotations

import time
from collections.abc import Callable

PIECE = 16


def grows_with_length(work: Callable[[str], object], text: str) -> bool:
    """Processor time of the whole against a sixteenth: 16 times as much if linear, 256 if quadratic."""
    small, whole = _seconds(work, text[: len(text) // PIECE]), _seconds(work, text)
    return whole < 4 * PIECE * max(small, 0.02)


def _seconds(work: Callable[[str], object], text: str) -> float:
    begun = time.process_time()
    work(text)
    return time.process_time() - begun
