"""Who answers a review request in a pipeline: a short table from a spec string to a reviewer.

    open_reviewer("simulated-expert:error=0.02").decide([Asked("phantom-train-000001", "…-s0", steps, 2)])

People review in the Space and their decisions come from the review store; what can answer by itself, inside a
run, is the *simulated* expert of the phantom world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from medprm_hf.registry import resolve

REVIEWERS = {"simulated-expert": "medprm_hf.phantom.simulated:SimulatedExpert"}


@dataclass(frozen=True)
class Asked:
    """One step put to a reviewer."""

    question_id: str
    solution_id: str
    steps: tuple[str, ...]
    """All steps of the solution, [num_steps]."""
    step: int
    """Which of them is asked about, from 0."""


@dataclass(frozen=True)
class Decision:
    """One reviewer's answer on one step; fields as in the `reviews` column."""

    reviewer: str
    label: str
    error_type: str | None = None
    severity: str | None = None
    note: str | None = None
    blind: bool = True
    seconds: float | None = None
    at: str | None = None

    def as_row(self) -> dict[str, Any]:
        """The entry of the `reviews` column."""
        return asdict(self)


COPIED = "as in "
"""How the note of a decision begins that was made in another solution, on the same step after the same steps."""


def copied(decision: Decision, solution_id: str) -> Decision:
    """The decision as entered for a copy of the step; it took no time of its own."""
    note = f"{COPIED}{solution_id}" + (f": {decision.note}" if decision.note else "")
    return replace(decision, note=note, seconds=None)


class Reviewer(Protocol):
    """Somebody, or something called simulated, who answers review requests."""

    def decide(self, asked: Sequence[Asked]) -> list[Decision]:
        """One decision a request, in order."""
        ...


def open_reviewer(spec: str, seed: int = 0) -> Reviewer:
    """The reviewer that `kind:options` names; ConfigError with near names for an unknown kind."""
    kind, _, options = spec.partition(":")
    reviewer: Reviewer = resolve("reviewer", REVIEWERS, kind).from_spec(options, seed)
    return reviewer
