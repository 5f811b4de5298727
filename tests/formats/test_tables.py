"""Runs, datasets and Parquet files are read by their name; what each format is, is told from its class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medprm_hf import formats
from medprm_hf.cli import app
from medprm_hf.errors import ConfigError, FormatError
from medprm_hf.formats.commands import validate
from medprm_hf.formats.describing import listing, markdown, options, page
from medprm_hf.ids import bytes_hash
from tests.formats.rows import row
from tests.formats.test_images import picture

DOCS = Path("docs/formats.md")


def parquet(folder: Path, rows: list[dict[str, Any]], name: str = "train-00000.parquet") -> Path:
    """A Parquet file as a run leaves it."""
    from medprm_hf.runs.shards import write_parquet
    from medprm_hf.schema import COLUMNS, features

    folder.mkdir(parents=True, exist_ok=True)
    names = tuple(column.name for column in COLUMNS if column.name in rows[0])
    write_parquet(folder / name, {name: [one[name] for one in rows] for name in names}, features(names))
    return folder / name


def table() -> list[dict[str, Any]]:
    image = {"bytes": picture(), "path": None}
    return [row(image=image, image_sha256=bytes_hash(picture())), row(solution_index=1, solution_id="q1/1")]


def test_a_run_a_dataset_a_folder_and_a_file_give_the_same_rows(tmp_path: Path) -> None:
    file = parquet(tmp_path / "run" / "dataset" / "data", table())
    for path in (tmp_path / "run", tmp_path / "run" / "dataset", file.parent, file):
        assert formats.detect(path) == "raw-json"
        found = list(formats.read(path))
        assert [one["solution_id"] for one in found] == ["q1/0", "q1/1"]
        assert found[0]["image"]["bytes"] == picture()
        assert [{**one, "image": None} for one in found] == [{**one, "image": None} for one in table()]
    assert validate(tmp_path / "run").good


def test_several_files_are_one_table_and_a_damaged_one_is_reported(tmp_path: Path) -> None:
    parquet(tmp_path, table())
    parquet(tmp_path, [row(question_id="q2", solution_id="q2/0")], "train-00001.parquet")
    assert [one["question_id"] for one in formats.read(tmp_path)] == ["q1", "q1", "q2"]
    (tmp_path / "train-00001.parquet").write_bytes(b"PAR1 and no more")
    problems: list[formats.Problem] = []
    assert len(list(formats.read(tmp_path, problems=problems))) == 2
    assert [(problem.line, problem.reason) for problem in problems] == [(3, "broken_parquet")]


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is a directory"):
        formats.detect(tmp_path)


def test_a_run_is_converted_with_options_on_the_command_line(tmp_path: Path) -> None:
    parquet(tmp_path / "run" / "dataset" / "data", [row(labels=["-", "+"])])
    out = tmp_path / "out.jsonl"
    command = ["convert", str(tmp_path / "run"), str(out), "--to", "visualprm"]
    told = CliRunner().invoke(app, [*command, "--set", "early_stop=true"])
    assert told.exit_code == 0, told.output
    (back,) = formats.read(out)
    assert back["labels"] == ["-"]
    with pytest.raises(ConfigError, match="did you mean early_stop"):
        CliRunner().invoke(app, [*command, "--set", "erly_stop=true"], catch_exceptions=False)


def test_medprm_formats_lists_all_and_tells_one() -> None:
    told = CliRunner().invoke(app, ["formats"])
    assert all(any(line.startswith(name) for line in told.output.splitlines()) for name in formats.FORMATS)
    told = CliRunner().invoke(app, ["formats", "visualprm"])
    assert "early_stop=false  bool. End the conversation after the first `-`." in told.output
    assert "cannot hold: review and merge are one label" in told.output
    with pytest.raises(ConfigError, match="did you mean visualprm"):
        CliRunner().invoke(app, ["formats", "visualpmr"], catch_exceptions=False)


def test_every_option_says_what_it_means() -> None:
    for name in formats.FORMATS:
        assert all(text for *_, text in options(formats.open_format(name)))
        assert page(name)
    assert len(listing()) == len(formats.FORMATS) + 3


def test_the_tables_of_the_docs_are_those_of_the_code() -> None:
    assert markdown() in DOCS.read_text(encoding="utf-8"), (
        "docs/formats.md differs: put in what `python -m medprm_hf.formats.describing` prints"
    )
