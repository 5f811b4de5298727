"""The pipeline in Python: equal to the command line on the same rows; stages alone in map, iterable and streamed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict, Image, IterableDataset, load_dataset

import medprm_hf
from medprm_hf.errors import ConfigError, DataError
from medprm_hf.loading import complete_row
from medprm_hf.phantom.questions import question_rows
from medprm_hf.recipe import parse
from medprm_hf.runs.commands import build_run, resume_run
from medprm_hf.runs.pipeline import Run
from medprm_hf.stages.rollout import Rollout

SOLVER, JUDGE = "scripted:tests.stages.scripts:solver", "scripted:tests.stages.scripts:judge"
ROOT = Path(__file__).parents[2]
PLAIN: dict[str, Any] = {
    "name": "small",
    "stages": ["questions", "generate", "rollout", "judge", "merge", "select"],
    "generate": {"backend": SOLVER, "solutions": 2},
    "rollout": {"backend": SOLVER, "k": 4},
    "judge": {"backend": JUDGE},
    "shard_questions": 2,
}
EXPORTS = ("visualprm.jsonl", "steps.jsonl", "medprm.json", "dropped.jsonl")


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"question_id": f"q{i}", "question": f"Follow-up of {i}?", "options": ["none", "CT", "biopsy"], "answer": "B"}
        for i in range(7)
    ]
    found[3]["options"] = ["none", "", "CT"]
    return found


@pytest.fixture
def built(tmp_path: Path) -> Path:
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps({**row, "source": "rows"}) + "\n" for row in rows()))
    build_run(tmp_path / "cli", parse({**PLAIN, "source": {"name": "table", "path": str(file)}}))
    return tmp_path / "cli"


def parquet(run: Path) -> bytes:
    (file,) = (run / "dataset" / "data").iterdir()
    return file.read_bytes()


@pytest.mark.parametrize(
    "given",
    [
        rows,
        lambda: Dataset.from_list(rows()),
        lambda: Dataset.from_list(rows()).to_iterable_dataset(),
        lambda: IterableDataset.from_generator(lambda: iter(rows())),
        lambda: (row for row in rows()),
    ],
    ids=["list", "Dataset", "to_iterable", "IterableDataset", "generator"],
)
def test_the_pipeline_in_python_gives_what_the_command_line_gives(built: Path, tmp_path: Path, given: Any) -> None:
    table = medprm_hf.pipeline(given(), PLAIN, directory=tmp_path / "python")
    assert parquet(tmp_path / "python") == parquet(built)
    for name in EXPORTS:
        assert (tmp_path / "python" / name).read_bytes() == (built / name).read_bytes()
    loaded = load_dataset(str(built / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    assert table.features == loaded.features and table.to_list() == loaded.to_list()
    assert table["labels"][0] == ["+", "+", "+"]


def test_the_same_call_goes_on_and_does_nothing_twice(tmp_path: Path) -> None:
    from medprm_hf.backends import open_backend

    first = medprm_hf.pipeline(rows(), parse(PLAIN), directory=tmp_path / "run")
    backend = open_backend(SOLVER)
    before, stamp = len(backend.asked), (tmp_path / "run" / "run.json").stat().st_mtime_ns  # type: ignore[attr-defined]
    again = medprm_hf.pipeline(rows(), PLAIN, directory=tmp_path / "run")
    assert again.to_list() == first.to_list() and len(backend.asked) == before  # type: ignore[attr-defined]
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == stamp
    more = [*rows(), {"question_id": "q7", "question": "One more?", "options": ["none", "CT"], "answer": "CT"}]
    assert len(medprm_hf.pipeline(more, PLAIN, directory=tmp_path / "run")) == len(first) + 2
    asked = {request.about["question_id"] for request in backend.asked[before:]}  # type: ignore[attr-defined]
    assert asked == {"q6", "q7"}  # of their shard: the others stay done
    resume_run(tmp_path / "run")
    (tmp_path / "run" / "shards" / "source" / "all.json").unlink()
    with pytest.raises(ConfigError, match="handed over in Python"):
        resume_run(tmp_path / "run")


def test_rows_of_a_generator_are_read_once(tmp_path: Path) -> None:
    recipe = parse({**PLAIN, "source": {"name": "rows"}, "stages": ["questions"]})
    run = Run.open(tmp_path / "run", recipe, (complete_row(row) for row in rows()))
    assert run.read_source() == run.read_source() == 4 and run.build() == 4


def test_images_go_in_as_they_are_stored(tmp_path: Path) -> None:
    given = [{name: row[name] for name in ("question_id", "image", "question", "options", "answer")}
             for row in question_rows("train", 3)]  # fmt: skip
    decoding = Dataset.from_list(given).cast_column("image", Image())
    settings = {**PLAIN, "stages": ["questions", "generate"]}
    plain = medprm_hf.pipeline(given, settings, directory=tmp_path / "plain")
    table = medprm_hf.pipeline(decoding, settings, directory=tmp_path / "decoding")
    assert table["image_sha256"] == plain["image_sha256"] and all(table["image_sha256"])
    assert table[0]["image"].size == (96, 96) or table[0]["image"].size[0] > 0


def test_without_a_directory_the_cache_keeps_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(PLAIN))
    assert len(medprm_hf.pipeline(Dataset.from_list(rows()), file)) == 12
    (run,) = (tmp_path / "medprm-hf").iterdir()
    assert run.name.startswith("small-") and (run / "report.json").is_file()


@pytest.mark.parametrize(
    ("given", "recipe", "error", "says"),
    [
        (DatasetDict({"train": Dataset.from_list(rows())}), PLAIN, DataError, "hand over one"),
        ([{"question": "?", "steps": ["a"]}], PLAIN, DataError, "steps"),
        (["text"], PLAIN, DataError, "row 0 is a str"),
        ([], PLAIN, ConfigError, "gave no questions"),
        (rows(), {**PLAIN, "rolout": {}}, ConfigError, "did you mean rollout"),
        (rows(), 3, ConfigError, "not a int"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, given: Any, recipe: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        medprm_hf.pipeline(given, recipe, directory=tmp_path / "run")


def solutions() -> Dataset:
    """Two solutions without image; what may be null is null."""
    steps = [["A nodule is seen.", "It is solid."], ["A nodule is seen.", "It is calcified."]]
    return Dataset.from_list(
        [
            {"question_id": f"q{i}", "solution_id": f"q{i}/0", "question": "Follow-up?", "answer": "CT",
             "options": ["none", "CT", "biopsy"], "solution": "\n".join(own), "steps": own, "final_answer": "AB"[not i],
             "is_correct": not i}
            for i, own in enumerate(steps)
        ]
    )  # fmt: skip


def test_a_stage_maps_over_a_dataset_an_iterable_one_and_a_stream(tmp_path: Path) -> None:
    stage = Rollout(backend=SOLVER, k=4)
    mapped = solutions().map(stage, batched=True)
    assert mapped["rollout_correct"] == [[4, 4], [4, 0]]
    lazily = solutions().to_iterable_dataset().map(stage, batched=True)
    assert [row["rollout_correct"] for row in lazily] == [[4, 4], [4, 0]]
    solutions().to_parquet(tmp_path / "solutions.parquet")
    streamed = load_dataset("parquet", data_files=str(tmp_path / "*.parquet"), split="train", streaming=True)
    found = list(streamed.map(stage, batched=True, batch_size=1))
    assert [row["rollout_correct"] for row in found] == [[4, 4], [4, 0]]
    assert found[0] == mapped[0]


def test_fingerprints_are_the_same_in_every_process() -> None:
    code = (
        "from datasets.fingerprint import Hasher\n"
        "from medprm_hf import *\n"
        "from medprm_hf.recipe import parse\nfrom medprm_hf.stages import stage_of\n"
        "names = 'questions generate rollout retrieve judge calibrate merge review select'.split()\n"
        "print(*(Hasher.hash(stage_of(parse({}), name)) for name in names))\n"
        "print(Hasher.hash(Rollout(backend='phantom:policy', k=16)), Hasher.hash(Rollout(k=8)))\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert said[0] == said[1]
    assert len(set(said[0].split())) == 11
