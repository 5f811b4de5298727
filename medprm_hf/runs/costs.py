"""The arithmetic of an estimate: pieces of work, each with low, likely and high, and what they cost by a price table.

judging = Work("judge", "verdict", spread(10_000), "openai:gpt-4o", prompt_tokens=spread(1800), …)
total([judging], prices).likely        USD
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from medprm_hf.backends.money.prices import PriceTable
from medprm_hf.backends.money.tally import money


class Range(NamedTuple):
    """Low, likely and high of one figure."""

    low: float
    likely: float
    high: float

    def times(self, other: Range | float) -> Range:
        """The product, end by end."""
        o = other if isinstance(other, Range) else spread(other)
        return Range(self.low * o.low, self.likely * o.likely, self.high * o.high)

    def plus(self, other: Range | float) -> Range:
        """The sum, end by end."""
        o = other if isinstance(other, Range) else spread(other)
        return Range(self.low + o.low, self.likely + o.likely, self.high + o.high)

    def upto(self, most: float) -> Range:
        """Cut off at a limit."""
        return Range(*(min(value, most) for value in self))

    def short(self, digits: int = 0) -> str:
        """`1,200`, or `900 to 1,500` where the ends differ."""
        low, likely, high = (f"{value:,.{digits}f}" for value in self)
        return likely if low == high else f"{likely} ({low} to {high})"


def spread(low: float, likely: float | None = None, high: float | None = None) -> Range:
    """One figure that is known, or a range."""
    middle = low if likely is None else likely
    return Range(low, middle, middle if high is None else high)


@dataclass(frozen=True)
class Assumption:
    """A figure that the estimate rests on, and where it comes from."""

    name: str
    value: Range
    unit: str
    how: str
    """recipe, measured on N rows, assumed: why."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, **self.value._asdict(), "unit": self.unit, "how": self.how}


@dataclass(frozen=True)
class Work:
    """One kind of work of one stage."""

    stage: str
    what: str
    """The unit: solution, rollout, verdict, expert step, …"""
    units: Range
    """How many."""
    model: str = ""
    """`provider:model`; empty for people."""
    local: bool = False
    batch: bool = False
    """Through the provider's batch API."""
    calls: Range | None = None
    """Requests, where one gives several units; None: one a unit."""
    prompt_tokens: Range = Range(0, 0, 0)
    """A call."""
    completion_tokens: Range = Range(0, 0, 0)
    """A unit."""
    usd_each: float | None = None
    """USD of a unit that is not paid by tokens."""

    def tokens(self) -> tuple[Range, Range]:
        """Prompt and completion tokens of all of it."""
        calls = self.units if self.calls is None else self.calls
        return calls.times(self.prompt_tokens), self.units.times(self.completion_tokens)

    def usd(self, prices: PriceTable) -> Range | None:
        """What all of it costs; None where the model's price is not known."""
        if self.usd_each is not None:
            return self.units.times(self.usd_each)
        tariff = prices.tariff(self.model, self.local)
        if tariff is None:
            return None
        calls = self.units if self.calls is None else self.calls
        written = self.units.times(self.completion_tokens)
        ends = []
        for n, prompt, completion in zip(calls, self.prompt_tokens, written, strict=True):
            each = completion / n if n else 0.0
            ends.append(n * tariff.cost(round(prompt), round(each), batch=self.batch))
        return Range(*ends)

    def cost_words(self, prices: PriceTable) -> str:
        """`local`, `unknown`, or USD with their range."""
        if self.usd_each is None and (tariff := prices.tariff(self.model, self.local)) and tariff.local:
            return "local"
        return money_range(self.usd(prices))


def total(works: Sequence[Work], prices: PriceTable) -> Range | None:
    """USD of all; None where one of them cannot be known."""
    found = Range(0.0, 0.0, 0.0)
    for work in works:
        usd = work.usd(prices)
        if usd is None:
            return None
        found = found.plus(usd)
    return found


def money_range(usd: Range | None) -> str:
    """`$12 ($8 to $20)`; one figure where the ends are equal; `unknown`."""
    if usd is None:
        return "unknown"
    low, likely, high = map(money, usd)
    return likely if low == high else f"{likely} ({low} to {high})"
