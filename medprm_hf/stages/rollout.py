"""rollout: how often does a completion of each step prefix reach the right answer?

For the prefix that ends with step i, completions are sampled and the readable ones counted:

    mc_i = correct_i / total_i          (expected accuracy; Math-Shepherd, arXiv 2312.08935; VisualPRM, 2503.10291)

Reads question, steps and gold answer; adds rollout_correct … rollout_method. Which prefix is sampled next, and
when it is enough, is the estimator's to say (`labels/monte_carlo.py`); this file only asks and counts. Prefixes
that are equal in several solutions of a question are sampled once; the last prefix is a whole solution, which
answers itself. An answer that cannot be read counts in `rollout_unreadable`, a request that failed in
`rollout_failed`, and neither in `rollout_total`.

    steps               "Nodules: one."  "Answer: B."       steps               "Nodules: one."  "Answer: B."
                                                      →     rollout_correct     5                8
                                                            rollout_total       8                8
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from medprm_hf.backends import open_backend
from medprm_hf.backends.protocol import Backend, Completion, Failure, Request
from medprm_hf.ids import content_hash
from medprm_hf.labels.accuracy import chance
from medprm_hf.labels.accuracy import interval as accuracy_interval
from medprm_hf.labels.monte_carlo import Decision, Problem, State, make_estimator, open_pairs
from medprm_hf.recipe import RolloutSpec
from medprm_hf.schema import written_by
from medprm_hf.stages.asking import ask, sampling_of, solve_messages
from medprm_hf.stages.base import Batch, Row, RowErrors, columns_of, rows_of
from medprm_hf.text.answers import matches, read_answer
from medprm_hf.text.prompts import check_style
from medprm_hf.text.steps import prefix_text, split_steps

RIGHT, WRONG, UNREADABLE, FAILED = "right", "wrong", "unreadable", "failed"
_CODE = {RIGHT: 1, WRONG: 0, UNREADABLE: -1, FAILED: -1}


@dataclass
class _Prefix:
    """One distinct prefix of a question: its rollouts serve every solution that begins with it."""

    row: Row
    text: str
    outcomes: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    shortage: int = 0


@dataclass
class _Work:
    """A batch while its rollouts arrive."""

    rows: list[Row]
    prefixes: list[list[_Prefix]]
    """[rows][steps]; equal prefixes of a question are the same object."""
    taken: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    """Outcomes that (row, step) has used."""
    continuation: str = "none"


@dataclass(frozen=True)
class Rollout(RolloutSpec):
    """Monte Carlo rollouts of every step prefix; see the module."""

    reads: ClassVar[tuple[str, ...]] = (
        "question_id", "image", "question", "turns", "options", "answer", "answer_index", "clinical_context",
        "solution", "steps", "final_answer", "is_correct",
    )  # fmt: skip
    uses: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = written_by("rollout")

    def check(self) -> None:
        """Opens the model; looks prompt style and estimator up."""
        check_style(self.prompt)
        make_estimator(self.estimator, **self._settings())
        open_backend(self.backend)

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds the counts and figures of each solution of the batch."""
        rows = rows_of(self, batch)
        able = [i for i, row in enumerate(rows) if row["steps"] and _has_gold(row)]
        work = _open_work([rows[i] for i in able])
        backend = open_backend(self.backend)
        decision = self._sample(work, backend) if able else None
        results = [self._empty(row) for row in rows]
        for at, i in enumerate(able):
            assert decision is not None
            results[i] = self._result(work, at, decision, backend.model)
        return columns_of(self, rows, results)

    def _sample(self, work: _Work, backend: Backend) -> Decision:
        problem = _problem(work.rows)
        estimator = make_estimator(self.estimator, **self._settings())
        # A prefix is closed by its first unreadable answer: exactly what was asked for is paid for.
        state = State.empty(problem, max_missing=1)
        while len((pairs := open_pairs(estimator, problem, state)).rows):
            state.record(pairs, self._draw(work, pairs.rows, pairs.steps, backend))
        return estimator.decide(problem, state)

    def _settings(self) -> dict[str, Any]:
        if self.estimator == "fixed":
            return {"k": self.k, "tau": self.threshold, "early_stop": self.early_stop}
        return {}

    def _draw(self, work: _Work, rows: NDArray[np.int64], steps: NDArray[np.int64], backend: Backend) -> list[int]:
        """One round: outcomes of the asked rollouts, 1 right, 0 wrong, -1 unreadable or failed."""
        wanted = Counter(zip(rows.tolist(), steps.tolist(), strict=True))
        self._fill(work, wanted, backend)
        outcomes = []
        for pair in zip(rows.tolist(), steps.tolist(), strict=True):
            used = work.taken.setdefault(pair, [])
            used.append(work.prefixes[pair[0]][pair[1]].outcomes[len(used)])
            outcomes.append(_CODE[used[-1]])
        return outcomes

    def _fill(self, work: _Work, wanted: Counter[tuple[int, int]], backend: Backend) -> None:
        """Asks for as many rollouts of each distinct prefix as the round lacks."""
        lacking: dict[int, _Prefix] = {}
        for (row, step), count in wanted.items():
            prefix = work.prefixes[row][step]
            if step == len(work.prefixes[row]) - 1:
                prefix.outcomes += [_own_outcome(work.rows[row])] * count
                continue
            need = len(work.taken.get((row, step), [])) + count - len(prefix.outcomes)
            prefix.shortage = max(prefix.shortage, need)
            if prefix.shortage > 0:
                lacking[id(prefix)] = prefix
        self._ask(work, list(lacking.values()), backend)

    def _ask(self, work: _Work, lacking: Sequence[_Prefix], backend: Backend) -> None:
        replies = ask(backend, [self._request(prefix) for prefix in lacking])
        for prefix, reply in zip(lacking, replies, strict=True):
            for place in reply.places:
                prefix.outcomes.append(_outcome(prefix.row, prefix.text, place))
                if isinstance(place, Failure):
                    prefix.failures.append(place)
            prefix.shortage = 0
            work.continuation = reply.continuation

    def _request(self, prefix: _Prefix) -> Request:
        row = prefix.row
        return Request(
            solve_messages(row, self.prompt),
            n=prefix.shortage,
            sampling=sampling_of(self),
            prefix=prefix.text,
            key=f"{row['question_id']}/rollout/{content_hash(prefix.text)}/{len(prefix.outcomes)}",
            about={"question_id": row["question_id"]},
        )

    def _result(self, work: _Work, at: int, decision: Decision, model: str) -> Row:
        row, n = work.rows[at], len(work.prefixes[at])
        counts = [Counter(work.taken.get((at, step), [])) for step in range(n)]
        correct = [c[RIGHT] for c in counts]
        total = [c[RIGHT] + c[WRONG] for c in counts]
        low, high = accuracy_interval(correct, total)
        errors = RowErrors(self.name)
        for prefix in work.prefixes[at]:
            for failure in prefix.failures:
                errors.add(failure.kind, failure.message)
        return {
            "rollout_correct": correct,
            "rollout_total": total,
            "rollout_unreadable": [c[UNREADABLE] for c in counts],
            "rollout_failed": [c[FAILED] for c in counts],
            "expected_accuracy": [c / t if t else None for c, t in zip(correct, total, strict=True)],
            "accuracy_low": _nullable(low),
            "accuracy_high": _nullable(high),
            "p_right": _nullable(decision.p_right[at, :n]),
            "chance": _nullable(chance([len(row["options"] or [])]))[0],
            "rollout_method": self._method(model, work.continuation),
            "errors": errors.entries,
        }

    def _method(self, model: str, continuation: str) -> Row:
        named = {name: getattr(self, name) for name in ("estimator", "temperature", "k", "seed")}
        return {**named, "completer": model, "continuation": continuation}

    def _empty(self, row: Row) -> Row:
        """A row that cannot be rolled out: every count is zero and every accuracy unknown."""
        n = len(row["steps"] or [])
        counts = {name: [0] * n for name in self.writes if name.startswith("rollout_") and name != "rollout_method"}
        floats = {name: [None] * n for name in ("expected_accuracy", "accuracy_low", "accuracy_high", "p_right")}
        errors = RowErrors(self.name)
        if n and not _has_gold(row):
            errors.add("no_gold", "rollouts need a gold answer: add one, or label by merge.policy=judge alone")
        return {**counts, **floats, "errors": errors.entries}


