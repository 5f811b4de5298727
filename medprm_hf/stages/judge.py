"""judge: a model reads image, question, evidence and all steps of a solution, and gives a verdict on each.

Reads question, steps and (where retrieve ran) evidence and similar cases; adds judge_labels … judge. One call
per solution, answered as JSON. A verdict that cannot be read is `?` with the reason, never `-`; the gold answer
is hidden unless the recipe says `show_gold`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.backends import open_backend
from medprm_hf.backends.protocol import Message, Reply, Request, Sampling
from medprm_hf.schema import Label, written_by
from medprm_hf.specs import JudgeSpec
from medprm_hf.stages.asking import answers_in, ask, image_of
from medprm_hf.stages.base import Batch, Row, RowErrors, columns_of, rows_of
from medprm_hf.text.judging import judge_prompt
from medprm_hf.text.verdicts import Verdict, parse_verdicts


@dataclass(frozen=True)
class Judge(JudgeSpec):
    """A verdict on each step; see the module."""

    reads: ClassVar[tuple[str, ...]] = (
        "question_id", "image", "question", "options", "answer", "clinical_context", "solution_id", "steps",
    )  # fmt: skip
    uses: ClassVar[tuple[str, ...]] = ("evidence", "similar_cases")
    writes: ClassVar[tuple[str, ...]] = written_by("judge")

    def check(self) -> None:
        """Opens the judge."""
        open_backend(self.backend)

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds the judge's columns to each solution of the batch; solutions without steps get empty lists."""
        rows = rows_of(self, batch)
        backend = open_backend(self.backend)
        able = [i for i, row in enumerate(rows) if row["steps"]]
        replies = ask(backend, [self._request(rows[i]) for i in able])
        results = [self._result([], RowErrors(self.name), backend.model) for _ in rows]
        for i, reply in zip(able, replies, strict=True):
            errors = RowErrors(self.name)
            verdicts = _verdicts(reply, len(rows[i]["steps"]), errors)
            results[i] = self._result(verdicts, errors, backend.model)
        return columns_of(self, rows, results)

    def _request(self, row: Row) -> Request:
        context = row["clinical_context"]
        if self.show_gold and row["answer"] is not None:
            context = f"{context or ''}\nGold answer: {row['answer']}".strip()
        asked = judge_prompt(
            row["question"],
            row["options"] or [],
            row["steps"],
            evidence=row.get("evidence") or (),
            similar_cases=row.get("similar_cases") or (),
            context=context,
        )
        return Request(
            (Message("user", asked, image_of(row)),),
            sampling=Sampling(self.temperature, max_tokens=self.max_tokens, seed=self.seed),
            key=f"{row['solution_id']}/judge",
            about={"question_id": row["question_id"], "steps": row["steps"]},
        )

    def _result(self, verdicts: list[Verdict], errors: RowErrors, model: str) -> Row:
        return {
            "judge_labels": [str(verdict.label) for verdict in verdicts],
            "judge_confidence": [verdict.confidence for verdict in verdicts],
            "judge_p_plus": [None for _ in verdicts],
            "judge_errors": [verdict.error for verdict in verdicts],
            "judge_reasons": [verdict.reason for verdict in verdicts],
            "judge_citations": [list(verdict.citations) for verdict in verdicts],
            "judge": {"model": model, "gold_shown": self.show_gold},
            "errors": errors.entries,
        }


def _verdicts(reply: Reply, num_steps: int, errors: RowErrors) -> list[Verdict]:
    """One verdict a step; a failed request leaves every step unknown, with its reason."""
    answers = answers_in(reply, errors)
    if answers:
        verdicts = parse_verdicts(answers[0].text, num_steps)
        unread = sum(verdict.label == Label.UNKNOWN for verdict in verdicts)
        if unread:
            errors.add("unparsed", f"{unread} of {num_steps} verdicts cannot be read")
        return verdicts
    return parse_verdicts("", num_steps)
