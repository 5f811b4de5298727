"""Specs of the stages that make labels: calibrate, merge, review, select; see `specs.py`.

merge:     {policy: label_model}
calibrate: {solutions: 100}
review:    {order: value, share: 0.1}
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, le=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]
Threshold = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=_STRICT)
class CalibrateSpec:
    """Experts label a stratified sample of whole solutions, blindly: quality control, and what merge learns from."""

    name: ClassVar[str] = "calibrate"
    reviewer: str = "simulated-expert:error=0.02"
    """As in review; of `store:PATH` the steps of its own quality sample count that were answered blindly."""
    share: Share = 0.1
    """Share of the run's solutions (M8: 10 %)."""
    solutions: Count | None = None
    """A number of solutions instead of a share."""
    strata: tuple[Literal["modality", "difficulty", "source"], ...] = ("modality", "difficulty", "source")
    """Each combination of these gets its proportional part."""
    seed: int = 0


@dataclass(frozen=True, config=_STRICT)
class MergeSpec:
    """How rollouts and verdicts become one label a step."""

    name: ClassVar[str] = "merge"
    policy: str = "consensus"
    """consensus, judge_first, value, advantage, medprm, judge or label_model (learns whom to trust)."""
    high: InnerShare = 0.7
    """Consensus: a + needs mc above this."""
    low: InnerShare = 0.3
    """Consensus: a - needs mc below this."""
    threshold: Threshold = 0.0
    """Value policy: + where mc is above this (tau)."""
    min_rollouts: Count = 1
    """Steps with fewer readable rollouts than this count as not sampled."""
    figure: Literal["mc", "corrected", "p_right"] = "mc"
    """What the rollouts say: raw expected accuracy, corrected for chance, or the estimator's P(right)."""
    band: Threshold = 0.0
    """Advantage policy: changes up to this size are neutral."""
    certainty: Share = 0.0
    """Advantage policy: so is a change whose direction is less probable than this, by the counts (0.8, say)."""
    monotone: bool = False
    """Value policy: an unsampled step is - after the first -, and + before a + in front of it (as OmegaPRM reads)."""
    keep_recall: bool = True
    """Label model: find at least the share of wrong steps that the judge finds; false draws the line at P = 1/2."""
    doubt: InnerShare = 0.1
    """Label model: an expert should look where the label is wrong with at least this probability."""


@dataclass(frozen=True, config=_STRICT)
class ReviewSpec:
    """Who looks at the doubtful steps."""

    name: ClassVar[str] = "review"
    reviewer: str = "simulated-expert:error=0.02"
    """`simulated-expert:error=…` answers from the truth of the phantom world; `store:PATH` takes in what people have
    decided in the Space (docs/reviewing.md)."""
    share: Share = 1.0
    """Largest share of the run's steps that is put to the reviewer; equal steps after equal steps are put once."""
    order: Literal["value", "doubt", "random"] = "doubt"
    """value: expected errors mended per minute; doubt: steps marked needs_review, least sure first; random."""
    opening_seconds: Annotated[float, Field(ge=0)] = 30.0
    """Time that a reviewer takes to open a solution (image, question, steps before)."""
    step_seconds: Annotated[float, Field(gt=0)] = 15.0
    """Time for each step, unless the sample of the calibrate stage has measured it."""
    seed: int = 0


@dataclass(frozen=True, config=_STRICT)
class SelectSpec:
    """Which solutions are exported (M9); every dropped one keeps its reason."""

    name: ClassVar[str] = "select"
    min_steps: Count = 3
    max_steps: Count = 9
    wrong_needs_minus: bool = False
    """Drop solutions with a wrong answer in which no step is -."""
    balance_answers: bool = False
    """Keep at most max(wrong, 2) right solutions of each question."""
    max_plus_share: Part = 1.0
    """Largest share of + among the labels kept: solutions without a - are dropped, drawn by name, until it holds
    or none is left."""
    informative: Part = 1.0
    """Share of the solutions kept that say most: (p (1 - p) + 0.05) x mean mc of the + steps, p the share of +."""
