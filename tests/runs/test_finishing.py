"""What a run leaves: files of bounded size and the same bytes, a seal that spares a second writing, clear refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from medprm_hf.errors import StoreError
from medprm_hf.phantom.questions import question_rows
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs import dataset, status
from medprm_hf.runs.commands import build_run, console, report_run, resume_run
from medprm_hf.runs.dataset import cell, dataset_rows, groups, write_files
from medprm_hf.runs.finish import solution_rows
from medprm_hf.runs.lock import LOCK
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.seal import SEAL
from medprm_hf.runs.shards import schema_of, table_of
from medprm_hf.schema import SCHEMA_KEY, SCHEMA_VERSION

SOLVER = "scripted:tests.stages.scripts:solver"
ROOT = Path(__file__).parents[2]
PLAIN: dict[str, Any] = {
    "name": "small",
    "stages": ["questions", "generate", "rollout", "judge", "merge", "select"],
    "generate": {"backend": SOLVER, "solutions": 2},
    "rollout": {"backend": SOLVER, "k": 4},
    "judge": {"backend": "scripted:tests.stages.scripts:judge"},
    "shard_questions": 2,
}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    rows = [
        {"question_id": f"q{i}", "question": f"Follow-up of {i}?", "options": ["none", "CT", "biopsy"], "answer": "CT"}
        for i in range(7)
    ]
    rows[3]["options"] = ["none", "", "CT"]
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return parse({**PLAIN, "source": {"name": "table", "path": str(file)}})


# --- files of bounded size -----------------------------------------------------------------------------------


def tables(sizes: list[int]) -> list[pa.Table]:
    """Tables of so many rows, numbered through."""
    found, at = [], 0
    for size in sizes:
        found.append(pa.table({"n": pa.array(range(at, at + size), pa.int64()), "x": ["x" * 100] * size}))
        at += size
    return found


@pytest.mark.parametrize("sizes", [[], [0], [1], [999, 1, 1], [2500], [40] * 60, [0, 3, 0, 1500]])
def test_groups_hold_the_same_rows_however_they_came(sizes: list[int]) -> None:
    found = list(groups(tables(sizes)))
    assert [n for table in found for n in table["n"].to_pylist()] == list(range(sum(sizes)))
    assert [table.num_rows for table in found[:-1]] == [1000] * (len(found) - 1)


def test_large_rows_make_small_groups_and_new_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "GROUP_BYTES", 2_000)
    monkeypatch.setattr(dataset, "FILE_BYTES", 9_000)
    parts = tables([10] * 20)
    assert write_files(tmp_path / "data", parts, parts[0].schema) == 200
    files = sorted((tmp_path / "data").iterdir())
    count = len(files)
    assert count == 3 and [file.name for file in files] == [f"train-{i:05d}-of-{count:05d}.parquet" for i in range(3)]
    assert [row["n"] for row in dataset_rows(tmp_path)] == list(range(200))
    assert [cell(tmp_path, place, "n") for place in (0, 77, 78, 199)] == [0, 77, 78, 199]
    assert max(pq.ParquetFile(files[0]).metadata.row_group(i).num_rows for i in range(2)) <= 20
    before = [file.read_bytes() for file in files]
    write_files(tmp_path / "data", tables([10] * 20), parts[0].schema)
    assert [file.read_bytes() for file in files] == before
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_an_image_that_solutions_share_is_stored_once(tmp_path: Path) -> None:
    image = next(iter(question_rows("train", 1)))["image"] | {"bytes": os.urandom(50_000)}
    table = table_of({"question_id": ["q"] * 16, "image": [image] * 16})
    write_files(tmp_path / "data", [table], schema_of(("question_id", "image")))
    assert sum(file.stat().st_size for file in (tmp_path / "data").iterdir()) < 2 * 50_000


def test_the_dataset_carries_its_version_and_loads(recipe: Recipe, tmp_path: Path) -> None:
    build_run(tmp_path / "run", recipe)
    (file,) = (tmp_path / "run" / "dataset" / "data").iterdir()
    assert pq.read_schema(file).metadata[SCHEMA_KEY] == str(SCHEMA_VERSION).encode()
    assert f"medprm_schema_version: {SCHEMA_VERSION}\n" in (tmp_path / "run" / "dataset" / "README.md").read_text()
    table = load_dataset(str(tmp_path / "run" / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    streamed = load_dataset(
        str(tmp_path / "run" / "dataset"), split="train", streaming=True, cache_dir=str(tmp_path / "stream")
    )
    rows = [row for row in solution_rows(Run.resume(tmp_path / "run")) if row["solution"] is not None]
    assert table.to_list() == rows == list(dataset_rows(tmp_path / "run" / "dataset"))
    assert list(streamed) == table.to_list()


def test_a_run_that_was_built_again_loads_as_it_is_now(recipe: Recipe, tmp_path: Path) -> None:
    for k in (4, 2):
        rollout = type(recipe.rollout)(backend=SOLVER, k=k)
        build_run(tmp_path / "run", recipe.model_copy(update={"rollout": rollout}))
        for streaming in (False, True):  # one cache: what was loaded before must not come back
            table = load_dataset(
                str(tmp_path / "run" / "dataset"), split="train", streaming=streaming, cache_dir=str(tmp_path / "cache")
            )
            assert {total for row in table for total in row["rollout_total"]} == {k}


def test_questions_alone_make_a_dataset_too(recipe: Recipe, tmp_path: Path) -> None:
    only = recipe.model_copy(update={"stages": ("questions",)})
    report = build_run(tmp_path / "run", only)
    assert report["counts"]["questions_in"] == 7 and report["counts"]["solutions"] == 0
    table = load_dataset(str(tmp_path / "run" / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(table) == 7 and table["question_status"].count("dropped") == 1


# --- the seal ------------------------------------------------------------------------------------------------


def written(run: Path) -> dict[str, int]:
    names = ("run.json", "report.json", "steps.jsonl", "dropped.jsonl")
    return {name: (run / name).stat().st_mtime_ns for name in names}


def test_a_finished_run_is_not_written_twice(recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first, before = build_run(run, recipe), written(run)
    assert resume_run(run) == first and written(run) == before
    assert report_run(run)["counts"] == first["counts"]
    again = written(run)
    assert all(again[name] > before[name] for name in before)
    (run / "steps.jsonl").unlink()
    resume_run(run)
    assert (run / "steps.jsonl").is_file()
    marker = run / "shards" / "merge" / "00001.json"
    marker.unlink()
    before = written(run)
    resume_run(run)
    assert all(written(run)[name] > before[name] for name in before)
    assert json.loads((run / SEAL).read_text())["files"]


def test_a_changed_export_list_is_written(recipe: Recipe, tmp_path: Path) -> None:
    build_run(tmp_path / "run", recipe)
    build_run(tmp_path / "run", recipe.model_copy(update={"exports": ("prm800k",)}))
    assert (tmp_path / "run" / "prm800k.jsonl").is_file()


# --- status --------------------------------------------------------------------------------------------------


def test_status_tells_pace_and_reasons_while_another_process_builds(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe.model_copy(update={"rollout": type(recipe.rollout)(backend=SOLVER, k=16)})
    run = Run.open(tmp_path / "run", recipe)
    run.read_source()
    for index in (0, 1):
        stage = run.taught(index)
        for number in range(4):
            run.do_shard(index, number, stage)
    for number in range(2):
        run.do_shard(2, number)
        os.utime(run.shards.file("rollout", number).with_suffix(".json"), (time.time() - 60 + 30 * number,) * 2)
    pace = status.pace_of(run)
    assert pace is not None and (pace.stage, pace.done, pace.total) == ("rollout", 2, 4)
    assert pace.per_minute == pytest.approx(2, rel=0.01) and pace.left == pytest.approx(60, rel=0.01)
    (run.directory / LOCK).write_text("1")  # process 1 is always there
    status.show_status(run.directory, console)
    said = " ".join(capsys.readouterr().out.split())
    assert "rollout: 2 of 4 shards" in said and "process 1 is at work" in said and "go on with" not in said
    assert "rows with errors: rollout: http_500" in said
    (run.directory / LOCK).unlink()
    status.show_status(run.directory, console)
    assert "go on with: medprm resume" in capsys.readouterr().out


def test_status_of_a_source_that_is_being_read(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.open(tmp_path / "run", recipe)
    reading = run.source().read()
    next(reading)
    status.show_status(run.directory, console)
    assert "the source is not read to its end: 1 shards so far" in capsys.readouterr().out
    reading.close()


# --- Ctrl-C --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hears_ctrl_c")
def test_the_first_ctrl_c_lets_what_is_in_flight_end(recipe: Recipe, tmp_path: Path) -> None:
    from medprm_hf.backends import stopping
    from medprm_hf.errors import StoppedError

    said: list[str] = []
    with stopping.stoppable(lambda: said.append("stopping")):
        stopping.check_stop()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert said == ["stopping"]
        with pytest.raises(StoppedError):
            stopping.check_stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    stopping.check_stop()
    thread = threading.Thread(target=lambda: stopping.stoppable(said.clear).__enter__())
    thread.start()
    thread.join()


def test_ctrl_c_in_a_build_says_how_to_go_on_and_the_rest_is_done(recipe: Recipe, tmp_path: Path) -> None:
    slow = {"backend": "scripted:tests.stages.scripts:slow_solver"}
    plain = recipe.model_dump(mode="json") | {"generate": {**slow, "solutions": 2}, "rollout": {**slow, "k": 64}}
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(plain))
    command = [sys.executable, "-m", "medprm_hf.cli", "build", str(file), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    until = time.monotonic() + 120
    while not list((tmp_path / "run").glob("shards/rollout/*.json")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopping" in said and "medprm resume" in said and "Traceback" not in said
    assert not (tmp_path / "run" / LOCK).exists() and not list((tmp_path / "run").rglob("*.tmp"))
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").glob("shards/rollout/*.json")}
    resume_run(tmp_path / "run")
    assert {file: file.stat().st_mtime_ns for file in before} == before


# --- what cannot be written ----------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_told_with_the_way_out(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file, not a directory")
    with pytest.raises(StoreError, match=r"cannot write .*run.*medprm resume"):
        Run.open(tmp_path / "run", recipe)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_run_can_be_looked_at(recipe: Recipe, tmp_path: Path) -> None:
    build_run(tmp_path / "run", recipe)
    (tmp_path / "run").chmod(0o555)
    try:
        status.show_status(tmp_path / "run", console)
        with pytest.raises(StoreError, match="cannot write"):
            resume_run(tmp_path / "run")
    finally:
        (tmp_path / "run").chmod(0o755)
