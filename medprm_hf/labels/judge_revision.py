"""Which of a judge's instructions to revise when it agrees too little with the experts.

Each kind of step (a modality, a stated confidence, a kind of error) is compared with all others: where the judge
differs from the experts more often than elsewhere, by more than chance (one-sided Fisher test), the instruction that
speaks of that kind is proposed, those first that cost most labels beyond the rest's rate.

    kind         n     differs   elsewhere   excess    direction
    error: size  40    0.45      0.08        14.8      misses: the judge says + where experts say -
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from medprm_hf.labels.agreement import RIGHT, WRONG, Kappa, cohen_kappa

FEWEST = 10
"""Steps of a kind below which nothing is said of it."""
LEVEL = 0.05
"""A kind is proposed where chance alone would give such a difference less often than this."""


@dataclass(frozen=True)
class Checked:
    """One step that the judge and an expert have labelled."""

    judge: str
    expert: str
    question: str
    modality: str | None = None
    confidence: str | None = None
    expert_error: str | None = None
    """Kind of error that the expert names."""
    judge_error: str | None = None
    """Kind of error that the judge names."""
    where: tuple[str, int] = ("", 0)
    """(item, step), to look it up."""

    @property
    def differs(self) -> bool:
        """Whether the judge says something else than the expert."""
        return self.judge != self.expert


class Proposal(NamedTuple):
    """One instruction to revise."""

    by: str
    """error, modality or confidence."""
    value: str
    n: int
    """Steps of this kind that both labelled."""
    differs: float
    """Share on which the judge differs, 0..1."""
    elsewhere: float
    """The same of all other steps (for errors: of those that the experts, or the judge, call wrong)."""
    p: float
    """Chance of such a difference if the kind were like the rest (Fisher, one-sided)."""
    excess: float
    """Labels that are wrong beyond the rest's rate."""
    misses: int
    """Judge + where the expert says -."""
    false_alarms: int
    """Judge - where the expert says +."""
    text: str
    """The proposal in words."""
    examples: list[tuple[str, int]]


class Revision(NamedTuple):
    """What the experts' labels say of the judge."""

    kappa: Kappa
    target: float
    below: bool
    """Whether kappa is known and below the target."""
    proposals: list[Proposal]
    """Empty where kappa reaches the target."""


def revise(checked: Sequence[Checked], target: float = 0.8, resamples: int = 1000, seed: int = 0) -> Revision:
    """Kappa of judge and experts; where it is below the target, what to revise first."""
    both = [one for one in checked if one.judge in (RIGHT, WRONG) and one.expert in (RIGHT, WRONG)]
    kappa = cohen_kappa(
        [[one.judge] for one in both], [[one.expert] for one in both], [one.question for one in both], resamples, seed
    )
    below = kappa.kappa is not None and kappa.kappa < target
    found = [*_kinds(both, "modality"), *_kinds(both, "confidence"), *_errors(both)] if below else []
    return Revision(kappa, target, below, sorted(found, key=lambda one: -one.excess))


def _kinds(both: Sequence[Checked], by: str) -> list[Proposal]:
    groups: dict[str, list[Checked]] = defaultdict(list)
    for one in both:
        groups[str(getattr(one, by))].append(one)
    return [
        proposal
        for value, mine in groups.items()
        if (proposal := _proposal(by, value, mine, [one for one in both if str(getattr(one, by)) != value]))
    ]


def _errors(both: Sequence[Checked]) -> list[Proposal]:
    """Kinds of error: among the steps that experts call wrong what it misses, among its own its false alarms."""
    missed = [(one, one.expert_error) for one in both if one.expert == WRONG]
    alarms = [(one, one.judge_error) for one in both if one.judge == WRONG]
    found = []
    for steps in (missed, alarms):
        for value in sorted({kind for _, kind in steps if kind}):
            mine = [one for one, kind in steps if kind == value]
            proposal = _proposal("error", value, mine, [one for one, kind in steps if kind != value])
            if proposal:
                found.append(proposal)
    return found


def _proposal(by: str, value: str, mine: Sequence[Checked], rest: Sequence[Checked]) -> Proposal | None:
    from scipy.stats import fisher_exact

    if len(mine) < FEWEST or not rest:
        return None
    wrong, other = sum(one.differs for one in mine), sum(one.differs for one in rest)
    share, elsewhere = wrong / len(mine), other / len(rest)
    table = [[wrong, len(mine) - wrong], [other, len(rest) - other]]
    p = float(fisher_exact(table, alternative="greater").pvalue)
    if share <= elsewhere or p >= LEVEL:
        return None
    misses = sum(one.judge == RIGHT and one.expert == WRONG for one in mine)
    differing = [one.where for one in mine if one.differs]
    excess = wrong - elsewhere * len(mine)
    return Proposal(
        by, value, len(mine), share, elsewhere, p, excess, misses, wrong - misses,
        _words(by, value, len(mine), wrong, misses, elsewhere), differing[:10],
    )  # fmt: skip


def _words(by: str, value: str, n: int, wrong: int, misses: int, elsewhere: float) -> str:
    fault = "calls wrong steps right" if 2 * misses >= wrong else "calls right steps wrong"
    way = "say what makes such a step wrong" if 2 * misses >= wrong else "say what is still right"
    what = {"error": f"errors of kind {value}", "modality": f"images of kind {value}",
            "confidence": f"verdicts it is {value} of"}[by]  # fmt: skip
    return (
        f"{what}: the judge differs from the experts on {wrong} of {n} steps (elsewhere {elsewhere:.0%}), mostly it "
        f"{fault}. Revise the instruction on {what}: {way}, with one of these steps as an example."
    )
