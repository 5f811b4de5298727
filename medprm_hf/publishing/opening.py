"""What is to be published, opened: a run, a folder that was published before, a dataset, or any file of solutions.

    material = open_material(Path("runs/demo"))
    material.name, material.facts["run"]["counts"]      →  "demo", {"solutions": 1600, …}
    for row in material.rows(): …                       as often as wanted; kept solutions with steps only

A row holds every canonical column, null where nothing is known. A table of a newer schema is refused; an older one is
completed with nulls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from medprm_hf import formats
from medprm_hf.errors import DataError
from medprm_hf.formats import Problem
from medprm_hf.publishing.merging import Contributed, is_contributed, is_contributed_solution, new_rows, settled
from medprm_hf.publishing.privacy import mapped, public_name
from medprm_hf.schema import COLUMNS, SCHEMA_VERSION, Label

SETTINGS_FILE = "medprm.json"
"""Beside the card of a published dataset: schema version, counts, who may adjudicate."""
SOLUTIONS = "data/solutions"
"""Where a published dataset has the table that everything else follows from."""
_EVERY = 10_000
"""Rows after which whoever watches is told."""
_BLANK = {column.name: None for column in COLUMNS}

Row = dict[str, Any]


@dataclass
class Material:
    """Something that can be published."""

    path: Path
    name: str
    kind: str
    """run, published or file."""
    facts: dict[str, Any]
    """What is known beyond the rows: `run` (run.json), `report` (report.json), `recipe` (recipe.yaml); empty if not."""
    format: str | None = None
    problems: list[Problem] = field(default_factory=list)
    """What was wrong with the file when it was last read."""
    contributed: Contributed = field(default_factory=Contributed)
    """What came in by pull requests."""
    watch: Callable[[int], Any] | None = None
    """Told the number of rows that have passed, every so often."""
    stale: int = 0
    """Contributed labels of steps whose text is not there any more, when it was last read."""

    def rows(self) -> Iterator[Row]:
        """Every kept solution as it is published: canonical, labels final, contributions merged in."""
        self.problems.clear()
        self.stale = 0
        last: list[Row] = []
        for number, row in enumerate(self._canonical(), start=1):
            if self.watch is not None and number % _EVERY == 0:
                self.watch(number)
            if last and last[0]["question_id"] != row["question_id"]:
                yield from self._added(last[0], len(last))
                last = []
            last.append({**row, "image": row["image"] if not last else None})
            yield self._settled(row)
        if last:
            yield from self._added(last[0], len(last))
        for question in self.contributed.questions.values():
            yield from self._added(question, 0)

    def _added(self, question: Row, first: int) -> Iterator[Row]:
        for row in new_rows(question, self.contributed.solutions.get(question["question_id"], []), first):
            yield self._settled(row)

    def _settled(self, row: Row) -> Row:
        out, stale = settled(row, self.contributed.words.get(row["solution_id"], ()))
        self.stale += stale
        return out

    def _canonical(self) -> Iterator[Row]:
        for file in self._files:
            for row in formats.read(file, self.format, problems=self.problems):
                yield from self._as_left(row)

    @cached_property
    def _files(self) -> list[Path]:
        if self.kind != "published":
            return [self.path]
        return sorted((self.path / SOLUTIONS).glob("*.parquet"))

    def _as_left(self, row: Row) -> Iterator[Row]:
        if row.get("keep") is False or not row.get("steps"):
            return
        full = {**_BLANK, **{name: value for name, value in row.items() if name in _BLANK}}
        if "merged_labels" in row:
            restored = as_before(full, row)
            if restored is not None:
                yield restored
            return
        full["labels"] = full["labels"] or [Label.UNKNOWN.value] * len(full["steps"])
        full["options"] = list(full["options"] or [])
        yield full


def open_material(path: Path, format: str | None = None) -> Material:
    """Opens a run, a published folder, a dataset's folder or a file; DataError where there is nothing of these."""
    if not path.exists():
        raise DataError(f"nothing at {path}: name a run, a dataset's folder or a file of solutions")
    settings = read_json(path / SETTINGS_FILE) if path.is_dir() else {}
    if settings.get("kind") == "dataset":
        check_version(settings.get("schema"), str(path))
        return Material(path, settings["name"], "published", {"published": settings, **settings.get("facts", {})})
    if path.is_dir() and (path / "run.json").is_file() and (path / "dataset").is_dir():
        facts = {name: read_json(path / f"{name}.json") for name in ("run", "report")} | {"recipe": _recipe(path)}
        return Material(path, str(facts["run"].get("name") or path.name), "run", facts)
    if path.is_dir() and (path / "shards").is_dir():
        raise DataError(f"the run at {path} is not finished: medprm resume {path}, then publish it")
    name = path.name if path.is_dir() else path.name.split(".")[0]
    return Material(path, name, "file", {}, format)


def check_version(found: Any, where: str) -> None:
    """Refuses a table whose schema this version does not know."""
    if not isinstance(found, int) or found < 1:
        raise DataError(f"{where} names no schema version ({found!r}): publish it again with medprm-hf")
    if found > SCHEMA_VERSION:
        raise DataError(
            f"{where} has schema {found}, this medprm-hf knows up to {SCHEMA_VERSION}: pip install -U medprm-hf"
        )


def as_before(full: Row, published: Row) -> Row | None:
    """A row of the published table as it was before contributions came in; None for a contributed solution."""
    if is_contributed_solution(full):
        return None
    states = published.get("label_state") or ["merged"] * len(full["steps"])
    full["labels"] = published["merged_labels"]
    if full["reviews"] is not None:
        full["reviews"] = [[d for d in step or [] if not is_contributed(d)] for step in full["reviews"]]
        found = full["review_labels"] or [Label.UNKNOWN.value] * len(full["steps"])
        full["review_labels"] = [
            most(given) if state == "adjudicated" else label
            for label, state, given in zip(found, states, full["reviews"], strict=True)
        ]
    return full


def most(decisions: list[dict[str, Any]]) -> str:
    """The label that most decisions give; ? where there is none, or as many say otherwise."""
    labels = [decision["label"] for decision in decisions]
    counted = sorted(((labels.count(label), label) for label in set(labels)), reverse=True)
    if not counted or (len(counted) > 1 and counted[0][0] == counted[1][0]):
        return Label.UNKNOWN.value
    return str(counted[0][1])


def named_models(row: Row) -> Row:
    """The row with addresses of servers and paths taken out of the names of its models."""
    changed = dict(row)
    for column, keys in (("generator", ("model",)), ("rollout_method", ("completer",)), ("judge", ("model", "voters")),
                         ("question_writer", ("model",))):  # fmt: skip
        if row.get(column):
            changed[column] = {
                key: mapped(value, lambda text: public_name(text) or "") if key in keys else value
                for key, value in row[column].items()
            }
    return changed


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _recipe(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load((path / "recipe.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
