"""Who answers a review request in a pipeline: a short table from a spec string to a reviewer.

    open_reviewer("simulated-expert:error=0.02").decide([Asked("phantom-train-000001", "…-s0", steps, 2)])
    open_reviewer("store:runs/x/review.sqlite").words([Asked(…)])

People review in the Space; `store:PATH` brings their decisions from the review store into a run, and is silent on what
nobody has answered. The *simulated* expert of the phantom world answers everything by itself, inside the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

from medprm_hf.registry import resolve
from medprm_hf.schema import Label

REVIEWERS = {
    "simulated-expert": "medprm_hf.phantom.simulated:SimulatedExpert",
    "store": "medprm_hf.review.from_store:StoreReviewer",
}
ADJUDICATOR = " (adjudicator)"
"""How the reviewer's name ends in a decision that was made to end a disagreement."""


@dataclass(frozen=True)
class Asked:
    """One step put to a reviewer."""

    question_id: str
    solution_id: str
    steps: tuple[str, ...]
    """All steps of the solution, [num_steps]."""
    step: int
    """Which of them is asked about, from 0."""
    identity: str = ""
    """Name of the step by its words (review/items.py), where the reviewer goes by it."""


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


def label_of(decisions: Sequence[Mapping[str, Any]]) -> str:
    """The label that counts: an adjudicator's last; else what most say; ? for none, or where as many say otherwise.

    >>> label_of([{"reviewer": "a", "label": "+"}, {"reviewer": "b", "label": "-"}])
    '?'
    """
    final = [one for one in decisions if one["reviewer"].endswith(ADJUDICATOR)]
    if final:
        return str(max(final, key=lambda one: one.get("at") or "")["label"])
    return majority([one["label"] for one in decisions if one["label"] != Label.UNKNOWN])


def majority(labels: Sequence[str]) -> str:
    """The label that most give; ? for none, or where as many say otherwise."""
    counted = sorted(((labels.count(label), label) for label in set(labels)), reverse=True)
    if not counted or (len(counted) > 1 and counted[0][0] == counted[1][0]):
        return Label.UNKNOWN.value
    return counted[0][1]


class Reviewer(Protocol):
    """Something called simulated that answers every review request."""

    def decide(self, asked: Sequence[Asked]) -> list[Decision]:
        """One decision a request, in order."""
        ...


@runtime_checkable
class People(Protocol):
    """Where decisions of people are kept: some requests have several answers, some none yet."""

    def state(self) -> str:
        """Changes when a decision comes."""
        ...

    def at(self, state: str) -> People:
        """The decisions as they stood at that state."""
        ...

    def words(self, asked: Sequence[Asked]) -> list[list[Decision]]:
        """Everybody's standing decision on each request, in order."""
        ...

    def sampled(self, asked: Sequence[Asked]) -> list[list[Decision]]:
        """The same for steps of the quality sample alone, as people said before they saw a machine's signals."""
        ...


def open_reviewer(spec: str, seed: int = 0) -> Reviewer | People:
    """The reviewer that `kind:options` names; ConfigError with near names for an unknown kind."""
    kind, _, options = spec.partition(":")
    reviewer: Reviewer | People = resolve("reviewer", REVIEWERS, kind).from_spec(options, seed)
    return reviewer


def people(spec: str | None, seed: int = 0) -> People | None:
    """The people behind a reviewer's spec; None for a simulated one, or none."""
    found = open_reviewer(spec, seed) if spec else None
    return found if isinstance(found, People) else None