def _has_gold(row: Row) -> bool:
    return row["answer"] is not None or row["answer_index"] is not None


def _open_work(rows: list[Row]) -> _Work:
    distinct: dict[tuple[str, str], _Prefix] = {}
    opened = []
    for row in rows:
        *inner, whole = prefixes(row["solution"], row["steps"])
        shared = [distinct.setdefault((row["question_id"], text), _Prefix(row, text)) for text in inner]
        opened.append([*shared, _Prefix(row, whole)])  # a whole solution answers itself: never shared
    return _Work(rows, opened)


def prefixes(solution: str, steps: Sequence[str]) -> list[str]:
    """Text of the prefix that ends with each step, [num_steps], as the solution itself writes it; steps that
    were not cut from that text (imported ones) are joined by blank lines."""
    found = split_steps(solution)
    if [step.text for step in found] == list(steps):
        return [prefix_text(solution, found, j) for j in range(len(found))]
    return ["\n\n".join(steps[: j + 1]) for j in range(len(steps))]


def _problem(rows: Sequence[Row]) -> Problem:
    return Problem.of(
        num_steps=[len(row["steps"]) for row in rows],
        question=np.unique([row["question_id"] for row in rows], return_inverse=True)[1],
        own_answer_right=[row["is_correct"] for row in rows],
        chance=chance([len(row["options"] or []) for row in rows]),
    )


def _own_outcome(row: Row) -> str:
    """The outcome of a prefix that is the whole solution: its own answer."""
    return {True: RIGHT, False: WRONG, None: UNREADABLE}[row["is_correct"]]


def _outcome(row: Row, prefix: str, place: Completion | Failure) -> str:
    """What one rollout counts as. The answer may stand in the prefix, with only a remark after it; not so in a
    completion that was cut: what it was about to say is unknown."""
    if isinstance(place, Failure):
        return FAILED
    options = row["options"] or []
    answer = read_answer(prefix + place.text if place.finish_reason == "stop" else place.text, options)
    return {True: RIGHT, False: WRONG, None: UNREADABLE}[matches(answer, options, row["answer"], row["answer_index"])]


def _nullable(values: Sequence[float] | NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]
