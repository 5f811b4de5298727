"""review: experts' decisions come in. Reads the merged labels, adds reviews and review_labels.

What is asked first is chosen by `labels/review_value.py`: by expected errors mended per minute, by doubt, or at random,
up to a share of the whole run's steps. A step that stands in several solutions after the same steps is asked once, and
the decision is entered for each copy, with a note that says where it was made. Decisions of the calibrate stage are
taken over, so nothing is asked twice. `simulated-expert:error=0.02` answers from the truth of the phantom world and is
called simulated in every decision it makes. `store:PATH` asks nobody: it takes in what people have decided in the
Space, an adjudicator's word before a majority's, and leaves ? where nobody has; `medprm resume` takes in what is new.
Nothing that a machine said is overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from statistics import median
from typing import Any, ClassVar

from medprm_hf.labels.review_value import Ask, Candidate, Minutes, queue
from medprm_hf.labels.step_tree import plant
from medprm_hf.review.items import identities
from medprm_hf.review.reviewers import Asked, Decision, People, copied, label_of, open_reviewer, people
from medprm_hf.schema import written_by
from medprm_hf.specs_labels import ReviewSpec
from medprm_hf.stages.base import Batch, Row, columns_of, rows_of

TIMED_SHARDS = 20
"""Shards of which the sample's times are read."""
Decided = dict[tuple[int, int], dict[str, Any]]
"""(row, step): the entry of the `reviews` column."""


@dataclass(frozen=True)
class Review(ReviewSpec):
    """Puts steps to a reviewer, the most valuable first; see the module."""

    reads: ClassVar[tuple[str, ...]] = (
        "question_id", "solution_id", "steps", "labels", "label_p", "needs_review",
    )  # fmt: skip
    uses: ClassVar[tuple[str, ...]] = ("calibration_reviews", "question", "options", "image_sha256")
    writes: ClassVar[tuple[str, ...]] = written_by("review")
    learnt: str = field(default="", repr=False)
    """JSON: seconds a step takes, and the priority from which on steps are asked; or the store's state."""

    def check(self) -> None:
        """Looks the reviewer up."""
        open_reviewer(self.reviewer, self.seed)

    def state(self) -> str:
        """Changes with people's decisions; empty for a simulated expert."""
        store = people(self.reviewer, self.seed)
        return store.state() if store else ""

    def learn(self, batches: Iterable[Batch]) -> str:
        """The priority at which the run's share of steps is used up; of a store, up to where it is read."""
        if self.state():
            return json.dumps({"store": self.state()})
        shards = (rows_of(self, batch) for batch in batches)
        first = list(islice(shards, TIMED_SHARDS))  # the others pass by one at a time
        seconds = self._seconds(row for rows in first for row in rows)
        priorities, steps = [], 0
        for rows in chain(first, shards):
            priorities += [ask.priority for ask in self._queue(rows, seconds)]
            steps += sum(len(row["steps"]) for row in rows)
        priorities.sort(reverse=True)
        budget = round(self.share * steps)
        least = priorities[budget - 1] if 0 < budget <= len(priorities) else 0.0 if budget else float("inf")
        return json.dumps({"seconds": seconds, "least": least})

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds every decision and the reviewed label of each step of the batch."""
        rows = rows_of(self, batch)
        learnt = json.loads(self.learnt or self.learn([dict(batch)]))
        reviewer = open_reviewer(self.reviewer, self.seed)
        if isinstance(reviewer, People):
            return columns_of(self, rows, _spoken(rows, reviewer.at(learnt["store"])))
        asks = [ask for ask in self._queue(rows, learnt["seconds"]) if ask.priority >= learnt["least"]]
        asked = [
            Asked(rows[a.solution]["question_id"], rows[a.solution]["solution_id"],
                  tuple(rows[a.solution]["steps"]), a.step)
            for a in asks
        ]  # fmt: skip
        decisions = reviewer.decide(asked)
        decided = _taken_over(rows) | _entered(rows, asks, decisions)
        return columns_of(self, rows, [_result(n, row, decided) for n, row in enumerate(rows)])

    def _queue(self, rows: Sequence[Row], seconds: float) -> list[Ask]:
        candidates = [
            Candidate(
                row["question_id"], row["solution_id"], row["steps"], row["labels"], row["label_p"],
                row["needs_review"], [bool(given) for given in row.get("calibration_reviews") or []],
            )
            for row in rows
        ]  # fmt: skip
        return queue(candidates, self.order, Minutes(self.opening_seconds, seconds), self.seed)

    def _seconds(self, rows: Iterable[Row]) -> float:
        """Seconds a step takes: measured on the calibration sample, or as the recipe says."""
        measured = [
            given["seconds"]
            for row in rows
            for step in row.get("calibration_reviews") or []
            for given in step
            if given.get("seconds")
        ]
        return float(median(measured)) if measured else self.step_seconds


def _taken_over(rows: Sequence[Row]) -> Decided:
    """The sample's decisions, for the copies of its steps in other solutions of the batch."""
    if not any(row.get("calibration_reviews") for row in rows):
        return {}
    first: dict[int, tuple[int, Row]] = {}
    tree = plant([row["question_id"] for row in rows], [row["steps"] for row in rows])
    given = [row.get("calibration_reviews") or [[] for _ in row["steps"]] for row in rows]
    for number, nodes in enumerate(tree.node_of):
        for step, node in enumerate(nodes):
            if given[number][step]:
                first.setdefault(node, (number, given[number][step][0]))
    return {
        (number, step): copied(Decision(**first[node][1]), rows[first[node][0]]["solution_id"]).as_row()
        for number, nodes in enumerate(tree.node_of)
        for step, node in enumerate(nodes)
        if node in first and not given[number][step]
    }


def _entered(rows: Sequence[Row], asks: Sequence[Ask], decisions: Sequence[Decision]) -> Decided:
    """Each decision at the step that was asked, and at its copies."""
    decided: Decided = {}
    for ask, decision in zip(asks, decisions, strict=True):
        for at in ask.copies:
            here = at == (ask.solution, ask.step)
            decided[at] = (decision if here else copied(decision, rows[ask.solution]["solution_id"])).as_row()
    return decided


def _result(number: int, row: Row, decided: Decided) -> Row:
    earlier = row.get("calibration_reviews") or [[] for _ in row["steps"]]
    reviews = [
        [*earlier[step], *([decided[number, step]] if (number, step) in decided else [])]
        for step in range(len(row["steps"]))
    ]
    return {"reviews": reviews, "review_labels": [label_of(step) for step in reviews]}


def _spoken(rows: Sequence[Row], store: People) -> list[Row]:
    """What people have said of each step; what the sample holds of others beside it."""
    results = []
    for row in rows:
        named = identities(row)
        asked = [
            Asked(row["question_id"], str(row["solution_id"]), tuple(row["steps"]), step, identity)
            for step, identity in enumerate(named)
        ]
        earlier = row.get("calibration_reviews") or [[] for _ in named]
        reviews = []
        for before, words in zip(earlier, store.words(asked), strict=True):
            said = [word.as_row() for word in words]
            who = {one["reviewer"] for one in said}
            reviews.append([*(one for one in before if one["reviewer"] not in who), *said])
        results.append({"reviews": reviews, "review_labels": [label_of(step) for step in reviews]})
    return results
