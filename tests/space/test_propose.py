"""Exports as pull requests: on a local Hub, with the Space's token, for reviewers, and never with identifiers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from medprm_hf.app import export_api
from medprm_hf.app.exporting import scanned
from medprm_hf.app.identity import Identities
from medprm_hf.app.settings import AppSettings
from tests.hub.fixtures import TestHub, hub, hub_server  # noqa: F401 - fixtures

ASKED = {"format": "visualprm", "images": False, "public": True}


def test_a_pull_request_is_opened_with_the_file(hub: TestHub, small_dataset: Path, tmp_path: Path) -> None:  # noqa: F811
    repo = hub.repo("owner")
    code = f"""
from pathlib import Path
from fastapi import FastAPI
from fastapi.testclient import TestClient
from medprm_hf.app import export_api
from medprm_hf.app.identity import Identities
from medprm_hf.app.settings import AppSettings
settings = AppSettings(store=Path({str(tmp_path / "r.sqlite")!r}), datasets=({str(small_dataset)!r},), secret="s",
                       hub_repo={repo.name!r})
app = FastAPI()
app.include_router(export_api.router(settings))
client = TestClient(app, headers={{"authorization": "Bearer " + Identities.from_settings(settings).token("ann")}})
job = client.post("/export/api/write", json={ASKED!r}).json()["job"]
answer = client.post("/export/api/propose", json={{"job": job}})
print(answer.status_code, answer.text)
"""
    assert hub.python(code, "owner", tmp_path / "home").startswith("200")
    (request,) = repo.pull_requests()
    assert request.title == "Export visualprm.jsonl" and "ann" in request.description
    assert "exports/visualprm.jsonl" in repo.files(request.revision)
    assert "exports/visualprm.jsonl" not in repo.files()


@pytest.fixture
def settings(small_dataset: Path, tmp_path: Path) -> AppSettings:
    roles = tmp_path / "roles.yaml"
    roles.write_text("reviewer: [ann]\n", encoding="utf-8")
    return AppSettings(
        store=tmp_path / "r.sqlite", datasets=(str(small_dataset),), secret="s", roles=roles, hub_repo="org/x"
    )


@pytest.mark.parametrize(
    ("who", "asked", "kind"),
    [
        (None, ASKED, "role"),
        ("eve", ASKED, "role"),
        ("ann", {**ASKED, "public": False}, "unchecked"),
    ],
)
def test_who_and_what_is_refused(settings: AppSettings, who: str | None, asked: dict[str, object], kind: str) -> None:
    app = FastAPI()
    app.include_router(export_api.router(settings))
    token = {"authorization": f"Bearer {Identities.from_settings(settings).token(who)}"} if who else {}
    client = TestClient(app)
    job = client.post("/export/api/write", json=asked).json()["job"]
    assert client.post("/export/api/propose", json={"job": job}, headers=token).json()["error"]["kind"] == kind


def test_without_a_repo_nothing_is_proposed(settings: AppSettings) -> None:
    own = replace(settings, hub_repo=None)
    app = FastAPI()
    app.include_router(export_api.router(own))
    token = {"authorization": f"Bearer {Identities.from_settings(own).token('ann')}"}
    refused = TestClient(app).post("/export/api/propose", json={"job": "x"}, headers=token)
    assert refused.json()["error"]["kind"] == "no_repo"


def test_identifiers_are_found_on_the_way() -> None:
    found: dict[str, str] = {}
    row = {"solution_id": "s7", "question": "Patient John Doe, MRN 12345678, born 03/04/1950: which side?"}
    assert list(scanned(iter([row]), found)) == [row]
    assert "s7" in found.values()
    with pytest.raises(Exception, match="first in s7"):
        export_api.check_public(found)
