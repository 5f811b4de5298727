"""`medprm import` from the Hub by the ids of the headers: the unmodified clients stream tables and fetch archives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medprm_hf.hub import HubRepo
from medprm_hf.loading import open_source, scripts_folder
from medprm_hf.sources.header import read_header
from tests.hub.fixtures import TestHub
from tests.sources.layouts import LAYOUTS


def upload(hub: TestHub, name: str, folder: Path) -> str:
    """A tiny copy of a source on the local Hub, under the very id that its header names."""
    header = read_header(scripts_folder() / f"{name}.py")
    assert header is not None and header.hub
    repo = HubRepo(header.hub, "dataset", hub.token("owner"), hub.url)
    repo.create(private=False)
    repo.commit({str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file()}, "a copy")
    return header.hub


def imported(hub: TestHub, name: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "medprm_hf.cli", "import", name, *more, "--out", str(folder / f"{name}.parquet")]
    around = hub.environment(None, folder / "home")
    return subprocess.run(words, env=around, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ["vqa_rad", "slake"])
def test_by_its_id(name: str, hub: TestHub, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    options = LAYOUTS[name](tmp_path / "copy")
    upload(hub, name, tmp_path / "copy")
    done = imported(hub, name, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    given = {row["question_id"]: row for row in open_source(name, **options)}
    read = {row["question_id"]: row for row in open_source("table", path=str(tmp_path / f"{name}.parquet"))}
    assert read == given and all(row["image"]["bytes"] for row in read.values())


def test_a_dataset_that_is_not_there(hub: TestHub, tmp_path: Path) -> None:
    done = imported(hub, "medmcqa", tmp_path)
    assert done.returncode == 1 and "openlifescienceai/medmcqa cannot be loaded" in done.stderr
    assert "give the folder as path" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.parquet"))
