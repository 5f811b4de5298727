"""`medprm import`: the question table it writes, what it skips and why, and the Hub's way in by a folder dataset."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medprm_hf.cli import app
from medprm_hf.errors import ConfigError, DataError
from medprm_hf.loading import open_source
from medprm_hf.runs.importing import import_source
from medprm_hf.sources import Record, records
from tests.sources import layouts_images, layouts_questions
from tests.sources.layouts import LAYOUTS
from tests.sources.making import cell, jpg, lines, parquet, png, put, table, zipped

RUN = CliRunner()


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other[name] for name in one)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_the_table_reads_back_as_the_source_gave_it(name: str, suffix: str, tmp_path: Path) -> None:
    options = LAYOUTS[name](tmp_path / "copy" if (tmp_path / "copy").mkdir() is None else tmp_path)
    out = tmp_path / f"questions{suffix}"
    report = import_source(name, options, out)
    given = {row["question_id"]: row for row in open_source(name, **options)}
    read = list(open_source("table", path=str(out)))
    assert len(read) == report.kept and report.kept + report.reasons.total() == len(given)
    assert [row for row in read if not same(row, given[row["question_id"]])] == []
    assert not list(tmp_path.glob(".*partial"))


def test_the_parquet_is_a_dataset(tmp_path: Path) -> None:
    from datasets import load_dataset

    options = LAYOUTS["vqa_rad"](tmp_path / "copy")
    import_source("vqa_rad", options, tmp_path / "table" / "questions.parquet")
    found = load_dataset(str(tmp_path / "table"), split="train", cache_dir=str(tmp_path / "cache"))
    assert found.num_rows == 3 and found[0]["image"].size == (12, 10) and found[0]["options"] == ["yes", "no"]


# ── bad rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_bad_rows_are_reasons(tmp_path: Path) -> None:
    choices = {"Choice A": "A:one", "Choice B": "B:two", "Choice C": "C:three", "Choice D": "D:four"}
    base = {"Figure_path": "a.jpg", "Question": "Which?", "Anwser": "two", **choices, "Answer_label": "B"}
    bad = [
        base,
        {**base, "Figure_path": "lost.jpg"},
        {**base, "Question": " "},
        {**base, "Anwser": "five", "Answer_label": ""},
        {**base, "Anwser": "one", "Answer_label": "B"},
        {**base, "Choice D": "D:one"},
        {**base, "Figure_path": "../../secret.jpg"},
        {**base, "Figure_path": "broken.jpg"},
        {**base, "Anwser": "", "Answer_label": ""},
    ]
    table(tmp_path / "train.csv", bad)
    put(tmp_path / "images" / "a.jpg", jpg())
    put(tmp_path / "images" / "broken.jpg", jpg()[:60])
    report = import_source("pmc_vqa", {"path": str(tmp_path), "version": 1}, tmp_path / "q.parquet")
    assert report.kept == 3 and report.without_answer == 1 and report.without_question == 1
    told = [json.loads(line) for line in (tmp_path / "q.skipped.jsonl").read_text().splitlines()]
    assert [one["row"] for one in told] == [1, 3, 4, 5, 6, 7]
    said = [one["reason"] for one in told]
    assert "not in the copy" in said[0] and "not in the copy" in said[4] and "cannot be decoded" in said[5]
    assert (
        said[1] == "answer: 'five' is none of the 4 options" and said[2] == "answer: 'B / one' is none of the 4 options"
    )
    assert "doubled" in said[3]
    assert report.reasons["answer: none of the options"] == 2
    assert any("skipped 6" in line for line in report.lines())


def test_a_name_twice_is_a_reason(tmp_path: Path) -> None:
    put(tmp_path / "mine.jsonl", "\n".join(json.dumps({"question_id": "a", "question": q}) for q in ("One?", "Two?")))
    report = import_source("table", {"path": str(tmp_path / "mine.jsonl")}, tmp_path / "q.jsonl")
    assert report.kept == 1 and "duplicate" in next(iter(report.reasons))


def test_an_image_that_is_null_is_no_text_question(tmp_path: Path) -> None:
    rows = [{"image": cell(1), "question": "a?", "answer": "yes"}, {"image": None, "question": "b?", "answer": "no"}]
    parquet(tmp_path / "data" / "train-00000-of-00001.parquet", rows, image=True)
    report = import_source("pathvqa", {"path": str(tmp_path)}, tmp_path / "q.parquet")
    assert report.kept == 1 and "image is empty" in next(iter(report.reasons))


TABLELESS = ("images", "nifti_folder", "dicom_folder", "dermnet", "lits", "pneumoniamnist")


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in TABLELESS])
def test_a_null_in_any_column_is_never_a_crash(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column of each record is null once: a row less or a row with less, or a message of ours."""
    options = LAYOUTS[name](tmp_path)
    seen, emptied = set[str](), [""]

    def spoiled(*given: Any, **more: Any) -> Any:
        for record in records(*given, **more):
            seen.update(record.value)
            value = copy.deepcopy(record.value)
            if emptied[0] in value:
                value[emptied[0]] = None
            yield Record(value, record.split, record.number, record.where, record.key)

    import medprm_hf.sources as shared

    monkeypatch.setattr(shared, "records", spoiled)
    try:
        list(open_source(name, **options))
    except DataError:
        pytest.fail("the layout itself is refused")
    for emptied[0] in sorted(seen):
        try:
            import_source(name, options, tmp_path / "q.parquet")
        except DataError:
            continue


