"""What `medprm diff` finds between two runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from medprm_hf.cli import app
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs.commands import build_run
from medprm_hf.runs.diff import changed_labels, changed_settings, compare
from medprm_hf.runs.pipeline import Run


def row(solution: str, labels: str, **more: Any) -> dict[str, Any]:
    values = {
        "question_id": solution.partition("/")[0],
        "solution_id": solution,
        "steps": [f"step {n}" for n in range(len(labels))],
        "labels": list(labels),
        "label_method": ["rollout"] * len(labels),
        "label_p": [0.5] * len(labels),
        "keep": True,
    }
    return {**values, **more}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"x": 1}, {"x": 1}, {}),
        ({"rollout": {"k": 8}}, {"rollout": {"k": 16}}, {"rollout.k": (8, 16)}),
        ({"s": {"n": 1}}, {"s": {"path": "q"}}, {"s.n": (1, "(not there)"), "s.path": ("(not there)", "q")}),
        ({"p": None}, {"p": {"a:b": {"i": 1}}}, {"p": (None, "(not there)"), "p.a:b.i": ("(not there)", 1)}),
    ],
)
def test_settings(a: dict[str, Any], b: dict[str, Any], expected: dict[str, Any]) -> None:
    assert changed_settings(a, b) == expected


def test_labels_that_changed_are_counted_by_old_new_and_method() -> None:
    a = [row("q1/0", "++-"), row("q1/1", "+?"), row("q2/0", "+"), row("q3/0", "-")]
    b = [
        row("q1/0", "+--", label_method=["rollout", "review", "rollout"]),
        row("q4/0", "+"),
        row("q1/1", "+-", keep=False),
        row("q3/0", "-", steps=["other words"]),
    ]
    found = changed_labels(iter(a), iter(b))
    assert dict(found.changed) == {("+", "+"): 2, ("+", "-"): 1, ("-", "-"): 1, ("?", "-"): 1}
    assert dict(found.methods) == {("rollout", "review"): 1, ("rollout", "rollout"): 1}
    assert (found.solutions, found.steps, found.rewritten, found.differ) == (3, 5, 1, 2)
    assert (found.only_a, found.only_b, found.questions_only_a, found.questions_only_b) == (1, 1, 1, 1)
    assert found.kept[True, False] == 1
    assert [(e.solution_id, e.step, e.a, e.b) for e in found.examples] == [("q1/0", 2, "+", "-"), ("q1/1", 2, "?", "-")]


@given(st.permutations(range(6)), st.integers(0, 6))
def test_order_and_lengths_do_not_matter(order: list[int], kept: int) -> None:
    rows = [row(f"q{n}/0", "+-0?"[: n % 4 + 1]) for n in range(6)]
    found = changed_labels(iter(rows), iter([rows[n] for n in order[:kept]]))
    assert (found.solutions, found.only_a, found.only_b, found.differ) == (kept, 6 - kept, 0, 0)


def test_as_many_examples_as_wished() -> None:
    a, b = ([row(f"q{n}/0", label) for n in range(9)] for label in "+-")
    assert len(changed_labels(iter(a), iter(b), examples=2).examples) == 2


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        {"question_id": f"q{i}", "question": f"Follow-up of {i}?", "options": ["none", "CT", "biopsy"], "answer": "CT"}
        for i in range(4)
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def recipe(table: Path, *settings: str) -> Recipe:
    plain = {
        "name": "compared",
        "source": {"name": "table", "path": str(table)},
        "stages": ["questions", "generate", "rollout", "judge", "merge", "select"],
        "generate": {"backend": "scripted:tests.stages.scripts:solver", "solutions": 2},
        "rollout": {"backend": "scripted:tests.stages.scripts:solver", "k": 4},
        "judge": {"backend": "scripted:tests.stages.scripts:judge"},
        "shard_questions": 2,
    }
    return parse(plain, settings)


def test_two_runs_on_the_command_line(table: Path, tmp_path: Path) -> None:
    build_run(tmp_path / "a", recipe(table))
    build_run(tmp_path / "b", recipe(table, "merge.policy=value", "merge.threshold=0.9"))
    said = CliRunner().invoke(app, ["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert found["settings"]["merge.policy"] == {"a": "consensus", "b": "value"}
    shards = {stage["stage"]: (stage["same"], stage["other"]) for stage in found["stages"]}
    assert shards["rollout"] == (2, 0) and shards["merge"] == (0, 2)
    assert found["labels"]["solutions"] == 8
    assert sum(entry["steps"] for entry in found["labels"]["changed"]) == found["labels"]["steps"]
    shown = CliRunner().invoke(app, ["diff", str(tmp_path / "a"), str(tmp_path / "b")])
    assert "merge.policy" in shown.output and "another label" in shown.output
    same = CliRunner().invoke(app, ["diff", str(tmp_path / "a"), str(tmp_path / "a")])
    assert "settings: all equal" in same.output and ": 0 have another label" in same.output


def test_labels_of_an_unfinished_run_are_not_compared(table: Path, tmp_path: Path) -> None:
    build_run(tmp_path / "a", recipe(table))
    Run.open(tmp_path / "b", recipe(table))
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.labels is None and "medprm resume" in found.why_not
    assert found.stages[0].only_a == 2
