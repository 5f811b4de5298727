"""The Explore tab's server side: what is filtered without reading rows, pages, and one row as in the card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from medprm_hf.app import explore_api
from medprm_hf.app.explore_api import final, selected
from medprm_hf.app.settings import AppSettings
from medprm_hf.app.table_index import build
from medprm_hf.app.tables import Table, Tables
from medprm_hf.errors import ConfigError, DataError
from tests.space.dataset import HOSTILE


@pytest.fixture(scope="module")
def table(small_dataset: Path) -> Table:
    return Tables((str(small_dataset),)).table(0)


@pytest.fixture
def client(small_dataset: Path) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(explore_api.router(AppSettings(datasets=(str(small_dataset),))))
    with TestClient(app) as opened:
        yield opened


def all_rows(table: Table) -> list[dict[str, Any]]:
    return list(table.stream())


def test_facets_count_what_is_there(table: Table) -> None:
    facets, rows = table.index().facets(), all_rows(table)
    assert table.index().rows == len(rows) == 12
    assert facets["answer"] == {"right": 6, "wrong": 6}
    assert facets["label"] == {"+": 12, "-": 6}
    assert facets["method"] == {"consensus:agree": 12, "consensus:judge": 12}
    assert facets["modality"] == {
        name: sum(row["modality"] == name for row in rows) for name in dict(facets["modality"])
    }
    assert (facets["review"]["done"], facets["review"]["asked"]) == (6, 3)
    assert facets["doubt"] == {"signals": 6}


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({}, lambda row: True),
        ({"label": ["-"]}, lambda row: "-" in final(row)),
        ({"answer": ["wrong"], "split": ["test"]}, lambda row: row["is_correct"] is False and row["split"] == "test"),
        ({"difficulty": ["easy", "hard"]}, lambda row: row["difficulty"] in ("easy", "hard")),
        ({"review": ["asked"]}, lambda row: row["needs_review"][4] and row["review_labels"][4] == "?"),
        ({"doubt": ["signals"]}, lambda row: row["judge_labels"][4] == "+" and row["expected_accuracy"][4] < 0.3),
        ({"confidence": [None, 0.8]}, lambda row: min(max(p, 1 - p) for p in row["label_p"]) <= 0.8),
        ({"text": "-S5-000003"}, lambda row: "000003" in row["question_id"]),
        ({"source": ["nowhere"]}, lambda row: False),
    ],
)
def test_filters_fit_the_rows(table: Table, filters: dict[str, Any], fits: Any) -> None:
    expected = [place for place, row in enumerate(all_rows(table)) if fits(row)]
    assert selected(table, filters).tolist() == expected


@pytest.mark.parametrize("filters", [{"label": "x"}, {"label": ["x"]}, {"confidence": [1]}, [1]])
def test_filters_that_are_none_are_refused(table: Table, filters: Any) -> None:
    with pytest.raises(DataError):
        selected(table, filters)


def test_rows_come_by_their_numbers_from_any_row_group(table: Table) -> None:
    rows = all_rows(table)
    found = table.rows([11, 0, 7])
    assert [row["solution_id"] for row in found] == [rows[place]["solution_id"] for place in (11, 0, 7)]
    assert all("image" not in row for row in found)
    assert table.image(7) == rows[7]["image"]["bytes"]
    with pytest.raises(DataError, match="there are 12"):
        table.rows([12])


def test_the_index_reads_no_image_and_no_text(small_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    read: list[str] = []
    plain = pq.ParquetFile.iter_batches

    def spying(self: Any, *given: Any, columns: list[str], **options: Any) -> Any:
        read.extend(columns)
        return plain(self, *given, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spying)
    build([small_dataset / "data" / "train-00000.parquet"])
    assert read and not {"image", "question", "solution", "evidence", "judge_reasons"} & set(read)


def test_files_with_few_columns_can_be_explored(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"question": ["a", "b"], "labels": [["+", "-"], None]}), tmp_path / "x.parquet")
    table = Table(str(tmp_path / "x.parquet"))
    assert table.index().facets()["label"] == {"+": 1, "-": 1}
    assert np.isnan(table.index().surest).all()
    assert table.rows([1]) == [{"question": "b", "labels": None}]


def test_a_damaged_or_missing_dataset_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(DataError, match=r"x\.parquet cannot be read"):
        Table(str(tmp_path / "x.parquet")).index()
    with pytest.raises(ConfigError, match="nowhere"):
        Table("nowhere").index()


def test_pages_and_rows_over_http(client: TestClient) -> None:
    assert client.get("/explore/api/datasets").json() == [{"number": 0, "title": "small"}]
    page = client.post("/explore/api/rows", json={"dataset": 0, "filters": {"label": ["-"]}, "page": 99}).json()
    assert (page["total"], page["page"], page["pages"], len(page["rows"])) == (6, 0, 1, 6)
    row = client.get(f"/explore/api/row?place={page['rows'][0]['place']}").json()
    assert row["steps"][4]["reviews"][0]["note"] == HOSTILE
    assert (row["steps"][4]["judge_labels"], row["steps"][4]["rollout_correct"]) == ("+", 1)
    assert client.get("/explore/api/image?place=1").content.startswith(b"\x89PNG")
    assert client.get("/explore/api/row?place=12").status_code == 400
    assert client.post("/explore/api/rows", json={"dataset": 3}).json()["error"]["kind"] == "request"


def test_blind_review_hides_labels_from_reviewers(small_dataset: Path, tmp_path: Path) -> None:
    from medprm_hf.app.identity import Identities

    roles = tmp_path / "roles.yaml"
    roles.write_text("reviewer: [ann]\nadjudicator: [prof]\n", encoding="utf-8")
    settings = AppSettings(datasets=(str(small_dataset),), blind=True, roles=roles, secret="s")
    app = FastAPI()
    app.include_router(explore_api.router(settings))
    client, identities = TestClient(app), Identities.from_settings(settings)

    def status(name: str | None) -> int:
        headers = {"authorization": f"Bearer {identities.token(name)}"} if name else {}
        return client.get("/explore/api/row?place=0", headers=headers).status_code

    assert [status(None), status("ann"), status("prof")] == [403, 403, 200]
