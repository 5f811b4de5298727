"""The notebooks: each is run from its first cell to its last and asserts; none is large or says where it was made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks.running import FOLDER, executed

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = {"analysing_results", "exploring_a_dataset", "quickstart", "scoring_with_a_prm"}
LARGEST = 300_000
"""Bytes, with the pictures that GitHub shows."""


def test_these_ship() -> None:
    assert {file.stem for file in NOTEBOOKS} == NAMES


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_is_small_and_asserts(file: Path) -> None:
    import nbformat

    assert file.stat().st_size < LARGEST
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert len(notebook.cells) <= 12
    assert sum("assert " in source for source in code) == 1, "one cell that can fail, so that the run means something"
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    assert not any(one.output_type == "error" or one.get("name") == "stderr" for one in outputs)
    assert any("image/png" in one.get("data", {}) for one in outputs), "with pictures: python -m tests.notebooks"
    assert all(word not in file.read_text(encoding="utf-8") for word in (str(FOLDER.parent), "/tmp/", "/home/"))


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_runs(file: Path, tmp_path: Path) -> None:
    executed(file, tmp_path)
