"""The folder that is pushed: every config loads with no code, streams, and says what it should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Image, load_dataset

from medprm_hf import formats
from medprm_hf.app.tables import Table
from medprm_hf.errors import ConfigError, DataError, StoreError
from medprm_hf.publishing.configs import CONFIGS, PUBLISHED
from medprm_hf.publishing.opening import open_material
from medprm_hf.publishing.policy import Policy
from medprm_hf.publishing.publish import Wish, publish
from medprm_hf.publishing.tables import Tables
from medprm_hf.schema import SCHEMA_VERSION
from medprm_hf.training.data import parted, read_rows
from tests.hub.fixtures import TestHub
from tests.publishing.tables import picture, reviewed, row, rows, table, wish


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight questions, one solution of q3 (test) and one of q0 (train) verified by a person."""
    at = tmp_path_factory.mktemp("published")
    content = [reviewed(one) if one["solution_id"] in ("q3-s1", "q0-s0") else one for one in rows()]
    publish(table(at, content), None, out=at / "out", wish=wish(at))
    return at / "out"


def load(folder: Path, config: str | None = None, **more: Any) -> Any:
    return load_dataset(str(folder), config, cache_dir=str(folder.parent / "cache"), **more)


def test_load_dataset_gives_the_solutions_with_their_pictures(folder: Path) -> None:
    found = load(folder)
    assert {split: len(part) for split, part in found.items()} == {"train": 6, "development": 4, "test": 6}
    first = found["train"][0]
    assert (first["question_id"], first["labels"], first["image"].size) == ("q1", ["+", "+", "+"], (40, 40))
    assert isinstance(found["train"].features["image"], Image)
    assert tuple(found["train"].features) == PUBLISHED
    assert found["train"][1]["label_state"] == ["merged"] * 3


@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_streams_with_the_same_columns(folder: Path, config: str) -> None:
    split = "test"
    streamed = list(load(folder, config, split=split, streaming=True))
    loaded = load(folder, config, split=split)
    assert len(streamed) == len(loaded) > 0
    assert list(streamed[0]) == list(loaded.features)
    assert {"license"} <= set(loaded.features)


def test_what_the_rows_of_each_config_say(folder: Path) -> None:
    steps = load(folder, "steps", split="development")
    third = steps[5]
    assert (third["step"], third["label"], third["prefix"]) == (
        "Answer: A",
        "-",
        ["A nodule of 5 mm is seen.", "It is calcified."],
    )
    assert (third["rollout_correct"], third["step_index"], third["num_steps"]) == (0, 2, 3)
    assert "image" not in steps.features and len(third["image_sha256"]) == 64 and len(third["image_phash"]) == 16
    question = load(folder, "questions", split="development")[0]
    assert (question["num_solutions"], question["num_right"], question["image"].size) == (2, 1, (40, 40))
    talk = load(folder, "visualprm", split="development")[1]
    assert [turn["value"] for turn in talk["conversations"] if turn["from"] == "gpt"] == ["+", "-", "-"]
    assert "<image>" in talk["conversations"][1]["value"]
    prm = load(folder, "medprm", split="development")[0]["solutions"]
    assert [one["prm_gemini_label"] for one in prm] == [[1, 1, 1], [1, 0, 0]]
    assert prm[0]["prm_processed_solution"].count(" ки") == 3
    stepwise = load(folder, "stepwise", split="development")[1]
    assert (stepwise["labels"], len(stepwise["images"])) == ([True, False, False], 1)


def test_the_benchmark_is_verified_by_people_and_never_in_training(folder: Path) -> None:
    bench = load(folder, "benchmark", split="test")
    assert sorted(bench["solution_id"]) == ["q0-s0", "q3-s1"]
    assert all(set(states) == {"expert"} for states in bench["label_state"])
    questions = {one["question_id"] for one in bench}
    for config in ("solutions", "steps", "questions", "visualprm", "medprm", "stepwise"):
        assert questions.isdisjoint(load(folder, config, split="train")["question_id"]), config
    cases = json.loads((folder / "benchmark" / "cases.json").read_text())
    assert [case["annotation_metadata"]["expert_verified_steps"] for case in cases] == [[0, 1, 2]] * 2
    assert all((folder / "benchmark" / case["image"]["path"]).is_file() for case in cases)
    assert len(list(formats.read(folder / "benchmark" / "cases.json"))) == 2


