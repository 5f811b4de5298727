"""Scores of files: lines, resume, torn lines, other models and files, tables, and the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medprm_hf import formats
from medprm_hf.cli import app
from medprm_hf.errors import DataError, StoreError
from medprm_hf.phantom.model import save
from medprm_hf.scoring.files import score_file, summary
from medprm_hf.scoring.scorer import Scorer
from medprm_hf.scoring.settings import LayoutSettings, PRMSettings, save_settings
from tests.scoring.models import rows, scorer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    one = scorer("vision", "chat")
    folder = save(one.reader.model, one.layout.processor, tmp_path_factory.mktemp("prm") / "prm")
    save_settings(folder, PRMSettings(LayoutSettings(system=""), aggregator="mean"))
    return folder


@pytest.fixture(scope="module")
def prm(checkpoint: Path) -> Any:
    return Scorer.open(checkpoint, device="cpu")


@pytest.fixture(scope="module")
def solutions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = [{**row, "solution_id": str(number), "keep": True} for number, row in enumerate(rows((3, 2, 3)))]
    file = tmp_path_factory.mktemp("data") / "solutions.jsonl"
    formats.write(table, file, "raw-json")
    return file


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_a_solution(prm: Any, solutions: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.jsonl"
    assert list(score_file(solutions, out, prm, rows_at_once=2)) == [3, 5, 8]
    found = lines_of(out)
    assert [line["row"] for line in found] == list(range(8))
    expected = prm.score_rows(list(formats.read(solutions)))
    for line, one in zip(found, expected, strict=True):
        assert line["step_scores"] == pytest.approx(one.p_plus, abs=1e-5)
        assert line["score"] == pytest.approx(one.aggregates["mean"], abs=1e-5)
    counted = summary(out)
    assert (counted["solutions"], counted["unknown"]) == (8, {}) and counted["known"] == counted["steps"]


def test_a_killed_run_goes_on(prm: Any, solutions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "scores.jsonl"
    list(score_file(solutions, whole, prm, rows_at_once=2))
    first = whole.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(first[:4]) + first[4][:17])  # torn in the middle of a line
    asked: list[int] = []
    score_rows = prm.score_rows
    monkeypatch.setattr(prm, "score_rows", lambda rows, *rest: asked.append(len(rows)) or score_rows(rows, *rest))
    assert list(score_file(solutions, out, prm, rows_at_once=2))[-1] == 8
    assert sum(asked) == 4
    for mine, other in zip(lines_of(out), lines_of(whole), strict=True):
        assert mine["content"] == other["content"]
        assert mine["step_scores"] == pytest.approx(other["step_scores"], abs=1e-5)
    assert list(score_file(solutions, out, prm)) == [8] and sum(asked) == 4


def test_scores_of_something_else_are_not_gone_on_with(prm: Any, solutions: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.jsonl"
    list(score_file(solutions, out, prm))
    kept = lines_of(out)
    for change, said in (({"model": "other"}, "holds scores of 'other'"), ({"content": "x"}, "another solution")):
        out.write_text("".join(json.dumps({**line, **change}) + "\n" for line in kept))
        with pytest.raises(StoreError, match=said):
            list(score_file(solutions, out, prm))
    list(score_file(solutions, out, prm, fresh=True))
    assert lines_of(out)[0]["model"] == prm.name
    out.write_text("notes\n")
    with pytest.raises(StoreError, match="no file of scores"):
        list(score_file(solutions, out, prm))


def test_parquet_holds_the_rows_and_their_scores(prm: Any, solutions: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.parquet"
    list(score_file(solutions, out, prm))
    assert [file.name for file in tmp_path.iterdir()] == ["scored.parquet"]
    from datasets import load_dataset

    table = load_dataset("parquet", data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert {"question", "steps", "image", "step_scores", "score"} <= set(table.column_names)
    assert [len(row["step_scores"]) for row in table] == [len(row["steps"]) for row in table]


def test_rows_without_an_image_that_can_be_read_say_so(prm: Any, tmp_path: Path) -> None:
    file, out = tmp_path / "solutions.jsonl", tmp_path / "scores.jsonl"
    row = {"question_id": "q", "question": "Q?", "options": [], "image": {"bytes": None, "path": "none.png"}}
    file.write_text(json.dumps({**row, "steps": ["One."], "labels": ["+"], "solution_id": "a"}) + "\n")
    list(score_file(file, out, prm))
    (line,) = lines_of(out)
    assert line["step_scores"] == [None] and line["step_reasons"] == ["image"] and "none.png" in line["message"]


def test_a_file_of_questions_is_refused(prm: Any, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"question_id": "q", "question": "Q?", "options": [], "answer": "A"}) + "\n")
    with pytest.raises(DataError, match="no solution with steps"):
        list(score_file(file, tmp_path / "out.jsonl", prm, format="raw-json"))


def test_command(checkpoint: Path, solutions: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.jsonl"
    said = CliRunner().invoke(app, ["score", str(solutions), "--model", str(checkpoint), "--out", str(out)])
    assert said.exit_code == 0, said.output
    assert "8 solutions" in said.output and len(lines_of(out)) == 8
    bad = CliRunner().invoke(app, ["score", str(tmp_path / "none"), "--model", str(checkpoint)])
    assert bad.exit_code == 1 and "there is no" in str(bad.exception)
