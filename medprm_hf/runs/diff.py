"""`medprm diff RUN RUN`: which settings differ, what was done again for it, and which labels came out otherwise.

    found = compare(Path("runs/a"), Path("runs/b"))
    found.settings                        {"rollout.k": (8, 16)}
    found.labels.changed["+", "-"]        41 steps that A calls right and B wrong

Solutions meet by their ids, steps by their place; a solution whose words differ is counted as rewritten and its labels
are not compared. Both runs are read shard by shard: held is only what one run has and the other has not yet shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from medprm_hf.runs.finish import solution_rows
from medprm_hf.runs.pipeline import Run, dump_recipe

Row = dict[str, Any]
COMPARED = ("question_id", "solution_id", "steps", "labels", "label_method", "label_p", "keep")
EXAMPLES = 3
"""Steps shown of each kind of change."""
_NONE = "(not there)"


@dataclass
class StageChange:
    """One stage of two runs."""

    stage: str
    same: int = 0
    """Shards with the same fingerprint: the same settings, on the same rows."""
    other: int = 0
    only_a: int = 0
    only_b: int = 0


@dataclass
class Example:
    """One step whose label differs."""

    question_id: str
    solution_id: str
    step: int
    """From 1."""
    text: str
    a: str
    b: str
    method_a: str
    method_b: str
    p_a: float | None
    p_b: float | None


@dataclass
class LabelChanges:
    """What is equal and what is not, over the steps of solutions that both runs hold."""

    solutions: int = 0
    steps: int = 0
    rewritten: int = 0
    """Solutions with the same id and other steps."""
    only_a: int = 0
    only_b: int = 0
    """Solutions of one run alone."""
    questions_only_a: int = 0
    questions_only_b: int = 0
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Steps by (label in A, label in B), equal ones included."""
    methods: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Steps with another label by (method in A, method in B)."""
    kept: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    """Solutions by whether A and B keep them."""
    examples: list[Example] = field(default_factory=list)

    @property
    def differ(self) -> int:
        """Steps with another label."""
        return sum(count for (a, b), count in self.changed.items() if a != b)


@dataclass
class Difference:
    """All of it; `labels` is None where it cannot be told, with the reason in `why_not`."""

    a: str
    b: str
    settings: dict[str, tuple[Any, Any]]
    stages: list[StageChange]
    labels: LabelChanges | None
    why_not: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        labels = self.labels and {
            **{name: value for name, value in asdict(self.labels).items() if not isinstance(value, Counter)},
            "differ": self.labels.differ,
            "changed": [{"a": a, "b": b, "steps": n} for (a, b), n in self.labels.changed.most_common()],
            "methods": [{"a": a, "b": b, "steps": n} for (a, b), n in self.labels.methods.most_common()],
            "kept": [{"a": a, "b": b, "solutions": n} for (a, b), n in self.labels.kept.most_common()],
        }
        return {
            "a": self.a,
            "b": self.b,
            "settings": {name: {"a": a, "b": b} for name, (a, b) in self.settings.items()},
            "stages": [asdict(stage) for stage in self.stages],
            "labels": labels,
            "why_not": self.why_not,
        }


def compare(a: Path, b: Path, examples: int = EXAMPLES) -> Difference:
    """Compares two runs; StoreError where a directory holds none."""
    one, other = Run.resume(a), Run.resume(b)
    settings = changed_settings(*(yaml.safe_load(dump_recipe(run.recipe)) for run in (one, other)))
    stages = [_stage(one, other, name) for name in _in_order(one.recipe.stages, other.recipe.stages)]
    why_not = next((why for run in (one, other) if (why := _unlike(run))), "")
    labels = None if why_not else changed_labels(_rows(one), _rows(other), examples)
    return Difference(str(a), str(b), settings, stages, labels, why_not)


def changed_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings by dotted name, with the value in each; what a recipe lacks is `(not there)`."""
    one, other = dict(_flat(a)), dict(_flat(b))
    names = dict.fromkeys((*one, *other))
    pairs = {name: (one.get(name, _NONE), other.get(name, _NONE)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def changed_labels(a: Iterator[Row], b: Iterator[Row], examples: int = EXAMPLES) -> LabelChanges:
    """Compares the labels of two streams of solution rows, in whatever order they come."""
    found, waiting = LabelChanges(), (dict[str, Row](), dict[str, Row]())
    questions: Counter[tuple[str, int]] = Counter()
    for pair in zip_longest(a, b):
        for side, row in enumerate(pair):
            if row is None:
                continue
            questions[row["question_id"], side] = 1
            name, there = row["solution_id"], waiting[1 - side]
            if name in there:
                met = there.pop(name)
                _compare(found, met if side else row, row if side else met, examples)
            else:
                waiting[side][name] = row
    found.only_a, found.only_b = map(len, waiting)
    asked = [{question for question, its in questions if its == side} for side in (0, 1)]
    found.questions_only_a, found.questions_only_b = len(asked[0] - asked[1]), len(asked[1] - asked[0])
    return found


def _compare(found: LabelChanges, a: Row, b: Row, examples: int) -> None:
    """One solution of both runs."""
    found.solutions += 1
    found.kept[a.get("keep", True), b.get("keep", True)] += 1
    if a["steps"] != b["steps"]:
        found.rewritten += 1
        return
    found.steps += len(a["steps"])
    for place, (one, other) in enumerate(zip(a["labels"], b["labels"], strict=True)):
        found.changed[one, other] += 1
        if one == other:
            continue
        methods = a["label_method"][place], b["label_method"][place]
        found.methods[methods] += 1
        if found.changed[one, other] <= examples:
            ids, text = (a["question_id"], a["solution_id"], place + 1), a["steps"][place]
            found.examples.append(Example(*ids, text, one, other, *methods, a["label_p"][place], b["label_p"][place]))


def _rows(run: Run) -> Iterator[Row]:
    """Solutions with what is compared; `keep` where the recipe selects."""
    names = [name for name in COMPARED if name in run.columns]
    return (row for row in solution_rows(run, names) if row["solution_id"] is not None)


def _unlike(run: Run) -> str:
    """Why the labels of a run cannot be compared; empty where they can."""
    if "labels" not in run.columns:
        return f"{run.directory} has no labels: its recipe has no merge stage"
    if not run.finished():
        return f"{run.directory} is not finished: medprm resume {run.directory}"
    return ""


def _stage(a: Run, b: Run, name: str) -> StageChange:
    one, other = a.shards.prints(name), b.shards.prints(name)
    both = one.keys() & other.keys()
    same = sum(one[number] == other[number] for number in both)
    return StageChange(name, same, len(both) - same, len(one) - len(both), len(other) - len(both))


def _in_order(a: tuple[str, ...] | list[str], b: tuple[str, ...] | list[str]) -> list[str]:
    return list(dict.fromkeys((*a, *b)))


def _flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{above}{name}.")
        else:
            yield f"{above}{name}", inner


# What a person sees


def show(found: Difference, console: Console) -> None:
    """Prints settings, stages and labels as tables; says so where nothing differs."""
    if found.settings:
        console.print(_settings(found))
    else:
        console.print("settings: all equal")
    console.print(_stages(found))
    if found.labels is None:
        console.print(f"labels are not compared: {found.why_not}", highlight=False)
        return
    labels = found.labels
    share = f" ({labels.differ / labels.steps:.1%})" if labels.steps else ""
    console.print(
        f"{labels.solutions:,} solutions in both, {labels.steps:,} steps: {labels.differ:,} have another label"
        f"{share}; rewritten {labels.rewritten:,}; in A only {labels.only_a:,} "
        f"(questions {labels.questions_only_a:,}), "
        f"in B only {labels.only_b:,} (questions {labels.questions_only_b:,})",
        highlight=False,
    )
    moved = {pair: count for pair, count in labels.kept.items() if pair[0] != pair[1]}
    if moved:
        console.print(f"kept by A alone {moved.get((True, False), 0):,}, by B alone {moved.get((False, True), 0):,}")
    if labels.differ:
        console.print(_changes(labels))
        console.print(_methods(labels))
        for example in labels.examples:
            console.print(_words(example), markup=False, highlight=False)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _settings(found: Difference) -> Table:
    table = _table("settings that differ", "setting", f"A  {found.a}", f"B  {found.b}")
    for name, values in found.settings.items():
        table.add_row(name, *map(str, values))
    return table


def _stages(found: Difference) -> Table:
    table = _table("shards", "stage", "same", "other", "only A", "only B")
    for stage in found.stages:
        table.add_row(stage.stage, *(str(n) for n in (stage.same, stage.other, stage.only_a, stage.only_b)))
    return table


def _changes(labels: LabelChanges) -> Table:
    """Old labels downwards, new ones across."""
    names = [name for name in "+-0?" if any(name in pair for pair in labels.changed)]
    table = _table("steps by label in A (rows) and B (columns)", "", *names)
    for one in names:
        table.add_row(one, *(f"{labels.changed[one, other]:,}" for other in names))
    return table


def _methods(labels: LabelChanges) -> Table:
    table = _table("steps with another label, by what decided", "A", "B", "steps")
    for (one, other), count in labels.methods.most_common(10):
        table.add_row(one, other, f"{count:,}")
    return table


def _words(example: Example) -> str:
    p = " → ".join("unknown" if value is None else f"{value:.2f}" for value in (example.p_a, example.p_b))
    text = example.text if len(example.text) <= 90 else f"{example.text[:89]}…"
    return f"  {example.a} → {example.b}  P(right) {p}  {example.solution_id} step {example.step}: {text}"
