"""Costs that others have published, done again with the arithmetic of `estimate` (M17).

Publications give totals and some of what is behind them; where a figure had to be chosen so that the sum can be done,
its assumption says *chosen*. They show what an estimate must contain, not that ours is right.

    for figure in PUBLISHED: figure.usd(PriceTable()).likely     20.3, 1443, 620, 4100
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medprm_hf.backends.money.prices import PriceTable
from medprm_hf.runs.costs import Assumption, Range, Work, spread, total


@dataclass(frozen=True)
class Published:
    """One published cost."""

    name: str
    source: str
    stated: tuple[float, float]
    """USD as published, low and high."""
    works: tuple[Work, ...]
    assumptions: tuple[Assumption, ...]
    beside: tuple[Work, ...] = ()
    """The alternative that the publication compares with."""
    beside_stated: float | None = None

    def usd(self, prices: PriceTable) -> Range | None:
        """The same sum by our arithmetic."""
        return total(self.works, prices)

    def beside_usd(self, prices: PriceTable) -> Range | None:
        """The alternative by our arithmetic."""
        return total(self.beside, prices) if self.beside else None


def _said(name: str, value: Range | float, unit: str, how: str) -> Assumption:
    return Assumption(name, value if isinstance(value, Range) else spread(value), unit, how)


def _people(stage: str, what: str, units: Range | float, usd: float) -> Work:
    return Work(stage, what, units if isinstance(units, Range) else spread(units), "people", usd_each=usd)


_MED_PRM = Published(
    "Med-PRM labels",
    "Med-PRM, arXiv 2506.11474: 11,678 questions for less than 20 USD",
    (20.0, 20.0),
    (
        Work(
            "judge",
            "verdict on a solution",
            spread(11_678 * 4),
            "gemini:gemini-2.0-flash",
            prompt_tokens=spread(4096),
            completion_tokens=spread(6 * 11),
        ),
    ),
    (
        _said("questions", 11_678, "", "published"),
        _said("prompt", 4096, "tokens", "published: 3,072 of documents, 1,024 of question and solution"),
        _said("judge", 0.10, "USD per 1,000,000 input tokens", "gemini-2.0-flash, list price"),
        _said("verdicts", 4, "solutions judged a question", "chosen: 4 of the 16 that were drawn"),
        _said("completion", 66, "tokens", "chosen: 6 steps, 11 tokens of verdict each"),
    ),
)

_VISUAL_PROCESS_BENCH = Published(
    "VisualProcessBench annotation",
    "VisualPRM, arXiv 2503.10291: 2,866 solutions read by people, 39 person-days of 37 USD",
    (1443.0, 1443.0),
    (_people("review", "step read", 26_950, 39 * 37 / 26_950),),
    (
        _said("solutions", 2866, "", "published"),
        _said("steps", 26_950, "", "published"),
        _said("work", 39, "person-days", "published: 13 people, 3 days"),
        _said("day", 37, "USD a person-day", "published"),
        _said("step", 39 * 37 / 26_950, "USD a step", "follows: 691 steps a person-day"),
    ),
)

_HYBRID = Published(
    "hybrid labels",
    "judge first, experts on a part: 620 USD per 10,000 samples against about 5,000 (M17)",
    (620.0, 620.0),
    (
        Work(
            "judge",
            "verdict on a sample",
            spread(10_000),
            "openai:gpt-4o",
            prompt_tokens=spread(1800),
            completion_tokens=spread(750),
        ),
        _people("review", "sample read", 1000, 0.50),
    ),
    (
        _said("samples", 10_000, "", "published"),
        _said("expert", 0.50, "USD a sample", "chosen: 5,000 USD read as an expert on each of 10,000"),
        _said("judge", spread(0.012), "USD a sample", "chosen: gpt-4o, 1,800 tokens in and 750 out"),
        _said("sample of experts", 0.10, "share", "chosen: the stratified 10 % of quality control (M8)"),
        _said("rollouts", 0, "USD", "chosen: an open model on one's own server"),
    ),
    beside=(_people("review", "sample read", 10_000, 0.50),),
    beside_stated=5000.0,
)

_TEN_THOUSAND = Published(
    "10,000 questions",
    "M17: 0.25 USD a judged question, 0.02 a written question, 0.50 an expert step",
    (3900.0, 4300.0),
    (
        _people("questions", "written question", 10_000, 0.02),
        _people("judge", "judged question", 10_000, 0.25),
        _people("review", "step read", spread(2400, 2800, 3200), 0.50),
    ),
    (
        _said("questions", 10_000, "", "published"),
        _said("written question", 0.02, "USD", "published"),
        _said("judged question", 0.25, "USD", "published"),
        _said("expert step", 0.50, "USD", "published"),
        _said("steps", 80_000, "", "chosen: 8 a question, one solution a question"),
        _said("expert share", spread(0.03, 0.035, 0.04), "share of steps", "chosen: what the published range leaves"),
    ),
)

PUBLISHED = (_MED_PRM, _VISUAL_PROCESS_BENCH, _HYBRID, _TEN_THOUSAND)


def as_dict(figure: Published, prices: PriceTable) -> dict[str, Any]:
    """Plain values for --json."""
    usd, beside = figure.usd(prices), figure.beside_usd(prices)
    return {
        "name": figure.name,
        "source": figure.source,
        "stated_usd": list(figure.stated),
        "usd": usd._asdict() if usd else None,
        "beside_stated_usd": figure.beside_stated,
        "beside_usd": beside._asdict() if beside else None,
        "assumptions": [each.as_dict() for each in figure.assumptions],
    }
