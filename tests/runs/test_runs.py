"""Runs on a scripted model: rows in = rows out + reasons, resume, equal bytes, refusals before the first call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from medprm_hf.backends import open_backend
from medprm_hf.errors import ConfigError, DataError, StoreError
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs.commands import build_run, export_run, remove_run, report_run, resume_run, show_status
from medprm_hf.runs.finish import finish
from medprm_hf.runs.pipeline import Run

SOLVER, JUDGE = "scripted:tests.stages.scripts:solver", "scripted:tests.stages.scripts:judge"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = [
        {"question_id": f"q{i}", "question": f"Follow-up of {i}?", "options": ["none", "CT", "biopsy"], "answer": "CT"}
        for i in range(7)
    ]
    rows[3]["options"] = ["none", "", "CT"]
    rows[5]["image"] = "lost.png"
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def recipe(table: Path, *settings: str) -> Recipe:
    plain = {
        "name": "small",
        "source": {"name": "table", "path": str(table)},
        "stages": ["questions", "generate", "rollout", "judge", "merge", "select"],
        "generate": {"backend": SOLVER, "solutions": 2},
        "rollout": {"backend": SOLVER, "k": 4},
        "judge": {"backend": JUDGE},
        "shard_questions": 2,
    }
    return parse(plain, settings)


def test_rows_in_are_rows_out_plus_reasons(table: Path, tmp_path: Path) -> None:
    report = build_run(tmp_path / "run", recipe(table))
    counts = report["counts"]
    assert counts["questions_in"] == 7
    assert counts["questions_out"] + counts["questions_dropped"] + counts["questions_without_solution"] == 7
    assert counts["questions_dropped"] == 2
    dropped = [json.loads(line) for line in (tmp_path / "run" / "dropped.jsonl").read_text().splitlines()]
    assert {row["question_id"]: row["reason"].split(":")[0] for row in dropped} == {"q3": "options", "q5": "image"}
    assert counts["solutions"] == 10
    rows = load_dataset(str(tmp_path / "run" / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 10
    assert rows[0]["labels"] == ["+", "+", "+"]
    assert rows[0]["rollout_total"] == [4, 4, 4]
    lines = (tmp_path / "run" / "steps.jsonl").read_text().splitlines()
    assert len(lines) == 30
    assert (tmp_path / "run" / "report.html").read_text().count("not for clinical use")


def test_the_same_recipe_gives_the_same_bytes(table: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        build_run(tmp_path / name, recipe(table))
    data = "dataset/data/train-00000-of-00001.parquet"
    for file in (data, "visualprm.jsonl", "steps.jsonl", "medprm.json", "dropped.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_resume_does_only_what_lacks(table: Path, tmp_path: Path) -> None:
    build_run(tmp_path / "run", recipe(table))
    whole = (tmp_path / "run" / "steps.jsonl").read_bytes()
    (tmp_path / "run" / "shards" / "rollout" / "00001.json").unlink()
    backend = open_backend(SOLVER)
    before = len(backend.asked)  # type: ignore[attr-defined]
    resume_run(tmp_path / "run")
    asked = backend.asked[before:]  # type: ignore[attr-defined]
    assert asked and {request.about["question_id"] for request in asked} == {"q2"}
    assert (tmp_path / "run" / "steps.jsonl").read_bytes() == whole
    before = len(backend.asked)  # type: ignore[attr-defined]
    resume_run(tmp_path / "run")
    assert len(backend.asked) == before  # type: ignore[attr-defined]


def test_a_shard_that_learnt_gives_the_same_when_it_is_done_again(table: Path, tmp_path: Path) -> None:
    settings = ("rollout.estimator=first_error", "rollout.backend=scripted:tests.stages.scripts:noisy")
    learning = recipe(table, *settings, "merge.policy=value", "merge.figure=p_right", "merge.threshold=0.5")
    build_run(tmp_path / "run", learning)
    shards, data = tmp_path / "run" / "shards" / "rollout", "dataset/data/train-00000-of-00001.parquet"
    shard, whole = (shards / "00000.parquet").read_bytes(), (tmp_path / "run" / data).read_bytes()
    method = pq.read_table(shards / "00000.parquet")["rollout_method"][0].as_py()
    assert method["estimator"] == "first_error" and json.loads(method["learnt"])
    for file in shards.glob("00000.*"):
        file.unlink()
    report = resume_run(tmp_path / "run")
    assert (shards / "00000.parquet").read_bytes() == shard
    assert (tmp_path / "run" / data).read_bytes() == whole
    assert "?" not in {label for row in pq.read_table(tmp_path / "run" / data)["labels"].to_pylist() for label in row}
    assert report["counts"]["solutions"] == 10


def test_a_changed_recipe_redoes_what_depends_on_it(table: Path, tmp_path: Path) -> None:
    build_run(tmp_path / "run", recipe(table))
    backend = open_backend(SOLVER)
    before = len(backend.asked)  # type: ignore[attr-defined]
    run = Run.open(tmp_path / "run", recipe(table, "merge.policy=value"))
    assert run.build() == 8  # merge and select, four shards each
    assert len(backend.asked) == before  # type: ignore[attr-defined]
    run = Run.open(tmp_path / "run", recipe(table, "rollout.k=2", "merge.policy=value"))
    assert run.build() == 12  # rollout, merge and select; the judge does not read rollouts
    assert finish(run)["counts"]["solutions"] == 10


def test_stop_half_way_and_go_on(table: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "rollout" and done == 2:
            raise Stopped

    run = Run.open(tmp_path / "run", recipe(table))
    with pytest.raises(Stopped):
        run.build(stop)
    with pytest.raises(StoreError, match="not finished"):
        report_run(tmp_path / "run")
    show_status(tmp_path / "run")
    resume_run(tmp_path / "run")
    build_run(tmp_path / "undisturbed", recipe(table))
    for file in ("dataset/data/train-00000-of-00001.parquet", "medprm.json"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "undisturbed" / file).read_bytes()


def test_export_in_one_more_format(table: Path, tmp_path: Path) -> None:
    build_run(tmp_path / "run", recipe(table))
    export_run(tmp_path / "run", "visualprm", tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_text().count("\n") == 10
    with pytest.raises(ConfigError, match="visualprm"):
        export_run(tmp_path / "run", "visualprn", None)


def test_a_second_process_is_refused(table: Path, tmp_path: Path) -> None:
    run = Run.open(tmp_path / "run", recipe(table))
    (run.directory / ".lock").write_text("1")  # process 1 is always there
    with pytest.raises(StoreError, match="worked on by process 1"):
        build_run(tmp_path / "run", recipe(table))
    (run.directory / ".lock").write_text("999999999")  # one that died
    build_run(tmp_path / "run", recipe(table))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("stages=[questions, rollout, merge]", "merge.policy=value"), "rollout reads the column 'solution'"),
        (("stages=[questions, generate, merge, rollout]", "merge.policy=value"), "rollout"),
        (("merge.policy=concensus",), "did you mean consensus"),
        (("rollout.kk=3",), "unknown key rollout.kk; did you mean k"),
        (("rollout.k=0",), "greater than or equal to 1"),
        (("generate.min_steps=9", "generate.max_steps=3"), "generate.min_steps=9 is above generate.max_steps=3"),
        (("merge.low=0.8",), "merge.low=0.8 is not below merge.high=0.7"),
        (("merge.min_rollouts=5",), "rollout.k=4 is below merge.min_rollouts=5"),
        (("stages=[questions, generate, judge, merge, select]",), "leaves it out: add rollout"),
        (("source.pathh=x",), "takes"),
        (("source.name=pubmed",), "did you mean pubmedqa"),
        (("exports=[visualprn]",), "visualprm"),
        (("generate.prompt=bear",), "did you mean bare"),
        (("generate.backend=opanai:gpt-4o",), "did you mean openai"),
        (("rollout.estimator=fixd",), "did you mean fixed"),
        (("nonsense",), "section.key=value"),
        (("name.first=x",), "single value"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_call(
    table: Path, tmp_path: Path, settings: tuple[str, ...], says: str
) -> None:
    backend = open_backend(SOLVER)
    before = len(backend.asked)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError) as error:
        build_run(tmp_path / "run", recipe(table, *settings))
    assert says in str(error.value)
    assert len(backend.asked) == before  # type: ignore[attr-defined]


def test_an_empty_source_and_doubled_ids_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(ConfigError, match="gave no questions"):
        build_run(tmp_path / "run", recipe(empty))
    empty.write_text('{"question_id": "q", "question": "?", "answer": "x"}\n' * 2)
    with pytest.raises(ConfigError, match="twice"):
        build_run(tmp_path / "run2", recipe(empty))
    with pytest.raises(DataError, match="no table at"):
        build_run(tmp_path / "run3", recipe(tmp_path / "lost.jsonl"))


def test_a_directory_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="holds no run"):
        remove_run(tmp_path)
    with pytest.raises(StoreError, match="no recipe"):
        Run.resume(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_shards_hold_only_what_their_stage_adds(table: Path, tmp_path: Path) -> None:
    build_run(tmp_path / "run", recipe(table))
    names = pq.read_schema(tmp_path / "run" / "shards" / "rollout" / "00000.parquet").names
    assert "image" not in names and "steps" not in names and "rollout_total" in names
