"""Images: one file each, referenced by relative path, found again; a missing one is noted and its row kept."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from medprm_hf import formats
from medprm_hf.errors import ConfigError
from medprm_hf.formats.commands import convert
from medprm_hf.ids import bytes_hash
from tests.formats.rows import row

WITH_IMAGES = [
    name for name in formats.FORMATS
    if formats.open_format(name).writes and "image" in formats.open_format(name).carries
]


def picture(shade: int = 0, kind: str = "PNG") -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (4, 3), shade).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("format_id", WITH_IMAGES)
def test_an_image_is_written_once_and_read_back(format_id: str, tmp_path: Path) -> None:
    image = {"bytes": picture(), "path": None}
    pair = [row(image=image), row(image=image, solution_index=1, is_correct=False)]
    path = tmp_path / f"out{formats.open_format(format_id).extension}"
    report = formats.write(pair, path, format_id)
    folder = tmp_path / "out_images"
    assert [item.name for item in folder.iterdir()] == [f"{bytes_hash(picture())[:16]}.png"]
    assert report.images == 1
    for back in formats.read(path, format_id):
        assert back["image"]["bytes"] == picture()
        if "image_sha256" in back and format_id != "raw-json":
            assert back["image_sha256"] == bytes_hash(picture())
    formats.write(pair, path, format_id, images="none")
    assert all(back["image"] is None for back in formats.read(path, format_id))


def test_the_file_says_what_kind_of_image_it_is(tmp_path: Path) -> None:
    formats.write([row(image={"bytes": picture(kind="JPEG"), "path": "x.dat"})], tmp_path / "o.jsonl", "visualprm")
    record = json.loads((tmp_path / "o.jsonl").read_text())
    assert record["image"].endswith(".jpg")
    assert record["conversations"][1]["value"].startswith("### Question:\n<image>\n")


def test_inline_images_are_for_raw_json(tmp_path: Path) -> None:
    image = {"bytes": picture(), "path": "a.png"}
    formats.write([row(image=image)], tmp_path / "o.jsonl", "raw-json", images="inline")
    (back,) = formats.read(tmp_path / "o.jsonl")
    assert back == row(image=image)
    assert not (tmp_path / "o_images").exists()
    with pytest.raises(ConfigError, match="raw-json"):
        formats.write([row()], tmp_path / "o.jsonl", "visualprm", images="inline")


@pytest.mark.parametrize("path", ["no/such.png", "C:\\scans\\a.png", "..\\a.png", "/", "a\x00b.png", "x" * 5000])
def test_a_missing_image_is_noted_and_its_row_kept(path: str, tmp_path: Path) -> None:
    formats.write([row(image={"bytes": None, "path": path})], tmp_path / "o.jsonl", "visualprm")
    problems: list[formats.Problem] = []
    (back,) = formats.read(tmp_path / "o.jsonl", problems=problems)
    assert back["image"] == {"bytes": None, "path": path}
    assert [(problem.line, problem.reason, problem.kept) for problem in problems] == [(1, "missing_image", True)]


def test_backslashes_of_windows_paths_lead_to_the_image(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.png").write_bytes(picture())
    formats.write([row(image="scans\\a.png")], tmp_path / "o.jsonl", "stepwise")
    (back,) = formats.read(tmp_path / "o.jsonl")
    assert back["image"] == {"bytes": picture(), "path": "scans\\a.png"}


def test_a_file_that_is_no_image_is_never_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_text("a key")
    formats.write([row(image="secret.png")], tmp_path / "o.jsonl", "stepwise")
    problems: list[formats.Problem] = []
    (back,) = formats.read(tmp_path / "o.jsonl", problems=problems)
    assert back["image"]["bytes"] is None
    assert "no PNG" in problems[0].message


def test_convert_takes_the_images_along(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    formats.write([row(image={"bytes": picture(9), "path": None})], tmp_path / "a" / "in.jsonl", "visualprm")
    report = convert(tmp_path / "a" / "in.jsonl", tmp_path / "b" / "out.jsonl", "stepwise")
    assert report.images == 1
    (back,) = formats.read(tmp_path / "b" / "out.jsonl")
    assert back["image"]["bytes"] == picture(9)


def test_images_can_lie_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(picture())
    formats.write([row(image="a.png")], tmp_path / "o.jsonl", "stepwise")
    (back,) = formats.read(tmp_path / "o.jsonl", image_root=tmp_path / "pictures")
    assert back["image"]["bytes"] == picture()
    (told,) = formats.read(tmp_path / "o.jsonl", images="reference", image_root=tmp_path / "pictures")
    assert told["image"] == {"bytes": None, "path": "a.png"}


def test_a_datasets_table_is_written_with_the_bytes_of_its_images(tmp_path: Path) -> None:
    import datasets

    from medprm_hf.schema import features

    rows = [row(image={"bytes": picture(5), "path": None}), row(question_id="q2", image=None)]
    kept = [{name: value for name, value in one.items() if value is not None or name == "image"} for one in rows]
    table = datasets.Dataset.from_list(kept, features=features(tuple(kept[0])))
    report = formats.write(table, tmp_path / "o.jsonl", "visualprm")
    assert (report.written, report.images) == (2, 1)
    first, second = formats.read(tmp_path / "o.jsonl")
    assert first["image"]["bytes"] == picture(5)
    assert second["image"] is None
