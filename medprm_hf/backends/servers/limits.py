"""Limits of one endpoint and model: requests and tokens per minute, and what the server's headers say of them.

    limits = Limits(rpm=500, tpm=200_000)
    limits.wait(now, tokens=900)      seconds until a request of 900 tokens may be sent; 0: now
    limits.spend(now, tokens=900)     it is sent
    limits.hear(headers, now)         x-ratelimit-remaining-requests: 0, x-ratelimit-reset-requests: 1.2s → held

A limit per minute is spread over it, a second's worth at once at most: providers count in shorter windows too. Tokens
are estimated before and corrected by what the server booked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_HELD = 600.0
"""Seconds that a hint of the server is obeyed at most."""


class Bucket:
    """So many a minute: a bucket that refills steadily. It may go below empty, and is then waited for."""

    def __init__(self, per_minute: float) -> None:
        self.size = max(1.0, per_minute / 60)
        # A full bucket at the start counts too: size + 60 s of refill never exceed the minute's number.
        self._rate = (per_minute - self.size + 1) / 60
        self._level = self.size
        self._at: float | None = None

    def wait(self, now: float) -> float:
        """Seconds until something may be taken; 0: now."""
        self._refill(now)
        need = min(1.0, self.size)
        return max(0.0, (need - self._level) / self._rate)

    def take(self, now: float, amount: float) -> None:
        """Takes what was used, or gives back (below 0) what was not."""
        self._refill(now)
        self._level = min(self._level - amount, self.size)

    def _refill(self, now: float) -> None:
        passed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._level, self._at = min(self.size, self._level + passed * self._rate), now


@dataclass
class Limits:
    """What one endpoint allows."""

    rpm: float = 0
    """Requests per minute; 0: no limit known."""
    tpm: float = 0
    """Tokens per minute, prompt and answers together; 0: no limit known."""
    held_until: float = 0.0
    """Nothing is sent before (seconds of the event loop's clock)."""
    _requests: Bucket | None = field(default=None, init=False)
    _tokens: Bucket | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._requests = Bucket(self.rpm) if self.rpm > 0 else None
        self._tokens = Bucket(self.tpm) if self.tpm > 0 else None

    @property
    def counts_tokens(self) -> bool:
        """Whether an estimate of a request's tokens is of use."""
        return self._tokens is not None

    def wait(self, now: float) -> float:
        """Seconds until a request may be sent; 0: now."""
        if self._requests is None and self._tokens is None:
            return max(self.held_until - now, 0.0)
        waits = [self.held_until - now, 0.0]
        waits += [bucket.wait(now) for bucket in (self._requests, self._tokens) if bucket is not None]
        return max(waits)

    def spend(self, now: float, tokens: float) -> None:
        """One request of so many tokens is sent."""
        if self._requests is not None:
            self._requests.take(now, 1)
        if self._tokens is not None:
            self._tokens.take(now, tokens)

    def settle(self, now: float, estimated: float, used: float) -> None:
        """What a request really used."""
        if self._tokens is not None and used:
            self._tokens.take(now, used - estimated)

    def hold(self, now: float, seconds: float) -> None:
        """Nothing is sent for so long."""
        self.held_until = max(self.held_until, now + min(seconds, LONGEST_HELD))

    def hear(self, headers: Mapping[str, str], now: float) -> None:
        """Obeys what a response says: nothing left means waiting until there is something again."""
        for what in ("requests", "tokens"):
            left = headers.get(f"x-ratelimit-remaining-{what}")
            if left is None or not left.strip().lstrip("-").isdigit() or int(left) > 0:
                continue
            if (seconds := span(headers.get(f"x-ratelimit-reset-{what}", ""))) is not None:
                self.hold(now, seconds)


def span(said: str) -> float | None:
    """Seconds of `1s`, `6m0s`, `120ms` or a bare number; None for anything else."""
    said = said.strip()
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    parts = _SPAN.findall(said)
    if not parts or "".join(number + unit for number, unit in parts) != said:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