# ── the Hub's way in ─────────────────────────────────────────────────────────────────────────────────────────────────
HUB = ["vqa_rad", "pathvqa", "medmcqa", "medqa", "patchcamelyon"]


@pytest.mark.parametrize("name", HUB)
def test_the_hub_gives_what_a_local_copy_gives(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    options = LAYOUTS[name](tmp_path / "copy" if (tmp_path / "copy").mkdir() is None else tmp_path)
    local = {row["question_id"]: row for row in open_source(name, **options)}
    by_hub = {row["question_id"]: row for row in open_source(name, hub=options.pop("path"), **options)}
    assert by_hub == local


def test_configurations_and_archives_of_the_hub(tmp_path: Path) -> None:
    """What load_dataset needs a card for: configurations, and images in a ZIP beside the table."""
    layouts_questions.medxpertqa(tmp_path / "mm")
    put(
        tmp_path / "mm" / "README.md",
        "---\nconfigs:\n- config_name: MM\n  data_files:\n  - {split: dev, path: MM/dev.jsonl}\n"
        "  - {split: test, path: MM/test.jsonl}\n---\n",
    )
    rows = list(open_source("medxpertqa_mm", hub=str(tmp_path / "mm")))
    assert [row["split"] for row in rows] == ["development", "test"] and all(row["image"]["bytes"] for row in rows)
    folder = tmp_path / "mmlu"
    layouts_questions.mmlu(folder)
    named = "".join(f"- config_name: {s}\n  data_files:\n  - {{split: test, path: {s}/test-*}}\n" for s in ("anatomy",))
    put(folder / "README.md", f"---\nconfigs:\n{named}---\n")
    assert [r["answer"] for r in open_source("mmlu_med", hub=str(folder), subjects=["anatomy"])] == ["c"]
    layouts_questions.pmc_vqa(tmp_path / "pmc")
    assert len(list(open_source("pmc_vqa", hub=str(tmp_path / "pmc")))) == 2
    layouts_questions.slake(tmp_path / "slake")
    assert [r["split"] for r in open_source("slake", hub=str(tmp_path / "slake"))] == ["train", "train", "development"]
    layouts_images.pmc_oa(tmp_path / "oa")
    assert len(list(open_source("pmc_oa", hub=str(tmp_path / "oa"), split="train"))) == 1


def test_a_hub_out_of_reach_says_the_way_out() -> None:
    with pytest.raises(DataError, match="or download it and give the folder as path"):
        next(open_source("vqa_rad", hub="nobody/nothing-of-this-name"))


def test_patchcamelyon_of_the_authors(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
    import numpy as np

    stem = tmp_path / "camelyonpatch_level_2_split_valid"
    with h5py.File(f"{stem}_x.h5", "w") as file:
        file["x"] = np.random.default_rng(0).integers(0, 255, (3, 96, 96, 3)).astype(np.uint8)
    with h5py.File(f"{stem}_y.h5", "w") as file:
        file["y"] = np.array([0, 1, 1], np.uint8).reshape(3, 1, 1, 1)
    slides = [{"": n, "coord_y": 1, "coord_x": 2, "tumor_patch": True, "center_tumor_patch": True, "wsi": f"w{n // 2}"}
              for n in range(3)]  # fmt: skip
    table(Path(f"{stem}_meta.csv"), slides)
    rows = list(open_source("patchcamelyon", path=str(tmp_path)))
    assert [row["answer"] for row in rows] == ["no", "yes", "yes"] and {row["split"] for row in rows} == {"development"}
    assert rows[0]["group"] == rows[1]["group"] != rows[2]["group"] and all(row["image"]["bytes"] for row in rows)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_files_are_streamed_in_every_shape(tmp_path: Path) -> None:
    wanted = [{"a": f"{n} {'x' * 200} é"} for n in range(8000)]
    put(tmp_path / "list.json", json.dumps(wanted, indent=2))
    put(tmp_path / "named.json", json.dumps({str(n): one for n, one in enumerate(wanted)}))
    lines(tmp_path / "lines.json", wanted)
    lines(tmp_path / "more.jsonl", wanted)
    table(tmp_path / "table.csv.gz", wanted)
    parquet(tmp_path / "table.parquet", wanted)
    for file in sorted(tmp_path.iterdir()):
        assert [record.value for record in records(file)] == wanted, file.name
    assert [record.key for record in records(tmp_path / "named.json")][:2] == ["0", "1"]


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a"', '{"a" 1}', "nothing", '[{"a": 1} 7'])
def test_broken_json_is_said_with_the_file(text: str, tmp_path: Path) -> None:
    put(tmp_path / "broken.json", text)
    with pytest.raises(DataError, match="broken.json is no JSON"):
        list(records(tmp_path / "broken.json"))


def test_images_in_archives_and_side_by_side(tmp_path: Path) -> None:
    from medprm_hf.imaging.load import load_image
    from medprm_hf.sources.pictures import Pictures, side_by_side

    zipped(tmp_path / "i.zip", {"__MACOSX/x.png": b"", "all/a.png": png(1, (10, 10)), "all/b.png": png(2, (40, 20))})
    images = Pictures([tmp_path], [tmp_path / "i.zip"])
    assert images.find("a.png") and images.find("all/b.png") and images.find("c.png") is None
    joined = load_image(side_by_side([images.cell("a.png"), images.cell("b.png")]).data)
    assert (joined.width, joined.height) == (30, 10)


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_import_alone_lists_every_source() -> None:
    done = RUN.invoke(app, ["import"])
    assert done.exit_code == 0
    for name in LAYOUTS:
        assert f"\n{name}: " in f"\n{done.stdout}"
    assert "CC0 1.0" in done.stdout and "PhysioNet" in done.stdout and "simulated" in done.stdout


def test_import_prints_counts(tmp_path: Path) -> None:
    LAYOUTS["slake"](tmp_path)
    out = tmp_path / "out" / "q.parquet"
    done = RUN.invoke(app, ["import", "slake", "--set", f"path={tmp_path}", "--set", "lang=null", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "slake: 4 rows" in done.stdout and "split: train 3, development 1" in done.stdout
    assert "modality: mri 3, xray 1" in done.stdout and "license: CC BY 4.0 4" in done.stdout


def test_a_table_that_is_there_stays(tmp_path: Path) -> None:
    LAYOUTS["slake"](tmp_path)
    put(tmp_path / "q.jsonl", "mine")
    words = ["import", "slake", "--set", f"path={tmp_path}", "--out", str(tmp_path / "q.jsonl")]
    refused = RUN.invoke(app, words)
    assert "is there already" in str(refused.exception) and (tmp_path / "q.jsonl").read_text() == "mine"
    assert RUN.invoke(app, [*words, "--force"]).exit_code == 0 and "slake-1" in (tmp_path / "q.jsonl").read_text()


def test_nothing_left_is_a_failure(tmp_path: Path) -> None:
    LAYOUTS["slake"](tmp_path)
    (tmp_path / "imgs.zip").unlink()
    done = RUN.invoke(app, ["import", "slake", "--set", f"path={tmp_path}", "--out", str(tmp_path / "q.parquet")])
    assert done.exit_code == 1 and "3 × image:" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["slak"], "did you mean slake"),
        (["slake", "--set", "paht=x"], "unexpected keyword argument 'paht'; it takes: path"),
        (["slake", "--set", "path"], "write it as key=value"),
        (["slake", "--set", "path=x", "--out", "q.csv"], "questions.parquet or questions.jsonl"),
    ],
)
def test_refusals_say_the_way_out(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = RUN.invoke(app, ["import", *arguments])
    assert isinstance(done.exception, ConfigError) and says in str(done.exception)


def test_a_source_that_breaks_leaves_no_half_table(tmp_path: Path) -> None:
    put(tmp_path / "mine.jsonl", '{"question": "One?"}\n{"question": ')
    with pytest.raises(DataError, match="mine.jsonl is no JSONL"):
        import_source("table", {"path": str(tmp_path / "mine.jsonl")}, tmp_path / "q.parquet")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.jsonl"]
