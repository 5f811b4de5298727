"""The routes: who may do what, what is never sent, what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
from fastapi import FastAPI
from fastapi.testclient import TestClient

from medprm_hf.app.identity import Identities, RoleList
from medprm_hf.app.review_api import review_router, router
from medprm_hf.app.settings import AppSettings
from medprm_hf.review.store import ReviewStore
from tests.review.rows import SECRET, png, row, store

ROLES = RoleList({"ann": "reviewer", "bob": "reviewer", "prof": "adjudicator", "lead": "admin"})


@dataclass(frozen=True)
class Blind:
    blind: bool = True


@dataclass
class Site:
    """A server, and clients that are logged in."""

    app: FastAPI
    store: ReviewStore
    identities: Identities

    def client(self, name: str | None = None) -> TestClient:
        found = TestClient(self.app, base_url="http://testserver/review/api")
        if name:
            assert found.post("/login", json={"name": name}).status_code == 200
        return found


def site(folder: Path, blind: bool = True, **changes: Any) -> Site:
    found = store(folder, 0, **changes)
    found.add([row(q, image={"bytes": png(), "path": None}) for q in range(4)])
    identities = Identities(ROLES, mode="local")
    app = FastAPI()
    app.include_router(review_router(found, identities, Blind(blind)))
    return Site(app, found, identities)


def save(item: dict[str, Any], step: int = 0, label: str = "+", **changes: Any) -> dict[str, Any]:
    named = {
        "key": f"key-{item['item_id']}-{step}",
        "item_id": item["item_id"],
        "version": item["version"],
        "step": step,
    }
    return named | {"label": label, "seconds": 1.5} | changes


def error(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["kind"]


GETS = ("progress", "disagreements", "agreement", "gate", "image/q0-s0")
POSTS = ("next", "save", "undo", "finish", "release", "beat", "question", "adjudicate", "reject", "sync")


def test_the_server_refuses_visitors(tmp_path: Path) -> None:
    here = site(tmp_path)
    for name, status in ((None, 401), ("zoe", 403)):
        client = here.client(name)
        assert client.get("/me").json()["role"] == "visitor"
        assert {client.get(f"/{path}").status_code for path in GETS} == {status}
        assert {client.post(f"/{path}", json={}).status_code for path in POSTS} == {status}
    assert not list(here.store.decisions())


def test_a_reviewer_is_no_adjudicator(tmp_path: Path) -> None:
    here = site(tmp_path)
    word = {"key": "key-00001", "item_id": "q0-s0", "step": 0, "label": "-"}
    assert error(here.client("ann").post("/adjudicate", json=word)) == (403, "rights")
    assert error(here.client("ann").post("/reject", json={"key": "key-00002", "reason": "x"})) == (403, "rights")
    assert here.client("prof").post("/adjudicate", json=word).json()["label"] == "-"
    assert error(here.client("prof").post("/sync", json={})) == (409, "no_sync")


def test_blind_mode_never_sends_a_signal_before_the_answer(tmp_path: Path) -> None:
    here = site(tmp_path)
    client = here.client("ann")
    response = client.post("/next", json={})
    item = response.json()["item"]
    assert SECRET not in response.text and item["blind"] is True
    assert all(step["signals"] is None for step in item["steps"]) and item["evidence"][0]["cited"] == []
    for path in ("progress", "me", "disagreements"):
        assert SECRET not in client.get(f"/{path}").text
    told = client.post("/save", json=save(item)).json()
    assert told["signals"]["judge"] == {"label": "-", "confidence": "high", "reason": SECRET, "citations": ["g1"]}
    assert told["signals"]["rollouts"] == {"correct": 3, "total": 16, "expected_accuracy": 0.1875}
    assert told["evidence"] == {"g1": [[14, 18]]}
    again = client.post("/next", json={}).json()["item"]
    assert [step["signals"] is not None for step in again["steps"]] == [True, False, False]
    assert again["evidence"][0]["cited"] == [[14, 18]]
    assert SECRET not in here.client("bob").post("/next", json={}).text
    kinds = [json.loads(one["shown"])["signals"] for one in here.store.decisions()]
    assert kinds == [[]] and [one["blind"] for one in here.store.decisions()] == [1]


def test_what_was_seen_is_kept_with_the_decision(tmp_path: Path) -> None:
    here = site(tmp_path)
    client = here.client("ann")
    item = client.post("/next", json={}).json()["item"]
    client.post("/save", json=save(item))
    client.post("/save", json=save(item, key="key-second", label="-"))
    client.post("/undo", json={"key": "key-undo-1", "item_id": item["item_id"], "step": 0})
    client.post("/save", json=save(item, key="key-third-", label="0"))
    labels = [one for one in here.store.decisions() if one["kind"] == "label"]
    assert [one["blind"] for one in labels] == [1, 0, 0]
    assert json.loads(labels[1]["shown"])["signals"] == ["label", "judge", "rollouts"]
    assert json.loads(labels[0]["shown"])["hash"] != json.loads(labels[1]["shown"])["hash"]


def test_an_open_store_shows_signals_and_says_so(tmp_path: Path) -> None:
    here = site(tmp_path, blind=False)
    client = here.client("ann")
    item = client.post("/next", json={}).json()["item"]
    assert item["steps"][0]["signals"]["judge"]["reason"] == SECRET
    client.post("/save", json=save(item))
    assert [one["blind"] for one in here.store.decisions()] == [0]


def test_a_blind_reviewer_is_not_told_what_others_said(tmp_path: Path) -> None:
    here = site(tmp_path, reviewers_per_item=2)
    for who, label in (("ann", "+"), ("prof", "-")):
        item = here.client(who).post("/next", json={"item": "q0-s0"}).json()["item"]
        here.client(who).post("/save", json=save(item, key=f"key-of-{who}", label=label))
        here.client(who).post("/release", json={"item_id": "q0-s0"})
    bob = here.client("bob")
    assert bob.get("/disagreements").json() == []
    assert '"prof"' not in bob.post("/next", json={"item": "q0-s0"}).text
    assert here.client("ann").get("/disagreements").json()[0]["labels"] == {"ann": "+", "prof": "-"}
    assert len(here.client("lead").get("/disagreements").json()) == 1


def test_a_hundred_quick_saves_none_lost_none_doubled(tmp_path: Path) -> None:
    here = site(tmp_path)
    client = here.client("ann")
    item = client.post("/next", json={}).json()["item"]
    for number in range(100):
        body = save(item, number % 3, "+-0"[number % 3], key=f"quick-{number:04d}")
        for _ in range(1 + (number % 7 == 0)):  # the page sends again what it is not sure of
            assert client.post("/save", json=body).json()["saved"] is True
    assert [one["key"] for one in here.store.decisions()] == [f"quick-{number:04d}" for number in range(100)]
    mine = client.post("/next", json={"item": item["item_id"]}).json()["item"]["steps"]
    assert [step["mine"]["label"] for step in mine] == ["+", "-", "0"]


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("save", {"label": "x"}, 422, "request"),
        ("save", {"box": [0, 0, 2, 1]}, 422, "request"),
        ("save", {"box": [0.5, 0, 0.5, 1]}, 422, "value"),
        ("save", {"note": "x" * 4001}, 422, "request"),
        ("save", {"note": "x" * 70_000}, 413, "too_large"),
        ("save", {"key": "short"}, 422, "request"),
        ("save", {"seconds": "many"}, 422, "request"),
        ("save", {"more": 1}, 422, "request"),
        ("save", {"item_id": "nothing"}, 404, "unknown_item"),
        ("save", {"step": 99}, 404, "unknown_step"),
        ("save", {"version": 99}, 409, "changed"),
        ("next", {"item": "nothing"}, 404, "unknown_item"),
        ("undo", {"key": "key-nothing", "item_id": "q0-s0", "step": 1}, 409, "nothing"),
        ("question", {"key": "key-question", "item_id": "q0-s0", "verdict": "perhaps"}, 422, "request"),
        ("beat", {"item_id": "nothing"}, 404, "unknown_item"),
    ],
)
def test_refusals_have_a_kind(tmp_path: Path, path: str, body: dict[str, Any], status: int, kind: str) -> None:
    client = site(tmp_path).client("ann")
    whole = save({"item_id": "q0-s0", "version": 1}) | body if path == "save" else body
    assert error(client.post(f"/{path}", json=whole)) == (status, kind)


def test_bodies_that_are_no_json_are_refused(tmp_path: Path) -> None:
    client = site(tmp_path).client("ann")
    json_type = {"content-type": "application/json"}
    assert error(client.post("/save", content=b"{", headers=json_type)) == (400, "request")
    assert error(client.post("/save", content=b"[]", headers=json_type)) == (422, "request")
    assert error(client.post("/save", content=b"key=1", headers={"content-type": "text/plain"})) == (400, "request")
    for query in ("sample=10", "threshold=2", "sample=x", "risk=0"):
        assert client.get(f"/gate?{query}").status_code == 422
    assert client.get("/agreement?by=weather").status_code == 422


def test_texts_go_out_as_they_came_in(tmp_path: Path) -> None:
    nasty = "</script><img src=x onerror=alert(1)> \u2028 결절"
    here = site(tmp_path, blind=False)
    here.store.add([row(9, steps=1) | {"steps": [nasty], "question": nasty}])
    client = here.client("ann")
    response = client.post("/next", json={"item": "q9-s0"})
    item = response.json()["item"]
    assert item["steps"][0]["text"] == nasty and response.headers["content-type"] == "application/json"
    client.post("/save", json=save(item, note=nasty))
    assert client.post("/next", json={"item": "q9-s0"}).json()["item"]["steps"][0]["mine"]["note"] == nasty


def test_the_image_comes_as_it_is_kept(tmp_path: Path) -> None:
    here = site(tmp_path)
    client = here.client("ann")
    item = client.post("/next", json={}).json()["item"]
    response = TestClient(here.app, cookies=client.cookies).get(item["image"]["url"])
    assert response.content == png() and response.headers["content-type"] == "image/png"
    assert response.headers["cache-control"].startswith("private")
    here.store.add([row(8, image=None)])
    assert error(client.get("/image/q8-s0")) == (404, "no_image")


def test_a_day_of_two_reviewers(tmp_path: Path) -> None:
    here = site(tmp_path, blind=False, reviewers_per_item=2)
    for who, turn in (("ann", "+"), ("bob", "-")):
        client = here.client(who)
        while item := client.post("/next", json={}).json()["item"]:
            for step in range(3):
                label = turn if step == 2 else "+-"[step]
                body = save(item, step, label, key=f"{who}-{item['item_id']}-{step}")
                assert client.post("/save", json=body).json()["saved"]
        assert client.post("/finish", json={"item_id": "q0-s0"}).json()["finished"]
    client = here.client("prof")
    assert client.get("/progress").json()["done"] == 12
    told = client.get("/agreement?by=reviewer").json()
    assert told["krippendorff"]["n"] == 12 and 0 < told["krippendorff"]["value"] < 1
    assert told["cohen"][0]["raters"] == ["ann", "bob"] and set(told["by"]) == {"ann", "bob"}
    assert len(client.get("/disagreements").json()) == 4
    gate = client.get("/gate?sample=100&threshold=0.05").json()
    assert (gate["reviewers"]["n"], gate["reviewers"]["errors"], gate["verdict"]) == (12, 4, "rejected")
    body = {"key": "reject-0001", "batch": None, "reason": "laterality misread"}
    assert client.post("/reject", json=body).json()["items"] == 4
    client.post("/reject", json=body)
    again = client.get("/progress").json()
    assert (again["open"], again["done"]) == (12, 0)
    assert client.get("/gate").json()["history"][0]["reason"] == "laterality misread"
    assert here.client("ann").post("/next", json={}).json()["item"]["steps"][0]["mine"] is None


def test_question_verdicts(tmp_path: Path) -> None:
    here = site(tmp_path)
    client = here.client("ann")
    body = {"key": "question-1", "item_id": "q0-s0", "verdict": "correct", "answer": "cyst", "difficulty": "hard"}
    told = client.post("/question", json=body).json()
    assert told["question_review"]["answer"] == "cyst"
    assert client.post("/question", json=body).json() == told
    item = client.post("/next", json={"item": "q0-s0"}).json()["item"]
    assert item["question_review"]["verdict"] == "correct"


def test_scripts_send_a_token(tmp_path: Path) -> None:
    here = site(tmp_path)
    client = here.client()
    good = {"authorization": f"Bearer {here.identities.token('ann')}"}
    assert client.get("/me", headers=good).json()["name"] == "ann"
    other = Identities(ROLES, mode="local", secret="another")
    for bad in (other.token("ann"), "nonsense", ""):
        assert client.get("/me", headers={"authorization": f"Bearer {bad}"}).json()["role"] == "visitor"


def test_cookies_are_signed_and_end(tmp_path: Path) -> None:
    here = site(tmp_path)
    client = here.client("ann")
    cookie = client.cookies["medprm_session"]
    assert client.post("/logout", json={}).status_code == 200
    assert client.get("/me").json()["name"] == ""
    forged = TestClient(here.app, cookies={"medprm_session": cookie[:-2] + "xx"})
    assert forged.get("/review/api/me").json()["name"] == ""
    for name in ("", " ", "x" * 61, "a\x00b"):
        assert client.post("/login", json={"name": name}).status_code == 422


def test_the_space_opens_it_from_its_settings(tmp_path: Path) -> None:
    app = FastAPI()
    app.include_router(router(AppSettings(store=tmp_path / "new" / "review.sqlite")))
    with TestClient(app) as client:
        assert client.post("/review/api/login", json={"name": "ann"}).json()["role"] == "admin"
        assert client.post("/review/api/next", json={}).json() == {"item": None}


def test_a_blind_reviewer_is_not_told_where_machines_err(tmp_path: Path) -> None:
    here = site(tmp_path, sample=1.0)
    client = here.client("ann")
    while item := client.post("/next", json={}).json()["item"]:
        for step in range(3):
            client.post("/save", json=save(item, step, "+"))
    for path in ("agreement", "gate?sample=59&threshold=0.05"):
        told = here.client("bob").get(f"/{path}").text
        assert "q0-s0" not in told and "q1-s0" not in told
    assert here.client("bob").get("/agreement").json()["machines"]["judge"]["n"] == 12
