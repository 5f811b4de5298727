"""generate: several step-by-step solutions of each question; one row = one question becomes one row = one solution.

Reads the question columns, adds solution_id … generator. First 1.25 N solutions are asked for, then 3 × what
lacks (VisualPRM-Medical-PRM's way to fill gaps); kept are the first N with 3 to 9 steps and an answer that can
be read. A question without any such solution stays as one row without a solution, and its errors say what
came instead, so that nothing vanishes.

With `reuse_rollouts` (a finished run) the solutions of that run are taken first, then the rollouts that it kept, and
only what still lacks is asked for; `generator.origin` tells them apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, ClassVar

from medprm_hf.backends import open_backend
from medprm_hf.backends.protocol import Backend, Completion, Reply, Request
from medprm_hf.schema import written_by
from medprm_hf.specs import GenerateSpec
from medprm_hf.stages.asking import answers_in, ask, sampling_of, solve_messages
from medprm_hf.stages.base import Batch, Row, RowErrors, rows_of
from medprm_hf.stages.reuse import Candidate, candidates, check_reusable, words
from medprm_hf.text.answers import matches, read_answer
from medprm_hf.text.prompts import check_style
from medprm_hf.text.steps import split_steps

FIRST_ASK = 1.25
"""Solutions asked for in the first round, per solution wanted."""
SECOND_ASK = 3
"""Solutions asked for in the second round, per solution that lacks."""


@dataclass
class _Open:
    """One question while its solutions arrive."""

    row: Row
    wanted: int
    errors: RowErrors = field(default_factory=lambda: RowErrors("generate"))
    kept: list[Row] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def lacking(self) -> int:
        return self.wanted - len(self.kept)


@dataclass(frozen=True)
class Generate(GenerateSpec):
    """Writes candidate solutions; changes the number of rows, so use `map(…, batched=True)`."""

    reads: ClassVar[tuple[str, ...]] = (
        "question_id", "image", "question", "turns", "options", "answer", "answer_index", "clinical_context",
        "question_status",
    )  # fmt: skip
    uses: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = written_by("generate")

    def check(self) -> None:
        """Opens the model and looks the prompt style up."""
        check_style(self.prompt)
        if self.reuse_rollouts:
            check_reusable(self.reuse_rollouts)
        open_backend(self.backend)

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """All columns of the batch, one row a solution; dropped and held questions have none."""
        rows = [row for row in rows_of(self, batch) if row["question_status"] not in ("dropped", "needs_review")]
        backend = open_backend(self.backend)
        asked = [_Open(row, self.solutions) for row in rows]
        if self.reuse_rollouts:
            found = candidates(self.reuse_rollouts, [row["question_id"] for row in rows])
            for question in asked:
                self._reuse(question, found[question.row["question_id"]])
        if self.greedy_first:
            self._round([q for q in asked if q.lacking], backend, "greedy", lambda _: 1)
        self._round([q for q in asked if q.lacking], backend, "first", lambda q: ceil(FIRST_ASK * q.lacking))
        self._round([q for q in asked if q.lacking], backend, "second", lambda q: SECOND_ASK * q.lacking)
        out = [row for question in asked for row in self._rows(question, backend.model)]
        names = [*dict.fromkeys((*batch, *self.writes, "errors"))]
        return {name: [row.get(name) for row in out] for name in names}

    def _reuse(self, question: _Open, found: list[Candidate]) -> None:
        """Takes what an earlier run holds: its solutions as they were, a rollout only where it is none of them."""
        seen: set[str] = set()
        for candidate in found:
            solution, reason = self._solution(question.row, Completion(candidate.text, "stop", 0))
            new = candidate.generator.get("origin") == "model" or words(candidate.text) not in seen
            if question.lacking and reason is None and new:
                seen.add(words(candidate.text))
                question.kept.append({**solution, "generator": candidate.generator})

    def _round(self, asked: list[_Open], backend: Backend, tag: str, count: Any) -> None:
        requests = [self._request(question.row, tag, count(question)) for question in asked]
        for question, reply in zip(asked, ask(backend, requests), strict=True):
            self._take(question, reply)

    def _request(self, row: Row, tag: str, n: int) -> Request:
        sampling = sampling_of(self)
        return Request(
            solve_messages(row, self.prompt),
            n=n,
            sampling=replace(sampling, temperature=0.0) if tag == "greedy" else sampling,
            key=f"{row['question_id']}/generate/{tag}",
            about={"question_id": row["question_id"]},
        )

    def _take(self, question: _Open, reply: Reply) -> None:
        for completion in answers_in(reply, question.errors):
            solution, reason = self._solution(question.row, completion)
            if reason:
                question.refused[reason] += 1
            elif question.lacking:
                question.kept.append(solution)

    def _solution(self, row: Row, completion: Completion) -> tuple[Row, str | None]:
        text, options = completion.text.strip(), row["options"] or []
        steps = split_steps(text)
        answer = read_answer(text, options)
        solution = {
            "solution": text,
            "step_titles": [step.title for step in steps],
            "steps": [step.text for step in steps],
            "final_answer": answer,
            "is_correct": matches(answer, options, row["answer"], row["answer_index"]),
        }
        return solution, self._refusal(len(steps), answer, completion)

    def _refusal(self, steps: int, answer: str | None, completion: Completion) -> str | None:
        if completion.finish_reason == "length":
            return "cut_at_max_tokens"
        if steps < self.min_steps:
            return "too_few_steps"
        if steps > self.max_steps:
            return "too_many_steps"
        if answer is None and self.unreadable == "drop":
            return "unreadable_answer"
        return None

    def _rows(self, question: _Open, model: str) -> list[Row]:
        if question.refused and question.lacking:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(question.refused.items()))
            question.errors.add(
                "unusable_solutions",
                f"{len(question.kept)} of {question.wanted} solutions; refused: {reasons}",
            )
        errors = [*(question.row.get("errors") or []), *question.errors.entries]
        kept = question.kept or [{}]
        return [
            {**question.row, **self._named(question.row, i, solution, model), "errors": errors}
            for i, solution in enumerate(kept)
        ]

    def _named(self, row: Row, index: int, solution: Row, model: str) -> Row:
        empty: Row = {
            "solution": None,
            "step_titles": [],
            "steps": [],
            "final_answer": None,
            "is_correct": None,
        }
        settings = ("prompt", "temperature", "top_p", "max_tokens", "seed")
        return {
            **empty,
            "generator": {"model": model, **{name: getattr(self, name) for name in settings}, "origin": "model"},
            **solution,
            "solution_id": f"{row['question_id']}-s{index}",
            "solution_index": index,
        }
