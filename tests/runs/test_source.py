"""The source as a stream: shards as rows come, a marker at the end, input files by content, ids told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medprm_hf.errors import ConfigError
from medprm_hf.phantom.questions import question_rows
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs.inputs import Inputs, local_paths
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.source import Ids
from medprm_hf.runs.status import show_status
from medprm_hf.stages.questions import Questions

ROWS = [{"question_id": f"q{i}", "question": f"What is shown in {i}?", "answer": "a"} for i in range(7)]


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def recipe(file: Path, **more: Any) -> Recipe:
    return parse(
        {"source": {"name": "table", "path": str(file)}, "stages": ["questions"], "shard_questions": 2, **more}
    )


def opened(file: Path, **more: Any) -> Run:
    return Run.open(file.parent / "run", recipe(file, **more))


def stamps(run: Run, stage: str) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in run.shards.folder(stage).glob("0*.parquet")}


def test_shards_come_as_the_rows_do_and_are_counted_at_the_end(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", ROWS)
    run, seen = opened(tmp_path / "rows.jsonl"), []
    for count in run.source().read():
        seen.append((count, len(run.shards.prints("source")), run.shard_count()))
    assert seen == [(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 4, 0)]
    assert run.shard_count() == 4 and run.source().whole == run.shards.note("source", "all")
    assert list(run.source().read()) == []


def test_rows_are_not_held(tmp_path: Path) -> None:
    """No more rows than a shard are alive while a source is read."""
    alive: set[int] = set()
    most = [0]

    class Watched(dict[str, Any]):
        def __init__(self, *values: Any) -> None:
            super().__init__(*values)
            alive.add(id(self))
            most[0] = max(most[0], len(alive))

        def __del__(self) -> None:
            alive.discard(id(self))

    def rows() -> Iterator[dict[str, Any]]:
        for row in question_rows("train", 40):
            yield Watched({**row, "split": None, "image_notes": []})

    run = Run.open(tmp_path, parse({"source": {"name": "rows"}, "stages": ["questions"], "shard_questions": 4}), rows())
    assert run.read_source() == 10
    assert most[0] <= 10


def test_a_read_that_was_killed_starts_again_and_keeps_what_is_the_same(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", ROWS)
    run = opened(tmp_path / "rows.jsonl")
    reading = run.source().read()
    next(reading), next(reading)
    reading.close()  # as a kill would
    assert run.shard_count() == 0 and run.done(0) == 0
    kept = stamps(run, "source")
    assert set(kept) == {"00000.parquet", "00001.parquet"}
    run.build()
    assert kept.items() <= stamps(run, "source").items()
    assert run.finished() and run.shard_count() == 4


def test_a_changed_input_redoes_the_shards_of_changed_rows_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from medprm_hf.runs.commands import console

    write(tmp_path / "rows.jsonl", ROWS)
    file = tmp_path / "rows.jsonl"
    opened(file).build()
    before = stamps(opened(file), "questions")
    assert opened(file).build() == 0
    about = file.stat()
    file.write_text(file.read_text().replace("shown in 3?", "shown at 3?"))  # of the same size
    assert file.stat().st_size == about.st_size
    run = opened(file)
    assert run.source().changed() == [str(file)]
    show_status(run.directory, console)
    assert "changed since it was read" in capsys.readouterr().out
    assert run.build() == 1
    after = stamps(run, "questions")
    assert {name for name in after if after[name] != before[name]} == {"00001.parquet"}
    assert run.shards.read("source", 1, ("question",))["question"] == ["What is shown in 2?", "What is shown at 3?"]


def test_a_touched_input_redoes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", ROWS)
    opened(tmp_path / "rows.jsonl").build()
    write(tmp_path / "rows.jsonl", ROWS)  # another time and inode, the same content
    run = opened(tmp_path / "rows.jsonl")
    assert run.source().fresh() and run.build() == 0


def test_fewer_and_more_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    write(file, ROWS)
    opened(file).build()
    write(file, ROWS[:3])
    run = opened(file)
    assert run.build() == 1 and run.shard_count() == 2
    assert [row["question_id"] for row in _rows(run)] == ["q0", "q1", "q2"]
    write(file, [*ROWS, {"question_id": "q7", "question": "More?", "answer": "a"}])
    assert opened(file).build() == 2
    assert len(list(_rows(opened(file)))) == 8


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    from medprm_hf.runs.finish import solution_rows

    return solution_rows(run, ("question_id",))


def test_what_is_learnt_from_the_whole_run_changes_other_shards_too(tmp_path: Path) -> None:
    """A question that now repeats one of another shard is dropped there, though its own row is the same."""
    file = tmp_path / "rows.jsonl"
    write(file, ROWS)
    assert opened(file).build() == 4
    twin = {**ROWS[0], "question": ROWS[6]["question"]}
    write(file, [twin, *ROWS[1:]])
    assert opened(file).build() == 4  # what belongs together has changed, so every shard is looked at again
    run = opened(file)
    assert run.shards.read("questions", 3, ("question_status",))["question_status"] == ["dropped"]


def test_images_beside_the_table_count_too(tmp_path: Path) -> None:
    picture = tmp_path / "scan.png"
    Image.new("L", (16, 16), 10).save(picture)
    write(tmp_path / "rows.jsonl", [{**row, "image": "scan.png"} for row in ROWS[:2]] + ROWS[2:])
    opened(tmp_path / "rows.jsonl").build()
    Image.new("L", (16, 16), 200).save(picture)
    run = opened(tmp_path / "rows.jsonl")
    assert run.source().changed() == [str(picture)]
    assert run.build() == 1
    picture.unlink()
    assert opened(tmp_path / "rows.jsonl").build() == 0  # what was read of it is kept


def test_a_run_goes_on_where_its_inputs_are_not(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    write(file, ROWS)
    opened(file).build()
    file.unlink()
    assert opened(file).build() == 0


def test_a_folder_counts_by_its_names_and_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    inputs = Inputs(tmp_path / "inputs.jsonl")
    with inputs.writing() as note:
        for path in local_paths({"path": str(folder), "deep": [{"none": "nowhere/at/all", "count": 3}]}):
            note(path)
    assert [entry["path"] for entry in inputs.entries()] == [str(folder), str(folder / "a.png")]
    assert inputs.changed() == []
    (folder / "b.png").write_bytes(b"b")
    assert inputs.changed() == [str(folder)]


@pytest.mark.parametrize("place", [1, 2, 6])
def test_an_id_that_comes_twice_is_refused_wherever_it_is(tmp_path: Path, place: int) -> None:
    rows = [dict(row) for row in ROWS]
    rows[place]["question_id"] = "q0"
    write(tmp_path / "rows.jsonl", rows)
    with pytest.raises(ConfigError, match="question_id 'q0' twice"):
        opened(tmp_path / "rows.jsonl").build()
    assert opened(tmp_path / "rows.jsonl").shard_count() == 0


@given(st.lists(st.lists(st.integers(0, 400), max_size=20), max_size=30))
def test_ids_are_told_apart_as_a_set_would(pieces: list[list[int]]) -> None:
    ids, seen = Ids(), set[int]()
    for piece in pieces:
        names = [f"q{n}" for n in piece]
        if len(seen | set(piece)) == len(seen) + len(piece):
            ids.add(names)
            seen |= set(piece)
        else:
            with pytest.raises(ConfigError):
                ids.add(names)


def test_a_lost_or_broken_shard_is_told_or_made_again(tmp_path: Path) -> None:
    from medprm_hf.errors import StoreError

    write(tmp_path / "rows.jsonl", ROWS)
    run = opened(tmp_path / "rows.jsonl")
    run.build()
    run.shards.file("source", 2).unlink()
    assert opened(tmp_path / "rows.jsonl").build() == 0  # read again, the same
    run.shards.file("questions", 1).write_bytes(b"PAR1 not really")
    with pytest.raises(StoreError, match="delete it, then"):
        opened(tmp_path / "rows.jsonl").table(1, ("question_status",))
    run.shards.file("questions", 1).with_suffix(".json").write_text("")  # what a power cut may leave
    assert opened(tmp_path / "rows.jsonl").build() == 1


def test_one_shard_can_be_done_alone(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", ROWS)
    run = opened(tmp_path / "rows.jsonl")
    run.read_source()
    stage = run.taught(0)
    assert isinstance(stage, Questions) and stage.learnt
    marker = run.do_shard(0, 2, stage)
    assert marker["rows"] == 2 and marker["fingerprint"] == run.fingerprint(0, 2)
    assert run.todo(0) == [0, 1, 3] and run.done(0) == 1
