"""`vmp-result` and `vmp-solutions`: cases with their solutions and rollout counts, as VMP writes its results.

`vmp-result` is one JSON object: {dataset, input_file, generated_at, config, cases: […], summary,
runtime_seconds}; a case holds its solutions, a solution its steps and `step_results`. `vmp-solutions` is JSONL,
one record a case and solution. A score or label that is unknown is null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Row, Writing
from medprm_hf.formats.vmp_case import (
    CASE_COLUMNS,
    CASE_LOSSES,
    Scored,
    answer_keys,
    case_type,
    fill_case,
    fill_solution,
    fill_steps,
    last,
)
from medprm_hf.formats.vmp_steps import sampled, sampling, solution_keys


@dataclass(frozen=True)
class VMPSolutions(Format):
    """VMP's VisualPRM-style JSONL."""

    id: ClassVar[str] = "vmp-solutions"
    text: ClassVar[str] = "one record a solution with scored steps (VMP, VisualPRM-style JSONL)"
    carries: ClassVar[frozenset[str]] = CASE_COLUMNS
    losses: ClassVar[tuple[str, ...]] = CASE_LOSSES

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a solution."""
        row = rows[0]
        steps = Scored(row)
        keys = solution_keys(row, writing.image(row), steps)
        columns = (steps.titles, steps.texts, steps.mc, steps.labels, steps.right, steps.total)
        writing.leave_out("labels that are not + or - (written as null)", steps.labels.count(None))
        yield {
            "id": f"{keys['dataset']}::{keys['case_id']}::solution_{keys['solution_index']}",
            **keys,
            "steps": [
                {
                    "step_index": number,
                    "title": title,
                    "text": text,
                    "expected_accuracy": mc,
                    "label": label,
                    "rollout_success": right,
                    "rollout_total": total,
                }
                for number, (title, text, mc, label, right, total) in enumerate(zip(*columns, strict=True), start=1)
            ],
        }

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """One solution a record."""
        row = reading.row()
        fill_case(row, record, reading, "image", "gold_index")
        fill_solution(row, record, record.get("dataset"), record["case_id"])
        fill_steps(row, record["steps"], record["steps"], "expected_accuracy", "rollout_success", "rollout_total")
        reading.keep([row], [record])
        yield row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """Scored steps of a named solution."""
        return record.keys() >= {"steps", "case_id", "solution_expected_accuracy"}


@dataclass(frozen=True)
class VMPResult(Format):
    """VMP's nested result JSON."""

    id: ClassVar[str] = "vmp-result"
    text: ClassVar[str] = "cases with solutions and step_results in one JSON object (VMP)"
    extension: ClassVar[str] = ".json"
    container: ClassVar[Any] = "object"
    inner: ClassVar[tuple[str, ...]] = ("cases",)
    indent: ClassVar[bool] = True
    unit: ClassVar[Any] = "question"
    carries: ClassVar[frozenset[str]] = CASE_COLUMNS | {"generator"}
    losses: ClassVar[tuple[str, ...]] = (
        *CASE_LOSSES,
        "one source a file",
        "of the generator temperature and top_p; the model of the first row stands in config",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One case a question."""
        first = rows[0]
        solutions = [self._solution(row, writing) for row in rows]
        yield {
            "id": first["question_id"],
            "case_type": case_type(first.get("modality")),
            "modality": first.get("modality"),
            "question": first["question"],
            "options": list(first.get("options") or []),
            "gold": first.get("answer_index"),
            "image_url": writing.image(first),
            "solutions": solutions,
            "case_summary": _case_summary(solutions),
        }

    def _solution(self, row: Row, writing: Writing) -> dict[str, Any]:
        steps = Scored(row)
        writing.leave_out("labels that are not + or - (written as null)", steps.labels.count(None))
        answer = answer_keys(row)
        columns = (steps.titles, steps.texts, steps.right, steps.total, steps.mc, steps.labels)
        results = [
            {
                "step": number,
                "title": title,
                "text": text,
                "success": right,
                "total": total,
                "mc_score": mc,
                "label": label,
            }
            for number, (title, text, right, total, mc, label) in enumerate(zip(*columns, strict=True), start=1)
        ]
        return {
            "solution_index": (row.get("solution_index") or 0) + 1,
            "sampling": sampling(row),
            "steps": [{"title": result["title"], "text": result["text"]} for result in results],
            "final_answer_index": answer["final_answer_index"],
            "final_answer_letter": answer["final_answer_letter"],
            "step_results": results,
            "solution_mc_score": last(steps.mc),
            "solution_label": last(steps.labels),
            "final_answer_correct": answer["final_answer_correct"],
        }

    def frame(self, writing: Writing) -> tuple[dict[str, Any], str, dict[str, Any]]:
        """Name and configuration before the cases, the summary after them."""
        first, report = writing.first, writing.report
        generator = first.get("generator") or {}
        totals = [total for total in first.get("rollout_total") or [] if total is not None]
        head = {
            "dataset": first.get("source"),
            "input_file": None,
            "generated_at": None,
            "config": {
                "num_cases": report.records,
                "num_solutions": None,
                "rollout_k": max(totals, default=None),
                "provider": None,
                "model": generator.get("model"),
                "paper_sampling_temperature": generator.get("temperature"),
                "paper_sampling_top_p": generator.get("top_p"),
            },
        }
        before, after = writing.found_frame()
        if not before:
            return head, "cases", {"summary": _summary(writing), "runtime_seconds": None}
        summed = {"summary": _summary(writing)} if "summary" in after else {}
        return before, "cases", {**after, **summed}

    def seen(self, records: Sequence[Record], writing: Writing) -> None:
        """Sums up the case summaries."""
        for summary in (record["case_summary"] for record in records if "case_summary" in record):
            sums = writing.sums
            sums["cases"] += 1
            sums["correct"] += summary["correct_solutions"]
            sums["positive"] += summary["primary_solution_label"] == "+"
            for name in ("primary", "best"):
                if summary[f"{name}_solution_mc_score"] is not None:
                    sums[name] += summary[f"{name}_solution_mc_score"]
                    sums[f"{name} known"] += 1

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """One row a solution of the case."""
        rows = []
        for solution in record["solutions"]:
            row = reading.row()
            fill_case(row, record, reading, "image_url", "gold")
            fill_solution(row, solution, reading.head.get("dataset"), record["id"])
            results = {result["step"]: result for result in solution.get("step_results") or []}
            steps = solution["steps"]
            scores = [results.get(number, {}) for number in range(1, len(steps) + 1)]
            fill_steps(row, steps, scores, "mc_score", "success", "total")
            row["generator"] = sampled(solution.get("sampling"))
            rows.append(row)
        if rows:
            reading.keep(rows, [record])
        yield from rows

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A case whose solutions have sampling or step results."""
        solutions = record.get("solutions")
        return isinstance(solutions, list) and "gold" in record and all("steps" in one for one in solutions)


def _summary(writing: Writing) -> dict[str, Any]:
    sums = writing.sums
    cases = sums["cases"] or 1
    return {
        "total_cases": sums["cases"],
        "avg_primary_solution_mc_score": sums["primary"] / sums["primary known"] if sums["primary known"] else None,
        "avg_best_solution_mc_score": sums["best"] / sums["best known"] if sums["best known"] else None,
        "avg_correct_solutions": sums["correct"] / cases,
        "primary_label_positive_pct": sums["positive"] / cases * 100,
    }


def _case_summary(solutions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scores = [solution["solution_mc_score"] for solution in solutions]
    known = [score for score in scores if score is not None]
    return {
        "solutions_generated": len(solutions),
        "correct_solutions": sum(solution["final_answer_correct"] is True for solution in solutions),
        "mean_solution_mc_score": sum(known) / len(known) if known else None,
        "best_solution_mc_score": max(known, default=None),
        "primary_solution_mc_score": scores[0],
        "primary_solution_label": solutions[0]["solution_label"],
    }
