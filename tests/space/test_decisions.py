"""People's decisions reach Explore and Export, for those who may see them; and a fresh store fills itself."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from medprm_hf.app import explore_api, export_api
from medprm_hf.app.decisions import joining, unchanged
from medprm_hf.app.filling import fill, is_empty
from medprm_hf.app.identity import Identities
from medprm_hf.app.settings import AppSettings
from medprm_hf.app.tables import Table
from medprm_hf.review.decisions import Judged
from medprm_hf.review.store import ReviewStore


@pytest.fixture
def settings(small_dataset: Path, tmp_path: Path) -> AppSettings:
    """A store filled from the dataset, with one decision of bob on every step that waits."""
    roles = tmp_path / "roles.yaml"
    roles.write_text("reviewer: [ann]\n", encoding="utf-8")
    made = AppSettings(
        store=tmp_path / "r.sqlite", datasets=(str(small_dataset),), roles=roles, secret="s", scores_per_minute=9
    )
    assert is_empty(made.store)
    fill(made, str(small_dataset))
    assert not is_empty(made.store)
    store = ReviewStore(made.store)
    while item := store.next("bob"):
        for step, one in enumerate(item["steps"]):
            if one["asked"] and one["mine"] is None:
                store.save(uuid4().hex, "bob", item["item_id"], item["version"], step, Judged("-", note="seen"))
    store.close()
    return made


def test_a_store_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    assert joining(tmp_path / "none.sqlite") is unchanged


def test_decisions_stand_beside_what_the_dataset_holds(settings: AppSettings) -> None:
    join, rows = joining(settings.store), list(Table(settings.datasets[0]).stream())
    waiting = next(row for row in rows if row["needs_review"][4] and row["review_labels"][4] == "?")
    joined = join(waiting)
    assert joined["review_labels"][4] == "-"
    assert [one["reviewer"] for one in joined["reviews"][4]] == ["bob"]
    assert joined["labels"] == waiting["labels"] and waiting["review_labels"][4] == "?"


def test_approved_counts_them_and_exports_hold_them(settings: AppSettings) -> None:
    app = FastAPI()
    app.include_router(export_api.router(settings))
    app.include_router(explore_api.router(settings))
    with TestClient(app) as client:
        reviewer = {"authorization": f"Bearer {Identities.from_settings(settings).token('ann')}"}
        plain = client.get("/export/api/told?format=raw-json").json()["approved"]
        told = client.get("/export/api/told?format=raw-json", headers=reviewer).json()["approved"]
        assert (plain, told >= 9) == (6, True)  # a visitor counts what the dataset itself says
        asked = {"format": "raw-json", "only": "approved", "images": False}
        made = client.post("/export/api/write", json=asked, headers=reviewer).json()
        assert made["report"]["written"] == told
        text = client.get(f"/export/api/file/{made['job']}", headers=reviewer).text
        assert '"bob"' in text and "question_verdict" not in text
        shown = (
            client.get("/explore/api/row?place=3").text,
            client.get("/explore/api/row?place=3", headers=reviewer).text,
        )
        assert ["bob" in one for one in shown] == [False, True]
