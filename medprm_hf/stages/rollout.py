"""rollout: how often does a completion of each step prefix reach the right answer?

For the prefix that ends with step i, completions are sampled and the readable ones counted:

    mc_i = correct_i / total_i          (expected accuracy; Math-Shepherd, arXiv 2312.08935; VisualPRM, 2503.10291)

Reads question, steps and gold answer; adds rollout_correct … rollout_method. Which prefix is sampled next, and
when it is enough, is the estimator's to say (`labels/monte_carlo.py`); `prefixes.py` asks, this file counts. The
last prefix is a whole solution, which answers itself for nothing: the same answer as often as it is asked, and once
where the estimator takes it into account by itself (first_error). An answer that cannot be read counts in
`rollout_unreadable`, a request that failed in `rollout_failed`, and neither in `rollout_total`. All figures but
`chance` are of the raw counts.

    steps               "Nodules: one."  "Answer: B."       steps               "Nodules: one."  "Answer: B."
                                                      →     rollout_correct     5                8
                                                            rollout_total       8                8

Estimators that learn from what they see learn in a run before its first shard (`learn`): a sample of its questions
is rolled out (`pilot.py`), and what that taught is what every shard works with, unchanged. A shard done again gives
the same labels, and small shards cost no more than large ones. What the pilot draws are the first draws of its
prefixes: their shards ask for the same, and the run's journal has them. Without a run (`datasets.map`) they learn
within each batch, best of some hundred solutions, with those of a question together.

With `keep_solutions` completions that make new whole solutions are kept in `rollout_solutions`, for a second pass of
generate (`reuse.py`).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from medprm_hf.backends import open_backend
from medprm_hf.backends.protocol import Backend
from medprm_hf.errors import ConfigError
from medprm_hf.labels.accuracy import chance, given_wrong_answer
from medprm_hf.labels.accuracy import interval as accuracy_interval
from medprm_hf.labels.choosing import known_settings
from medprm_hf.labels.merge import judge_is_sure
from medprm_hf.labels.monte_carlo import Estimator, Problem, State, make_estimator, open_pairs
from medprm_hf.schema import written_by
from medprm_hf.specs import RolloutSpec
from medprm_hf.stages.base import Batch, Row, RowErrors, columns_of, rows_of
from medprm_hf.stages.pilot import pilot_rows
from medprm_hf.stages.prefixes import FAILED, RIGHT, UNREADABLE, WRONG, Prefix, PrefixPool
from medprm_hf.stages.reuse import kept_solutions
from medprm_hf.text.prompts import check_style

_CODE = {RIGHT: 1, WRONG: 0, UNREADABLE: -1, FAILED: -1}
MAX_MISSING = 8
"""Rollouts of a prefix that may give nothing before an adaptive estimator leaves it alone."""
USES_OWN_ANSWER = frozenset(("first_error",))
"""Estimators that take the solution's own answer from the problem, as one rollout of its last prefix."""
MAX_ROUNDS = 1000
DIGITS = 6
"""Significant digits that are kept of what an estimator learns."""
_FIGURES = ("expected_accuracy", "accuracy_low", "accuracy_high", "p_right")


@dataclass(frozen=True)
class _Baseline:
    """What is taken for chance in one row."""

    value: float
    """0..1; nan where there is none."""
    counts: Counter[str] | None = None
    """Outcomes of the empty prefix, where it was asked."""


@dataclass
class _Done:
    """A batch whose rollouts have arrived."""

    pool: PrefixPool
    baselines: list[_Baseline]
    p_right: NDArray[np.float64]
    """(rows, steps)."""
    state: State
    """Its `learnt` are the values that the decision began with."""
    k: int | None
    """Rollouts a prefix, where the estimator asks for a fixed number."""


