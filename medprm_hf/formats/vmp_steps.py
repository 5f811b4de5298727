"""`steps-jsonl` and `steps-json`: one record a step, as the VisualPRM-Medical-PRM tool (VMP) writes them.

    {"id": "DemoVQA::demo_0::solution_1::step_1", "image": "images/d0.jpg", "dataset": "DemoVQA", …,
     "prefix_steps": [], "current_step": {"step_index": 1, "title": "Look", "text": "A nodule."},
     "expected_accuracy": 0.75, "label": "+", "rollout_success": 3, "rollout_total": 4}

`prefix_steps` carry labels: they never belong in a prompt. A step that is unknown or neutral has no record of
its own; among the `prefix_steps` of later ones it stands with label null.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Row, Writing
from medprm_hf.formats.marks import LabelSource, letter_or_none
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

_LOSSES = (*CASE_LOSSES, "steps without + or - after the last labelled one", "rollout counts of unlabelled steps")


class _OneAStep(Format):
    """A format with one record a step, in which the records of a solution stand together."""

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """Gathers the records of one solution; the row comes when the next solution begins."""
        if reading.held and _solution_of(reading.held[0]) != _solution_of(record):
            yield self._row(reading)
        reading.held.append(record)

    def finish(self, reading: Reading) -> Iterator[dict[str, Any]]:
        """The last solution."""
        if reading.held:
            yield self._row(reading)

    @abstractmethod
    def _row(self, reading: Reading) -> dict[str, Any]:
        """The row of the records that are held, which are taken."""


@dataclass(frozen=True)
class StepsJSONL(_OneAStep):
    """The tool's flattened VisualPRM-style JSONL: the default step export."""

    labels: LabelSource = "final"
    """`final` (review, merge), or from rollouts `value` (mc > threshold) or `advantage` (change of mc)."""
    threshold: float = 0.0
    """Of `value`, 0..1."""

    id: ClassVar[str] = "steps-jsonl"
    text: ClassVar[str] = "one record a step with its prefix, mc, label and rollout counts (VMP, flattened)"
    carries: ClassVar[frozenset[str]] = CASE_COLUMNS
    losses: ClassVar[tuple[str, ...]] = _LOSSES

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a labelled step."""
        row = rows[0]
        steps = Scored(row, self.labels, self.threshold)
        solution = solution_keys(row, writing.image(row), steps)
        name = f"{solution['dataset']}::{solution['case_id']}::solution_{solution['solution_index']}"
        prefix: list[dict[str, Any]] = []
        for place, text in enumerate(steps.texts):
            label, mc = steps.labels[place], steps.mc[place]
            current = {"step_index": place + 1, "title": steps.titles[place], "text": text}
            if label is not None:
                yield {
                    "id": f"{name}::step_{place + 1}",
                    **solution,
                    "prefix_steps": list(prefix),
                    "current_step": current,
                    "expected_accuracy": mc,
                    "label": label,
                    "rollout_success": steps.right[place],
                    "rollout_total": steps.total[place],
                }
            prefix.append({**current, "expected_accuracy": mc, "label": label})
        count_unlabelled(steps, writing)

    def _row(self, reading: Reading) -> dict[str, Any]:
        records, reading.held = reading.held, []
        end = records[-1]
        row = reading.row()
        fill_case(row, end, reading, "image", "gold_index")
        fill_solution(row, end, end.get("dataset"), end["case_id"])
        own = {record["current_step"]["step_index"]: record for record in records}
        steps = [*end["prefix_steps"], end["current_step"]]
        scores = [own.get(step["step_index"], step) for step in steps]
        fill_steps(row, steps, scores, "expected_accuracy", "rollout_success", "rollout_total")
        reading.keep([row], records)
        return row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A current step with its prefix, rollout counts and an id."""
        return record.keys() >= {"id", "current_step", "prefix_steps", "rollout_success"}


def solution_keys(row: Row, image: str | None, steps: Scored) -> dict[str, Any]:
    """Keys of a case and its solution in the order of the tool's VisualPRM-style files, from `image` on."""
    gold = row.get("answer_index")
    return {
        "image": image,
        "dataset": row.get("source") or "",
        "case_id": row["question_id"],
        "case_type": case_type(row.get("modality")),
        "modality": row.get("modality"),
        "question": row["question"],
        "options": list(row.get("options") or []),
        "gold_index": gold,
        "gold_letter": letter_or_none(gold),
        "solution_index": (row.get("solution_index") or 0) + 1,
        "solution_expected_accuracy": last(steps.mc),
        "solution_label": last(steps.labels),
        **answer_keys(row),
    }