def test_simulated_experts_make_a_benchmark_only_when_asked_and_named(tmp_path: Path) -> None:
    content = [reviewed(one, "simulated-expert(error=0.02)") for one in rows(4)]
    file = table(tmp_path, content)
    outcome = publish(file, None, out=tmp_path / "a", wish=wish(tmp_path))
    assert outcome.published is not None and "benchmark" not in outcome.published.written
    assert "simulated" in (tmp_path / "a" / "README.md").read_text()
    outcome = publish(file, None, out=tmp_path / "b", wish=wish(tmp_path, policy=Policy(benchmark="simulated")))
    assert outcome.published is not None and outcome.published.written["benchmark"]["test"].rows == 6
    assert (
        "labelled by simulated experts: it measures the pipeline, not medicine"
        in (tmp_path / "b/README.md").read_text()
    )


def test_the_card_counts_what_is_there(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header["license"] == ["cc-by-4.0"]
    assert [config["config_name"] for config in header["configs"]] == list(CONFIGS)
    assert header["configs"][0]["default"] is True
    for said in ("| ours | CC BY 4.0 | 8 | 16 | 8 |", "not for clinical use", "scripted:judge (16 solutions)",
                 "- `expert`: an expert of the run (6 steps)", "6 of people", "Looked after by The testers",
                 "1 questions were moved to `test`"):  # fmt: skip
        assert said in text, said
    assert "None" not in text and "/tmp" not in text
    assert {p.name for p in (folder / "assets").iterdir()} == {
        "labels_by_step.png", "labels_by_modality.png", "label_p.png",
    }  # fmt: skip


def test_an_image_is_stored_once_a_row_group_and_the_schema_is_named(folder: Path, tmp_path: Path) -> None:
    file = next((folder / "data" / "solutions").glob("train-*.parquet"))
    about = pq.read_metadata(file).metadata
    assert json.loads(about[b"medprm"]) == {"schema": SCHEMA_VERSION, "config": "solutions", "version": "0.1.0"}
    big = {"bytes": picture(1, 400), "path": "x.png"}
    many = [row(1, 0, image=big, label_state=["merged"] * 3, merged_labels=["+"] * 3) for _ in range(50)]
    tables = Tables(tmp_path)
    tables.add(CONFIGS["solutions"], "train", many, {})
    assert tables.close()["solutions"]["train"].bytes < 2 * len(big["bytes"]) + 50_000


def test_files_and_row_groups_are_bounded(tmp_path: Path) -> None:
    content = [one | {"label_state": ["merged"] * 3, "merged_labels": one["labels"]} for one in rows(700)]
    tables = Tables(tmp_path, max_bytes=1)
    for start in range(0, 1400, 2):
        tables.add(CONFIGS["steps"], "train", content[start : start + 2], {})
    written = tables.close()["steps"]["train"]
    files = sorted((tmp_path / "data" / "steps").iterdir())
    assert (written.rows, written.files) == (4200, len(files)) and len(files) == 5
    assert [file.name for file in files][:2] == ["train-00000.parquet", "train-00001.parquet"]
    assert max(pq.ParquetFile(file).metadata.row_group(0).num_rows for file in files) == 1000


def test_the_same_rows_give_the_same_bytes_and_what_is_published_can_be_published(folder: Path, tmp_path: Path) -> None:
    outcome = publish(folder, None, out=tmp_path / "again", wish=wish(tmp_path))
    assert outcome.published is not None
    for file in folder.rglob("*.parquet"):
        assert (tmp_path / "again" / file.relative_to(folder)).read_bytes() == file.read_bytes(), file
    assert (tmp_path / "again" / "benchmark" / "cases.json").read_bytes() == (
        folder / "benchmark/cases.json"
    ).read_bytes()


@pytest.mark.parametrize("below", [".", "data", "data/solutions"])
def test_reading_and_training_take_the_solutions_alone(folder: Path, below: str) -> None:
    found = list(formats.read(folder / below))
    assert sorted(one["solution_id"] for one in found) == [f"q{n}-s{i}" for n in range(8) for i in (0, 1)]
    assert [one["solution_id"] for one in read_rows(folder / below)] == [one["solution_id"] for one in found]
    training, development, said = parted(found, 0.2)
    assert ({one["split"] for one in training}, {one["split"] for one in development}) == ({"train"}, {"development"})
    assert said[0] == "left alone: 6 rows of the test split"


def test_explore_fetches_the_solutions_alone(hub: TestHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = hub.repo()
    publish(table(tmp_path, rows(4)), repo, wish=wish(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("medprm_hf.hub.HubRepo", lambda name: repo)
    explored = Table(repo.name)
    assert (explored.index().rows, {file.parent.name for file in explored.files}) == (8, {"solutions"})
    assert not list((tmp_path / "home").rglob("data/steps"))


def test_a_split_that_the_table_does_not_name_is_that_of_its_file(folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "data" / "solutions"
    there.mkdir(parents=True)
    for file in (folder / "data" / "solutions").iterdir():
        pq.write_table(pq.read_table(file).drop(["split"]), there / file.name)
    splits = [one["split"] for one in formats.read(tmp_path)]
    assert {split: splits.count(split) for split in splits} == {"train": 6, "development": 4, "test": 6}
    assert splits == [one["split"] for one in read_rows(tmp_path)]
    pq.write_table(pq.read_table(next(there.glob("test-*"))), tmp_path / "test-00000.parquet")
    assert all("split" not in one for one in formats.read(tmp_path / "test-00000.parquet"))  # no folder of ours


def test_another_schema_version_is_refused_or_completed(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    settings = json.loads((folder / "medprm.json").read_text())
    (copy / "medprm.json").write_text(json.dumps(settings | {"schema": SCHEMA_VERSION + 1}))
    with pytest.raises(DataError, match=rf"has schema {SCHEMA_VERSION + 1}, .* pip install -U"):
        open_material(copy)
    (copy / "medprm.json").write_text(json.dumps(settings | {"schema": 1}))
    (copy / "data/solutions").mkdir(parents=True)
    source = pq.read_table(next((folder / "data/solutions").glob("test-*.parquet")))
    pq.write_table(source.drop(["judge_votes", "flags"]), copy / "data/solutions/test-00000.parquet")
    old = next(open_material(copy).rows())
    assert (old["flags"], old["judge_votes"], old["labels"]) == (None, None, ["+", "+", "+"])


def test_only_the_configs_that_are_asked_for(tmp_path: Path) -> None:
    publish(table(tmp_path, rows(4)), None, out=tmp_path / "out", wish=wish(tmp_path, configs=("visualprm",)))
    assert sorted(path.name for path in (tmp_path / "out/data").iterdir()) == ["solutions", "steps", "visualprm"]
    with pytest.raises(ConfigError, match=r"--config 'visual' .*did you mean visualprm"):
        publish(table(tmp_path, rows(4)), None, out=tmp_path / "b", wish=wish(tmp_path, configs=("visual",)))


def test_a_folder_of_ours_is_written_again(tmp_path: Path) -> None:
    file, made = table(tmp_path, rows(4)), wish(tmp_path)
    publish(file, None, out=tmp_path / "out", wish=made)
    (tmp_path / "out/data/steps/train-00009.parquet").write_bytes(b"old")
    publish(file, None, out=tmp_path / "out", wish=made)
    assert not (tmp_path / "out/data/steps/train-00009.parquet").exists()
    assert len(load(tmp_path / "out")["train"]) == 4


def test_a_folder_that_was_published_again_loads_its_new_rows(tmp_path: Path) -> None:
    """`load_dataset` keeps what it has loaded of a folder by its card's text, which one label does not change."""
    content, made = rows(4), wish(tmp_path)
    publish(table(tmp_path, content), None, out=tmp_path / "out", wish=made)
    before = load(tmp_path / "out", split="test")["labels"]
    assert before == [["+", "+", "+"], ["+", "-", "-"]]
    for one in content:  # as many of each, so that no figure of the card tells
        if one["question_id"] == "q3":
            one["labels"] = ["+", "+", "+"] if one["labels"][1] == "-" else ["+", "-", "-"]
    publish(table(tmp_path, content), None, out=tmp_path / "out", wish=made)
    assert load(tmp_path / "out", split="test")["labels"] == before[::-1]
    assert [one["label"] for one in load(tmp_path / "out", "steps", split="test")] == list("+--+++")


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="holds other things .thesis.tex"):
        publish(table(tmp_path, rows(4)), None, out=tmp_path / "mine", wish=Wish())
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
