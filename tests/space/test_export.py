"""The Export tab's server side: files that formats/ reads back, approved solutions only, and what is told before."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from medprm_hf import formats
from medprm_hf.app import export_api
from medprm_hf.app.exporting import FEATURED, Exports, is_approved
from medprm_hf.app.exporting import formats as written_formats
from medprm_hf.app.settings import AppSettings
from medprm_hf.app.tables import Table, Tables
from medprm_hf.formats import open_format

READ_BACK = [one["id"] for one in written_formats() if open_format(one["id"]).reads]


@pytest.fixture(scope="module")
def table(small_dataset: Path) -> Table:
    return Tables((str(small_dataset),)).table(0)


@pytest.fixture
def exports() -> Iterator[Exports]:
    made = Exports()
    yield made
    made.close()


@pytest.fixture
def client(small_dataset: Path) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(export_api.router(AppSettings(datasets=(str(small_dataset),))))
    with TestClient(app) as opened:
        yield opened


def unpacked(data: bytes, name: str, folder: Path) -> Path:
    """The file of a download, with its images beside it."""
    if not name.endswith(".zip"):
        (folder / name).write_bytes(data)
        return folder / name
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        packed.extractall(folder)
        return folder / packed.namelist()[0]


@pytest.mark.parametrize("name", READ_BACK)
def test_every_format_is_read_back_as_itself(table: Table, exports: Exports, tmp_path: Path, name: str) -> None:
    job = exports.write(table, name)
    file = unpacked(job.file.read_bytes(), job.file.name, tmp_path)
    rows = list(formats.read(file, name))
    assert job.report["written"] > 0 and rows
    if name in FEATURED:
        assert formats.detect(file) == name
        assert {tuple(row["steps"]) for row in rows} == {tuple(row["steps"]) for row in table.stream()}


def test_a_download_over_http(client: TestClient, tmp_path: Path) -> None:
    told = client.get("/export/api/told?format=visualprm").json()
    assert (told["rows"], told["approved"]) == (12, 6)
    assert "label_p" in [column["name"] for column in told["columns"]] and told["losses"]
    made = client.post("/export/api/write", json={"format": "visualprm", "only": "approved"}).json()
    assert (made["file"], made["report"]["written"], made["report"]["images"]) == ("visualprm.zip", 6, 3)
    got = client.get(f"/export/api/file/{made['job']}")
    assert 'filename="visualprm.zip"' in got.headers["content-disposition"] and len(got.content) == made["bytes"]
    rows = list(formats.read(unpacked(got.content, made["file"], tmp_path), "visualprm"))
    assert len(rows) == 6 and all(row["image"]["bytes"] for row in rows)


def test_without_images_it_is_one_file(client: TestClient) -> None:
    made = client.post("/export/api/write", json={"format": "steps-jsonl", "images": False}).json()
    assert (made["file"], made["report"]["images"]) == ("steps.jsonl", 0)


def test_a_lossless_format_has_nothing_to_tell(client: TestClient) -> None:
    assert client.get("/export/api/told?format=raw-json").json()["columns"] == []


@pytest.mark.parametrize(
    ("row", "approved"),
    [
        ({"steps": ["a", "b"], "needs_review": [True, False], "review_labels": ["-", "?"]}, True),
        ({"steps": ["a", "b"], "needs_review": [True, True], "review_labels": ["-", "?"]}, False),
        ({"steps": ["a"], "needs_review": [False], "review_labels": ["?"]}, False),
        ({"steps": ["a"], "needs_review": None, "review_labels": ["+"]}, True),
        ({"steps": ["a"], "needs_review": [True], "review_labels": ["+"], "keep": False}, False),
        ({"steps": ["a"], "needs_review": [True], "review_labels": ["+"], "question_verdict": "reject"}, False),
    ],
)
def test_what_counts_as_approved(row: dict[str, Any], approved: bool) -> None:
    assert is_approved(row) is approved


def test_what_cannot_be_written_is_refused(client: TestClient) -> None:
    def kind(status: int, answer: Any) -> str:
        assert answer.status_code == status
        return str(answer.json()["error"]["kind"])

    assert kind(400, client.post("/export/api/write", json={"format": "visualprmm"})) == "request"
    assert kind(400, client.post("/export/api/write", json={"format": "processbench"})) == "request"
    assert kind(400, client.post("/export/api/write", json={"format": "medprm", "only": "some"})) == "request"
    assert client.get("/export/api/file/%2e%2e%2f%2e%2e%2fetc%2fpasswd").status_code == 404
    assert kind(404, client.get("/export/api/file/0123")) == "gone"
    assert kind(401, client.post("/export/api/propose", json={"job": "x"})) == "role"


def test_files_are_forgotten_after_a_while(table: Table, exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    first = exports.write(table, "steps-jsonl", images=False)
    monkeypatch.setattr("medprm_hf.app.exporting.STAYS", -1.0)
    exports.write(table, "steps-jsonl", images=False)
    assert not first.file.exists()


def test_nothing_is_left_when_the_server_stops_and_what_a_killed_one_left_goes(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, running, foreign = (tmp_path / name for name in ("medprm-export-old", "medprm-export-new", "medprm-other"))
    for folder in (left, running, foreign):
        (folder / "job").mkdir(parents=True)
    for folder in (left, foreign):
        os.utime(folder, (time.time() - 90_000,) * 2)
    app = FastAPI()
    app.include_router(export_api.router(AppSettings(datasets=(str(small_dataset),))))
    with TestClient(app) as client:
        assert {path.name for path in tmp_path.iterdir()} == {running.name, foreign.name}
        assert client.post("/export/api/write", json={"format": "steps-jsonl", "images": False}).status_code == 200
        (own,) = set(tmp_path.iterdir()) - {running, foreign}
        assert own.stat().st_mode & 0o777 == 0o700 and list(own.glob("*/steps.jsonl"))
    assert {path.name for path in tmp_path.iterdir()} == {running.name, foreign.name}


def test_a_process_that_just_ends_leaves_nothing(tmp_path: Path) -> None:
    code = "from medprm_hf.app.exporting import Exports; own = Exports(); print(own._own())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.startswith(str(tmp_path)) and not list(tmp_path.iterdir())
