"""How much one user may have scored in a minute, and who that user is.

rates = Rates(per_minute=60)
rates.take("10.0.0.7", 8)     ->  0.0      seconds to wait; 0: it is booked
rates.take("10.0.0.7", 60)    ->  41.3     not booked
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock

from medprm_hf.ids import content_hash

WINDOW = 60.0
"""Seconds."""
MOST_USERS = 10_000
"""Users that are remembered; beyond, those who have waited longest are forgotten."""


class Rates:
    """A sliding window for each user."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._taken: dict[str, deque[float]] = {}
        self._lock = Lock()

    def take(self, user: str, count: int = 1) -> float:
        """Books `count` and gives 0, or gives the seconds after which there is room for it."""
        now = self._clock()
        with self._lock:
            times = self._taken.pop(user, None) or deque()
            self._taken[user] = times  # the latest stand last
            if len(self._taken) > MOST_USERS:
                self._taken.pop(next(iter(self._taken)))
            while times and times[0] <= now - WINDOW:
                times.popleft()
            over = len(times) + count - self.per_minute
            if over > 0:
                free = times[min(over, len(times)) - 1] if times else now
                return max(0.1, free + WINDOW - now)
            times.extend([now] * count)
            return 0.0


def user_of(headers: Mapping[str, str], host: str | None) -> str:
    """A name for whoever asks: the address, as a hash. On a Space it stands in the proxy's header."""
    forwarded = headers.get("x-forwarded-for", "") if os.environ.get("SPACE_ID") else ""
    return content_hash("user", forwarded.split(",")[0].strip() or host or "unknown")
