"""Rows to evaluate and the scores that belong to them: from a file of scores, from the rows themselves, from a model.

    loaded = load("processbench/gsm8k.json")       Loaded(rows=[…], problems=[…], format="processbench")
    rows = joined(loaded.rows, read_scores("scores.jsonl"))
    rows[0]["step_scores"]  ->  [0.91, 0.2, None]

A file of scores is what `medprm score` writes, or any JSON or JSON lines with `solution_id` and `step_scores`. A line
with `content` belongs to the solution with that content alone: scores of a changed file are not taken for this one's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.evaluation.table import Row, name_of
from medprm_hf.formats import Problem, detect
from medprm_hf.formats.commands import checked
from medprm_hf.formats.records import scan
from medprm_hf.ids import bytes_hash, stable_seed
from medprm_hf.scoring.files import content_of

OWN = ("step_scores", "step_reasons", "step_expectations")
"""Columns that are joined to a row."""
ScoreRows = Callable[[list[dict[str, Any]]], Sequence[Any]]
"""`Scorer.score_rows`: one StepScores a row."""


@dataclass
class Loaded:
    """What a file holds."""

    rows: list[dict[str, Any]]
    """Solutions with steps."""
    problems: list[Problem] = field(default_factory=list)
    format: str = ""
    without_steps: int = 0


def load(path: Path, format_id: str | None = None, limit: int | None = None) -> Loaded:
    """Solutions of any file that `convert` reads, of a run or a dataset; what is wrong with it is kept as problems.

    Rows with `keep` false are left out. Raises ConfigError without the file, DataError where it holds no solution.
    """
    if not path.exists():
        raise ConfigError(f"there is no {path}: name a file of solutions, a dataset's folder or a run with --data")
    found = Loaded([], format=format_id or detect(path))
    for item in checked(path, found.format, keep=False):
        if isinstance(item, Problem):
            found.problems.append(item)
        elif not item.get("steps"):
            found.without_steps += 1
        elif item.get("keep") is not False:
            found.rows.append(item)
            if limit is not None and len(found.rows) >= limit:
                break
    if not found.rows:
        raise DataError(
            f"{path} ({found.format}) holds no solution with steps: {found.without_steps} rows have none, "
            f"{len(found.problems)} cannot be read{_first(found.problems)}"
        )
    return found


def _first(problems: Sequence[Problem]) -> str:
    return f" (first: {problems[0]})" if problems else ""


def read_scores(path: Path) -> dict[str, dict[str, Any]]:
    """Lines of a file of scores by solution, and by content where they have it."""
    if not path.is_file():
        raise ConfigError(f"there is no file of scores {path}: `medprm score` writes one")
    found: dict[str, dict[str, Any]] = {}
    for item in scan(path):
        if isinstance(item, Problem):
            raise DataError(f"{path}: {item}")
        record = item.record
        if not isinstance(record, dict) or "step_scores" not in record:
            raise DataError(f"{path}: row {item.line} has no step_scores: give a file that `medprm score` wrote")
        names = [f"content {record['content']}"] if record.get("content") else []
        names += [f"solution {record['solution_id']}"] if record.get("solution_id") else []
        if not names:
            raise DataError(f"{path}: row {item.line} has neither solution_id nor content: it belongs to no solution")
        for name in names:
            found.setdefault(name, record)
    return found


def joined(rows: Sequence[Row], scores: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the scores that belong to them; those without keep none (evaluation refuses a mixture)."""
    return [{**_bare(row), **_own(row, scores)} for row in rows]


def _bare(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in OWN}


def _own(row: Row, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    content = content_of(row)
    record = scores.get(f"content {content}") or scores.get(f"solution {row.get('solution_id')}")
    if record is None:
        return {}
    if record.get("content", content) != content:
        raise DataError(
            f"the scores of {name_of(row)} are about another question or other steps: score this file again"
        )
    return {name: record[name] for name in OWN if record.get(name) is not None}


def scored(rows: Sequence[Row], score_rows: ScoreRows) -> list[dict[str, Any]]:
    """The rows with what a model says of them."""
    found = score_rows([dict(row) for row in rows])
    lines = [one.as_dict() if hasattr(one, "as_dict") else {"step_scores": list(one)} for one in found]
    return [
        {**_bare(row), **{name: line[name] for name in OWN if line.get(name) is not None}}
        for row, line in zip(rows, lines, strict=True)
    ]


# --- what is taken away from the model ----------------------------------------------------------------------


def without_images(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as text alone."""
    return [{**row, "image": None, "image_sha256": None} for row in rows]


def shuffled_images(rows: Sequence[Row], seed: int = 0) -> list[dict[str, Any]]:
    """The rows with the image of another question: each image goes to the next one's rows, in a drawn order.

    Raises DataError where there are fewer than two images.
    """
    named: dict[str, Any] = {}
    for row in rows:
        if row.get("image"):
            named.setdefault(_image_name(row), row["image"])
    if len(named) < 2:
        raise DataError(f"{len(named)} different images: two at least are needed to shuffle them")
    order = sorted(named, key=lambda name: stable_seed(seed, "shuffle", name))
    following = dict(zip(order, [*order[1:], order[0]], strict=True))
    found = []
    for row in rows:
        other = following[_image_name(row)] if row.get("image") else None
        found.append({**row, "image": named[other], "image_sha256": other} if other else dict(row))
    return found


def _image_name(row: Row) -> str:
    if row.get("image_sha256"):
        return str(row["image_sha256"])
    image = row["image"]
    return bytes_hash(image["bytes"]) if image.get("bytes") else str(image.get("path"))


def without_evidence(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows without passages and similar cases."""
    return [{**row, "evidence": None, "similar_cases": None} for row in rows]


def ablations(rows: Sequence[Row], what: Sequence[str], seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """By name, the rows with something taken away: `image` gives two (off, shuffled), `evidence` one.

    Raises ConfigError where the rows have nothing of the kind.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    if "image" in what:
        if not any(row.get("image") for row in rows):
            raise ConfigError("--ablate image: no row has an image")
        found["images off"] = without_images(rows)
        found["images shuffled"] = shuffled_images(rows, seed)
    if "evidence" in what:
        if not any(row.get("evidence") or row.get("similar_cases") for row in rows):
            raise ConfigError("--ablate evidence: no row has evidence or similar cases")
        found["evidence off"] = without_evidence(rows)
    return found


def mean_change(rows: Sequence[Row], others: Sequence[Row]) -> float | None:
    """Mean |difference| of the scores of two sets, 0..1, over steps that both scored; None where there is none."""
    gaps = [
        abs(a - b)
        for row, other in zip(rows, others, strict=True)
        for a, b in zip(row.get("step_scores") or (), other.get("step_scores") or (), strict=False)
        if a is not None and b is not None
    ]
    return sum(gaps) / len(gaps) if gaps else None
