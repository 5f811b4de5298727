"""A tally: what one model was asked and gave in one stage, and what that cost."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Account = tuple[str, str]
"""(stage, identity); the stage is empty outside a run."""


@dataclass
class Tally:
    """What one model has been asked and has given in one stage."""

    requests: int = 0
    """Responses that arrived, answers or not."""
    completions: int = 0
    from_journal: int = 0
    """Completions that a journal held; their tokens were paid before and are in none of the sums."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = 0.0
    """USD; None where the model's price is not known."""
    local: bool = False
    failures: Counter[str] = field(default_factory=Counter)
    """Places that failed, by kind."""

    def add(self, other: Tally) -> None:
        """Adds another tally; an unknown cost makes the sum unknown."""
        self.requests += other.requests
        self.completions += other.completions
        self.from_journal += other.from_journal
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        self.local = self.local or other.local
        if other.failures:
            self.failures.update(other.failures)

    def minus(self, other: Tally) -> Tally:
        """What was added since `other` was taken."""
        asked = self.requests - other.requests
        known = self.cost is not None or not asked
        return Tally(
            asked,
            self.completions - other.completions,
            self.from_journal - other.from_journal,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            (self.cost or 0.0) - (other.cost or 0.0) if known else None,
            self.local,
            self.failures - other.failures,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a marker or a ledger; `cost` is a number, `local` or null (unknown)."""
        cost = "local" if self.local and not self.cost else None if self.cost is None else round(self.cost, 9)
        return {**vars(self), "cost": cost, "failures": dict(sorted(self.failures.items()))}

    @classmethod
    def of(cls, values: dict[str, Any]) -> Tally:
        """A tally from its plain values."""
        local = values.get("cost") == "local"
        return cls(**{**values, "cost": 0.0 if local else values["cost"], "failures": Counter(values["failures"])})


def money(usd: float | None) -> str:
    """`$12.30`, below a dollar with two significant digits (`$0.00036`), `unknown` without a price."""
    if usd is None:
        return "unknown"
    if usd == 0 or abs(usd) >= 1:
        return f"${usd:,.2f}"
    digits = 1 - math.floor(math.log10(abs(usd)))
    return f"${usd:.{max(2, digits)}f}"
