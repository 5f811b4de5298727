"""What holds for a whole review store; kept in its file, so that every process and every page goes by the same.

StoreSettings(blind=True, reviewers_per_item=2)
rater_study(4)             four people on every step, blind, nothing else drawn
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoreSettings:
    """What holds for a whole store; kept in the file."""

    order: str = "doubt"
    """What is asked first: value, doubt or random (labels/review_value.py)."""
    share: float = 1.0
    """Largest share of all steps that is asked because it is doubtful or worth it; the most urgent ones."""
    sample: float = 0.1
    """Share of all steps that is asked for quality control, drawn blindly (M8: 10 %)."""
    sample_part: float = 0.5
    """Part of a solution's steps that is asked where the sample falls on it."""
    reviewers_per_item: int = 1
    """People who answer each step before it counts as settled."""
    blind: bool = False
    """Nobody is sent a label, judge or rollout of a step before their own answer."""
    show_answer: bool = True
    """The gold answer is shown."""
    lease: float = 900.0
    """Seconds that an item stays with a reviewer of whom nothing is heard."""
    seed: int = 0