def count_unlabelled(steps: Scored, writing: Writing) -> None:
    """Counts the steps that have no record, and the row if none of its steps has one."""
    missing = steps.labels.count(None)
    writing.leave_out("steps without + or -", missing)
    if missing == len(steps.labels):
        writing.skip("rows without a labelled step")


def _solution_of(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return record.get("dataset"), record["case_id"], record.get("solution_index")


@dataclass(frozen=True)
class StepsJSON(_OneAStep):
    """The tool's training rows, as JSON `{meta, rows}` or, under a name that ends in .jsonl, as JSONL."""

    id: ClassVar[str] = "steps-json"
    text: ClassVar[str] = "one record a step, {meta, rows} or JSONL (VMP's build_step_training_json)"
    extension: ClassVar[str] = ".json"
    container: ClassVar[Any] = "object or lines"
    inner: ClassVar[tuple[str, ...]] = ("rows",)
    indent: ClassVar[bool] = True
    carries: ClassVar[frozenset[str]] = CASE_COLUMNS | {"generator"}
    losses: ClassVar[tuple[str, ...]] = (*_LOSSES, "of the generator only temperature and top_p")

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a labelled step."""
        row = rows[0]
        steps = Scored(row)
        gold = row.get("answer_index")
        solution = {
            "dataset": row.get("source") or "",
            "source_result_file": None,
            "case_id": row["question_id"],
            "case_type": case_type(row.get("modality")),
            "modality": row.get("modality"),
            "image_url": writing.image(row),
            "question": row["question"],
            "options": list(row.get("options") or []),
            "gold_index": gold,
            "gold_letter": letter_or_none(gold),
            "solution_index": (row.get("solution_index") or 0) + 1,
            "sampling": sampling(row),
            **answer_keys(row),
            "solution_mc_score": last(steps.mc),
            "solution_label": last(steps.labels),
        }
        shown = [{"title": title, "text": text} for title, text in zip(steps.titles, steps.texts, strict=True)]
        for place, current in enumerate(shown):
            if steps.labels[place] is not None:
                yield {
                    **solution,
                    "step_id": place + 1,
                    "prefix_steps": shown[:place],
                    "current_step": current,
                    "label": steps.labels[place],
                    "mc_score": steps.mc[place],
                    "rollout_success": steps.right[place],
                    "rollout_total": steps.total[place],
                }
        count_unlabelled(steps, writing)

    def frame(self, writing: Writing) -> tuple[dict[str, Any], str, dict[str, Any]]:
        """The tool's meta: it knows one case a file, so the case's keys are those of the first row."""
        first, report = writing.first, writing.report
        meta = {
            "dataset": first.get("source"),
            "input_file": None,
            "generated_at": None,
            "config": None,
            "case_index": 0,
            "case_id": first.get("question_id"),
            "question": first.get("question"),
            "num_solutions": report.written,
            "num_training_rows": report.records,
        }
        return {"meta": {**meta, **writing.found_frame()[0].get("meta", {})}}, "rows", {}

    def _row(self, reading: Reading) -> dict[str, Any]:
        records, reading.held = reading.held, []
        end = records[-1]
        row = reading.row()
        fill_case(row, end, reading, "image_url", "gold_index")
        fill_solution(row, end, end.get("dataset"), end["case_id"])
        own = {record["step_id"]: record for record in records}
        steps = [*end["prefix_steps"], end["current_step"]]
        scores = [own.get(number, {}) for number in range(1, len(steps) + 1)]
        fill_steps(row, steps, scores, "mc_score", "rollout_success", "rollout_total")
        row["generator"] = sampled(end.get("sampling"))
        reading.keep([row], records)
        return row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A current step with its prefix, and the solution's mc score."""
        return record.keys() >= {"current_step", "prefix_steps", "solution_mc_score", "step_id"}


def sampling(row: Row) -> dict[str, Any] | None:
    """The tool's `sampling` of a solution; null if its sampling is unknown."""
    generator = row.get("generator")
    if generator is None:
        return None
    temperature = generator.get("temperature")
    deterministic = None if temperature is None else temperature == 0
    return {"temperature": temperature, "top_p": generator.get("top_p"), "deterministic": deterministic}


def sampled(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The `generator` column of a `sampling`."""
    if found is None:
        return None
    scores = {"temperature": found.get("temperature"), "top_p": found.get("top_p")}
    return {"model": None, "prompt": None, **scores, "max_tokens": None, "seed": None}
