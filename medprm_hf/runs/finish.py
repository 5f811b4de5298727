"""What a finished run leaves for people: `dataset/`, the exports, `dropped.jsonl` and `run.json`.

    runs/demo/dataset/            README.md and data/train-00000.parquet: load_dataset("runs/demo/dataset")
    runs/demo/visualprm.jsonl     one file a format of the recipe, kept solutions only
    runs/demo/dropped.jsonl       every question and solution that is not in the exports, with its reason
    runs/demo/run.json            versions, counts, reasons, seconds and usage per stage

The bytes of dataset and exports depend on the recipe and its seed alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from medprm_hf.formats import open_format, write
from medprm_hf.runs.money import summary as money_summary
from medprm_hf.runs.pipeline import Run, identity
from medprm_hf.runs.shards import SOURCE, write_json, write_parquet
from medprm_hf.schema import features

EXPORT_FILES = {"visualprm": "visualprm.jsonl", "steps-jsonl": "steps.jsonl", "medprm": "medprm.json"}
"""File names of the default exports; others are called after their format."""

_CARD = """---
license: other
task_categories: [visual-question-answering]
tags: [process-reward-model, medprm-hf{simulated}]
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
---
# {name}

Step-labelled solutions made by medprm-hf (recipe fingerprint `{recipe}`). One row is one solution; lists line
up by step. Licence of each row: column `license`. **Research data, not for clinical use.**{note}
"""
_SIMULATED = """

Judge and experts of this run are **simulated** (phantom world): its labels measure the pipeline, not medicine."""


def finish(run: Run, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Writes everything above from the run's `solution_rows`; gives the summary that stands in run.json."""
    _write_dataset(run, rows)
    dropped = [*_dropped_questions(run), *_dropped_solutions(rows)]
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in dropped)
    (run.directory / "dropped.jsonl").write_text(lines, encoding="utf-8")
    kept = [row for row in rows if is_kept(row)]
    reports = {name: _export(run, name, kept) for name in run.recipe.exports}
    summary = {**identity(run), **_summary(run, rows, kept, dropped, reports)}
    write_json(run.directory / "run.json", summary)
    return summary


def is_kept(row: dict[str, Any]) -> bool:
    """Whether a row is exported: it holds a solution, and `select` (where it ran) has kept it."""
    return row["solution"] is not None and bool(row.get("keep", True))


def solution_rows(run: Run) -> Iterator[dict[str, Any]]:
    """Rows of the whole table in order, shard by shard; a question without a solution has `solution` null."""
    columns = run.columns
    for number in range(run.shard_count()):
        batch = run.table(number, columns)
        for values in zip(*(batch[name] for name in columns), strict=True):
            yield dict(zip(columns, values, strict=True))


def _write_dataset(run: Run, rows: list[dict[str, Any]]) -> None:
    folder = run.directory / "dataset" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    solved = [row for row in rows if row["solution"] is not None]
    table = {name: [row[name] for row in solved] for name in run.columns}
    write_parquet(folder / "train-00000.parquet", table, features(run.columns))
    simulated = any("simulated" in name for name in run.recipe.judge.judges()) and "judge" in run.recipe.stages
    card = _CARD.format(
        name=run.recipe.name,
        recipe=run.recipe.fingerprint(),
        simulated=", simulated" if simulated else "",
        note=_SIMULATED if simulated else "",
    )
    (folder.parent / "README.md").write_text(card, encoding="utf-8")


def _dropped_questions(run: Run) -> Iterator[dict[str, Any]]:
    if "questions" not in run.recipe.stages:
        return
    for number in range(run.shard_count()):
        batch = run.shards.read("questions", number, ("question_status", "question_reason"))
        ids = run.shards.read(SOURCE, number, ("question_id",))["question_id"]
        for name, status, reason in zip(ids, batch["question_status"], batch["question_reason"], strict=True):
            if status in ("dropped", "needs_review"):
                held = "needs_review: " if status == "needs_review" else ""
                yield {"question_id": name, "solution_id": None, "stage": "questions", "reason": held + reason}


def _dropped_solutions(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        named = {"question_id": row["question_id"], "solution_id": row["solution_id"]}
        if row["solution"] is None:
            messages = [f"{error['kind']}: {error['message']}" for error in row["errors"]]
            reason = "; ".join(messages) or "no solution"
            yield {**named, "solution_id": None, "stage": "generate", "reason": f"no_solution: {reason}"}
        elif not row.get("keep", True):
            yield {**named, "stage": "select", "reason": row["drop_reason"]}


def export_file(format: str) -> str:
    """Name of a run's export in that format."""
    return EXPORT_FILES.get(format, f"{format}{open_format(format).extension}")


def _export(run: Run, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    file = run.directory / export_file(name)
    report = write(rows, file, format=name)
    return {"file": file.name, "rows": report.rows, "written": report.written, "losses": dict(report.losses)}


def _summary(
    run: Run,
    rows: list[dict[str, Any]],
    kept: list[dict[str, Any]],
    dropped: list[dict[str, Any]],
    exports: dict[str, Any],
) -> dict[str, Any]:
    questions = sum(run.shards.marker(SOURCE, n)["rows"] for n in range(run.shard_count()))  # type: ignore[index]
    solved = [row for row in rows if row["solution"] is not None]
    reasons = Counter(f"{entry['stage']}: {str(entry['reason']).split(':')[0]}" for entry in dropped)
    return {
        "counts": {
            "questions_in": questions,
            "questions_dropped": sum(entry["stage"] == "questions" for entry in dropped),
            "questions_without_solution": sum(entry["stage"] == "generate" for entry in dropped),
            "questions_out": len({row["question_id"] for row in solved}),
            "solutions": len(solved),
            "solutions_kept": len(kept),
            "steps": sum(len(row["steps"]) for row in solved),
        },
        "drop_reasons": dict(sorted(reasons.items())),
        "errors": dict(sorted(Counter(f"{e['stage']}: {e['kind']}" for r in rows for e in r["errors"]).items())),
        "exports": exports,
        "stages": {str(stage.name): _stage_totals(run, str(stage.name)) for stage in run.stages},
        "money": money_summary(run.directory, run.recipe, sum(len(row["steps"]) for row in solved)),
    }


def _stage_totals(run: Run, stage: str) -> dict[str, Any]:
    markers = [run.shards.marker(stage, number) or {} for number in range(run.shard_count())]
    usage: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    images: set[str] = set()
    for marker in markers:
        spent = dict(marker.get("usage", {}))
        failures.update(spent.pop("failures", {}))
        notes.update(spent.pop("notes", {}))
        images.update(spent.pop("images", {}))
        usage.update(spent)
    return {
        "rows": sum(marker.get("rows", 0) for marker in markers),
        "errors": sum(marker.get("errors", 0) for marker in markers),
        "seconds": round(sum(marker.get("seconds", 0.0) for marker in markers), 2),
        **usage,
        "images": len(images),
        "failures": dict(sorted(failures.items())),
        "notes": dict(sorted(notes.items())),
    }


def has_truth(run: Run) -> bool:
    """Whether the truth of every step is known: only in the phantom world."""
    return run.recipe.source.name == "phantom"
