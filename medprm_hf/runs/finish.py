"""What a finished run leaves for people: `dataset/`, the exports, `dropped.jsonl` and `run.json`.

    runs/demo/dataset/            README.md and data/train-00000-of-00001.parquet: load_dataset("runs/demo/dataset")
    runs/demo/visualprm.jsonl     one file a format of the recipe, kept solutions only
    runs/demo/dropped.jsonl       every question and solution that is not in the exports, with its reason
    runs/demo/run.json            versions, counts, reasons, seconds and usage per stage; written last

All of it is written shard by shard, so a run of a million rows needs no more memory than a small one. The bytes of
dataset and exports depend on the recipe and its seed alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from medprm_hf.formats import open_format, write
from medprm_hf.runs.dataset import dataset_rows, write_dataset
from medprm_hf.runs.money import summary as money_summary
from medprm_hf.runs.pipeline import Run, identity
from medprm_hf.runs.shards import SOURCE, replace_file, write_json
from medprm_hf.runs.tables import rows_of

EXPORT_FILES = {"visualprm": "visualprm.jsonl", "steps-jsonl": "steps.jsonl", "medprm": "medprm.json"}
"""File names of the default exports; others are called after their format."""
RUN = "run.json"
Row = dict[str, Any]
Look = Callable[[Row, int | None], None]
"""Is shown every row (its image left out) with its place in the dataset; None for a question without a solution."""


def finish(run: Run, *looks: Look) -> dict[str, Any]:
    """Writes everything above; gives the summary that stands in run.json. Each of `looks` is shown every row once."""
    (run.directory / RUN).unlink(missing_ok=True)
    counts = Counts()
    replace_file(run.directory / "dropped.jsonl", lambda file: _look_through(run, file, counts, looks))
    exports = {name: _export(run, name) for name in run.recipe.exports}
    summary = {**identity(run), **_summary(run, counts, exports)}
    write_json(run.directory / RUN, summary)
    return summary


def is_kept(row: Row) -> bool:
    """Whether a row is exported: it holds a solution, and `select` (where it ran) has kept it."""
    return row.get("solution") is not None and bool(row.get("keep", True))


def solution_rows(run: Run, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Rows of the whole table in order, shard by shard; a question without a solution has `solution` null."""
    names = tuple(columns or run.columns)
    for number in range(run.shard_count()):
        yield from rows_of(run.table(number, names), names)


class Counts:
    """What run.json counts, one row at a time; rows of one question are neighbours."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        """Entries of dropped.jsonl by stage."""
        self.reasons: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.questions = self.solutions = self.kept = self.steps = 0
        self._last: Any = None

    def add(self, row: Row) -> None:
        """One row of the table."""
        self.errors.update(f"{error['stage']}: {error['kind']}" for error in row["errors"])
        if row.get("solution") is None:
            return
        self.solutions += 1
        self.steps += len(row["steps"])
        self.kept += is_kept(row)
        self.questions += row["question_id"] != self._last
        self._last = row["question_id"]

    def drop(self, entry: Row) -> None:
        """One entry of dropped.jsonl."""
        self.dropped[entry["stage"]] += 1
        self.reasons[f"{entry['stage']}: {str(entry['reason']).split(':')[0]}"] += 1


def _look_through(run: Run, file: Path, counts: Counts, looks: Sequence[Look]) -> None:
    """Writes the dataset, shows every row to those who count, and writes dropped.jsonl: questions, then solutions."""
    columns = [name for name in run.columns if name != "image"]
    with file.open("w", encoding="utf-8") as out:

        def drop(entry: Row | None) -> None:
            if entry is not None:
                counts.drop(entry)
                out.write(json.dumps(entry, ensure_ascii=False) + "\n")

        def show(row: Row, place: int | None = None) -> None:
            counts.add(row)
            for look in looks:
                look(row, place)
            drop(_dropped_solution(row))

        for entry in _dropped_questions(run):
            drop(entry)
        write_dataset(run, show)
        for place, row in enumerate(dataset_rows(run.directory / "dataset", columns)):
            show(row, place)


def _dropped_questions(run: Run) -> Iterator[Row]:
    if "questions" not in run.recipe.stages:
        return
    for number in range(run.shard_count()):
        batch = run.shards.read("questions", number, ("question_status", "question_reason"))
        ids = run.shards.read(SOURCE, number, ("question_id",))["question_id"]
        for name, status, reason in zip(ids, batch["question_status"], batch["question_reason"], strict=True):
            if status in ("dropped", "needs_review"):
                held = "needs_review: " if status == "needs_review" else ""
                yield {"question_id": name, "solution_id": None, "stage": "questions", "reason": held + reason}


def _dropped_solution(row: Row) -> Row | None:
    if "solution" not in row:
        return None  # the recipe has no generate stage: its rows are questions
    named = {"question_id": row["question_id"], "solution_id": row["solution_id"]}
    if row["solution"] is None:
        messages = [f"{error['kind']}: {error['message']}" for error in row["errors"]]
        reason = "; ".join(messages) or "no solution"
        return {**named, "solution_id": None, "stage": "generate", "reason": f"no_solution: {reason}"}
    return None if row.get("keep", True) else {**named, "stage": "select", "reason": row["drop_reason"]}


def export_file(format: str) -> str:
    """Name of a run's export in that format."""
    return EXPORT_FILES.get(format, f"{format}{open_format(format).extension}")


def _export(run: Run, name: str) -> dict[str, Any]:
    file = run.directory / export_file(name)
    report = write((row for row in dataset_rows(run.directory / "dataset") if is_kept(row)), file, format=name)
    return {"file": file.name, "rows": report.rows, "written": report.written, "losses": dict(report.losses)}


def _summary(run: Run, counts: Counts, exports: dict[str, Any]) -> dict[str, Any]:
    source = run.source().whole or {}
    return {
        "counts": {
            "questions_in": source["rows"],
            "questions_dropped": counts.dropped["questions"],
            "questions_without_solution": counts.dropped["generate"],
            "questions_out": counts.questions,
            "solutions": counts.solutions,
            "solutions_kept": counts.kept,
            "steps": counts.steps,
        },
        "drop_reasons": dict(sorted(counts.reasons.items())),
        "errors": dict(sorted(counts.errors.items())),
        "exports": exports,
        "stages": {str(stage.name): _stage_totals(run, str(stage.name)) for stage in run.stages},
        "money": money_summary(run.directory, run.recipe, counts.steps),
    }


def _stage_totals(run: Run, stage: str) -> dict[str, Any]:
    usage: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    images: set[bytes] = set()
    sums: Counter[str] = Counter()
    seconds = 0.0
    count = run.shard_count()
    for number, marker in run.shards.markers(stage):
        if number >= count:
            break
        spent = dict(marker.get("usage", {}))
        failures.update(spent.pop("failures", {}))
        notes.update(spent.pop("notes", {}))
        images.update(bytes.fromhex(name)[:8] for name in spent.pop("images", {}))
        usage.update(spent)
        sums.update({name: marker.get(name, 0) for name in ("rows", "errors")})
        seconds += marker.get("seconds", 0.0)
    return {
        "rows": sums["rows"],
        "errors": sums["errors"],
        "seconds": round(seconds, 2),
        **usage,
        "images": len(images),
        "failures": dict(sorted(failures.items())),
        "notes": dict(sorted(notes.items())),
    }


def has_truth(run: Run) -> bool:
    """Whether the truth of every step is known: only in the phantom world."""
    return run.recipe.source.name == "phantom"
