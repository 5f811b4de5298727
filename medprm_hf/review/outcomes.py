"""What the review store answers: what `add` did, what became of a decision."""

from __future__ import annotations

from typing import NamedTuple

from medprm_hf.review.showing import Shown


class Added(NamedTuple):
    """What `add` did."""

    new: int
    """Items that were not there."""
    changed: int
    """Items whose words, image or machine labels are others now."""
    same: int


class Saved(NamedTuple):
    """What became of a decision."""

    version: int
    signals: Shown
    """What machines said of the step: it may be seen now, also after an undo."""
    held: bool
    """False where somebody else has the item by now: the decision is kept as a further opinion."""
    label: str | None
    """The reviewer's label of the step that stands now; None for none."""
    evidence: dict[str, list[list[int]]]
    """{passage: [[start, end], …]}: what the judge cites for the step, which may be seen now."""
