"""Spec of the quality report: what a run is held against (M10). Not a stage; it changes no label.

report: {kappa: 0.8, share_plus: [0.7, 0.8], steps: [8, 12]}

A target of null is left out of the table.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[float, float], Field(description="lowest and highest value that meet the target")]
Mix = dict[str, Share]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class ReportSpec:
    """Targets of the quality report, and how much it shows."""

    name: ClassVar[str] = "report"
    kappa: Share | None = 0.8
    """Cohen's kappa with the experts is to be above this."""
    ece: Share | None = 0.05
    """The expected calibration error of label_p is to be below this."""
    share_plus: Range | None = (0.7, 0.8)
    """Share of + among the labels that are + or -."""
    share_plus_easy: Range | None = (0.9, 1.0)
    """The same on easy questions."""
    share_plus_hard: Range | None = (0.6, 0.7)
    """The same on hard questions."""
    steps: Range | None = (8.0, 12.0)
    """Mean steps of a solution before selection."""
    few_steps: Annotated[int, Field(ge=0)] = 5
    """Solutions with fewer steps are flagged."""
    many_steps: Annotated[int, Field(ge=1)] = 15
    """Solutions with more steps are flagged."""
    difficulty_mix: Mix | None = None
    """Shares of the questions, such as {easy: 0.3, medium: 0.5, hard: 0.2} (M2: radiology)."""
    modality_mix: Mix | None = None
    """Shares of the questions by modality."""
    mix_tolerance: Share = 0.05
    """How far each share may be from its mix."""
    shown: Annotated[int, Field(ge=0)] = 8
    """Solutions shown in full."""