@dataclass(frozen=True)
class Rollout(RolloutSpec):
    """Monte Carlo rollouts of every step prefix; see the module."""

    learnt: str = field(default="", repr=False)
    """JSON of what `learn` gave, empty without."""
    reads: ClassVar[tuple[str, ...]] = (
        "question_id", "image", "question", "turns", "options", "answer", "answer_index", "clinical_context",
        "solution", "steps", "final_answer", "is_correct",
    )  # fmt: skip
    uses: ClassVar[tuple[str, ...]] = ("judge_labels", "judge_confidence")
    writes: ClassVar[tuple[str, ...]] = written_by("rollout")

    def check(self) -> None:
        """Opens the model; looks prompt style and estimator up."""
        check_style(self.prompt)
        self.estimator_settings()
        open_backend(self.backend)

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds the counts and figures of each solution of the batch."""
        rows = rows_of(self, batch)
        able = [i for i, row in enumerate(rows) if _able(row)]
        results = [{} if _able(row) else self._empty(row) for row in rows]
        if able:
            backend = open_backend(self.backend)
            done = self._sample(PrefixPool.of(self, [rows[i] for i in able]), backend)
            kept = kept_solutions(done.pool, self.keep_solutions)
            for at, i in enumerate(able):
                results[i] = {**self._result(done, at, backend.model), "rollout_solutions": kept[at]}
        return columns_of(self, rows, results)

    def learn(self, batches: Iterable[Batch]) -> str:
        """Priors from the run's pilot, and what it took, as JSON; "" (and nothing is read) for estimators that learn
        nothing, and where the recipe gives the priors."""
        if "priors" not in known_settings(self.estimator) or "priors" in self.settings:
            return ""
        rows = pilot_rows((rows_of(self, batch) for batch in batches), self.seed, _able)
        if not rows:
            return ""
        pool = PrefixPool.of(replace(self, keep_solutions=0), rows)
        done = self._sample(pool, open_backend(self.backend))
        every = {id(p): p for row in pool.prefixes for p in row[:-1]} | {id(p): p for p in pool.empty.values()}
        pilot = {
            "solutions": len(rows),
            "questions": len({row["question_id"] for row in rows}),
            "rollouts": sum(len(prefix.outcomes) for prefix in every.values()),
            "rounds": done.state.rounds,
        }
        return json.dumps({"priors": done.state.learnt, "pilot": pilot}, separators=(",", ":"))

    def _estimator(self) -> Estimator:
        settings = self.estimator_settings()
        if self.learnt:
            settings["priors"] = json.loads(self.learnt)["priors"]
        return make_estimator(self.estimator, **settings)

    def _sample(self, pool: PrefixPool, backend: Backend) -> _Done:
        baselines = self._baselines(pool, backend)
        problem = self._problem(pool.rows, baselines)
        estimator = self._estimator()
        # `fixed` closes a prefix by its first unreadable answer: exactly what was asked for is paid for.
        state = State.empty(problem, max_missing=1 if self.estimator == "fixed" else MAX_MISSING)
        if self.estimator in USES_OWN_ANSWER:
            # Closed: to count the one answer as many would make it surer than it is.
            state.missing[np.arange(problem.size), problem.num_steps - 1] = MAX_MISSING
        if self.where == "unsure":
            for at, row in enumerate(pool.rows):
                state.missing[at, _sure_steps(row)] = MAX_MISSING
        while state.rounds < MAX_ROUNDS and len((pairs := open_pairs(estimator, problem, state)).rows):
            outcomes = pool.draw(list(zip(pairs.rows.tolist(), pairs.steps.tolist(), strict=True)), backend)
            state.record(pairs, [_CODE[outcome] for outcome in outcomes])
        state.learnt = rounded(state.learnt)
        decision = estimator.decide(problem, state)
        p_right = decision.p_right
        if self.estimator in USES_OWN_ANSWER:
            p_right = given_wrong_answer(p_right, problem.num_steps, problem.own_answer_right == 0)
        return _Done(pool, baselines, p_right, state, self.k if "k" in self.estimator_settings() else None)

    def _baselines(self, pool: PrefixPool, backend: Backend) -> list[_Baseline]:
        """Chance of each row: of guessing among what is shown, or of starting from nothing."""
        guessing = chance([len(row["options"] or []) if self.options_shown else 0 for row in pool.rows]).tolist()
        if self.chance != "empty_prefix":
            return [_Baseline(value if self.chance == "options" else math.nan) for value in guessing]
        empty = pool.empty = {row["question_id"]: Prefix(row, "") for row in pool.rows}
        pool.ask([(prefix, self.k) for prefix in empty.values()], backend)
        return [_from_nothing(empty[row["question_id"]], value) for row, value in zip(pool.rows, guessing, strict=True)]

    def _problem(self, rows: Sequence[Row], baselines: Sequence[_Baseline]) -> Problem:
        """What the estimator knows. Chance of guessing stays that of the options, unless tau is held against the
        corrected expected accuracy: starting from nothing may well do better than a guess."""
        guessing = chance([len(row["options"] or []) if self.options_shown else 0 for row in rows])
        if self.corrected or self.chance == "none":
            guessing = np.array([baseline.value for baseline in baselines])
        return Problem.of(
            num_steps=[len(row["steps"]) for row in rows],
            question=np.unique([row["question_id"] for row in rows], return_inverse=True)[1],
            own_answer_right=[row["is_correct"] for row in rows],
            chance=guessing,
            answers_itself=True,
        )

    def _result(self, done: _Done, at: int, model: str) -> Row:
        pool, row = done.pool, done.pool.rows[at]
        n = len(row["steps"])
        counts = [Counter(pool.taken.get((at, step), [])) for step in range(n)]
        if self.estimator in USES_OWN_ANSWER:
            counts[-1] = Counter([pool.own_outcome(at)])
        correct = [c[RIGHT] for c in counts]
        total = [c[RIGHT] + c[WRONG] for c in counts]
        bounds = [_interval(*pair) for pair in zip(correct, total, strict=True)]
        errors = RowErrors(self.name)
        for prefix in pool.prefixes[at]:
            for failure in prefix.failures:
                errors.add(failure.kind, failure.message)
        baseline = done.baselines[at]
        if baseline.counts is not None and not baseline.counts[RIGHT] + baseline.counts[WRONG]:
            errors.add("no_baseline", f"none of {self.k} rollouts of the empty prefix could be read: chance is 1/n")
        return {
            "rollout_correct": correct,
            "rollout_total": total,
            "rollout_unreadable": [c[UNREADABLE] for c in counts],
            "rollout_failed": [c[FAILED] for c in counts],
            "expected_accuracy": [c / t if t else None for c, t in zip(correct, total, strict=True)],
            "accuracy_low": [low for low, _ in bounds],
            "accuracy_high": [high for _, high in bounds],
            "p_right": _nullable(done.p_right[at, :n].tolist()),
            "chance": _nullable([baseline.value])[0],
            "rollout_method": self._method(done, baseline, model),
            "errors": errors.entries,
        }

    def _method(self, done: _Done, baseline: _Baseline, model: str) -> Row:
        named = {name: getattr(self, name) for name in ("estimator", "temperature", "seed", "chance")}
        learnt, empty = done.state.learnt, baseline.counts
        return {
            **named,
            "completer": model,
            "continuation": done.pool.continuation,
            "k": done.k,
            "rounds": done.state.rounds,
            "options": "hidden" if not self.options_shown else "shuffled" if self.shuffle_options else "shown",
            "empty_correct": None if empty is None else empty[RIGHT],
            "empty_total": None if empty is None else empty[RIGHT] + empty[WRONG],
            "learnt": json.dumps(learnt, separators=(",", ":")) if learnt else None,
        }

    def _empty(self, row: Row) -> Row:
        """A row that cannot be rolled out: every count is zero and every accuracy unknown."""
        n = len(row["steps"] or [])
        counts = {f"rollout_{name}": [0] * n for name in ("correct", "total", "unreadable", "failed")}
        floats = {name: [None] * n for name in _FIGURES}
        errors = RowErrors(self.name)
        if n and not _has_gold(row):
            errors.add("no_gold", "rollouts need a gold answer: add one, or label by merge.policy=judge alone")
        return {**counts, **floats, "errors": errors.entries}


def _sure_steps(row: Row) -> list[int]:
    """Steps, from 0, whose label judge_first takes from the judge."""
    if "judge_labels" not in row:
        raise ConfigError("rollout.where=unsure asks where the judge is not sure: put judge before rollout in stages")
    said = zip(row["judge_labels"], row["judge_confidence"], strict=True)
    return [step for step, (label, confidence) in enumerate(said) if judge_is_sure(label, confidence)]


def _able(row: Row) -> bool:
    return bool(row["steps"]) and _has_gold(row)


def _has_gold(row: Row) -> bool:
    return row["answer"] is not None or row["answer_index"] is not None


def _from_nothing(empty: Prefix, guessing: float) -> _Baseline:
    """Jeffreys mean of the empty prefix's rollouts, so that 16 of 16 still leaves room above; guessing where none
    could be read."""
    counts = Counter(empty.outcomes)
    total = counts[RIGHT] + counts[WRONG]
    return _Baseline((counts[RIGHT] + 0.5) / (total + 1) if total else guessing, counts)


def rounded(values: Any) -> Any:
    """Plain values with DIGITS significant digits, so that they are short as JSON text and read back the same."""
    if isinstance(values, float):
        return float(f"{values:.{DIGITS}g}")
    if isinstance(values, Mapping):
        return {name: rounded(value) for name, value in values.items()}
    return [rounded(value) for value in values] if isinstance(values, list | tuple) else values


@lru_cache(4096)
def _interval(correct: int, total: int) -> tuple[float | None, float | None]:
    """Both ends; a batch has few distinct counts."""
    low, high = accuracy_interval([correct], [total])
    return _nullable(low.tolist())[0], _nullable(high.tolist())[0]


def _nullable(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]
