"""The checker that the Hub calls: only with the secret, only about its own repos, once a commit, and never merging."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from medprm_hf.errors import ConfigError
from medprm_hf.hub import HubRepo
from medprm_hf.publishing.reviewing import Verdict
from medprm_hf.publishing.webhook import MAX_BODY, Asked, asked_by, checker_app
from tests.hub.fixtures import TestHub

REPO = "org/medmm-prm"
OPENED: dict[str, Any] = {
    "event": {"action": "create", "scope": "discussion"},
    "repo": {"type": "dataset", "name": REPO, "id": "1", "private": False},
    "discussion": {"num": 3, "isPullRequest": True, "status": "open"},
    "webhook": {"id": "w", "version": 3},
}
PUSHED: dict[str, Any] = {
    "event": {"action": "update", "scope": "repo.content"},
    "repo": {"type": "dataset", "name": REPO},
    "updatedRefs": [{"ref": "refs/pr/7", "oldSha": "a", "newSha": "b"}],
}


@pytest.mark.parametrize(
    ("payload", "asked"),
    [
        (OPENED, Asked(REPO, 3)),
        (PUSHED, Asked(REPO, 7)),
        (PUSHED | {"updatedRefs": [{"ref": "refs/heads/main"}]}, "no pull request was pushed to"),
        (OPENED | {"discussion": {"num": 3, "isPullRequest": False}}, "neither opened nor pushed to"),
        (OPENED | {"event": {"action": "create", "scope": "discussion.comment"}}, "neither opened nor pushed to"),
        (OPENED | {"repo": {"type": "dataset", "name": "org/other"}}, "another repo"),
        (OPENED | {"repo": {"type": "model", "name": REPO}}, "another repo"),
        (OPENED | {"discussion": {"num": "3; rm", "isPullRequest": True}}, "a pull request without a number"),
        ({}, "no event of the Hub: repo and event are missing"),
        ([], "no event of the Hub: repo and event are missing"),
        ({"repo": None, "event": 3}, "no event of the Hub: repo and event are missing"),
    ],
)
def test_what_a_call_asks_for(payload: Any, asked: Asked | str) -> None:
    assert asked_by(payload, [REPO]) == asked


def test_it_answers_only_with_the_secret_and_looks_once_a_commit(hub: TestHub) -> None:
    repo = hub.repo()
    contributor = HubRepo(repo.name, "dataset", hub.token("contributor"), hub.url)
    contributor.commit({"README.md": b"mine"}, "Evil", pull_request=True)
    looked: list[tuple[str, int]] = []

    def review(at: HubRepo, number: int) -> Verdict:
        looked.append((at.name, number))
        return Verdict(number, "", "", at.head(f"refs/pr/{number}"))

    app = checker_app([repo.name], "s3cret", token=hub.token("owner"), endpoint=hub.url, review=review)
    about = {"type": "dataset", "name": repo.name}
    opened = OPENED | {"repo": about, "discussion": {"num": 1, "isPullRequest": True}}
    with TestClient(app) as client:
        assert client.get("/").text == f"Checks contributions to: {repo.name}\n"
        assert client.post("/", json=opened).status_code == 401
        assert client.post("/", json=opened, headers={"X-Webhook-Secret": "wrong"}).status_code == 401
        assert looked == []
        head = {"X-Webhook-Secret": "s3cret"}
        answer = client.post("/", json=opened, headers=head)
        assert (answer.status_code, answer.json()) == (202, {"checking": repo.name, "pull_request": 1})
        client.post("/", json=opened, headers=head)
        assert looked == [(repo.name, 1)]
        assert client.post("/", json=OPENED, headers=head).json() == {"ignored": "another repo"}
        assert client.post("/", content=b"{", headers=head).status_code == 400
        assert client.post("/", content=b"x" * (MAX_BODY + 1), headers=head).status_code == 413


def test_it_comments_on_a_bad_pull_request_and_a_broken_hub_is_only_logged(
    hub: TestHub, caplog: pytest.LogCaptureFixture
) -> None:
    repo = hub.repo()
    HubRepo(repo.name, "dataset", hub.token("contributor"), hub.url).commit({"x": b""}, "Evil", pull_request=True)
    app = checker_app([repo.name], "s", token=hub.token("owner"), endpoint=hub.url)
    payload = OPENED | {"repo": {"type": "dataset", "name": repo.name}, "discussion": {"num": 1, "isPullRequest": True}}
    with TestClient(app) as client:
        client.post("/", json=payload, headers={"X-Webhook-Secret": "s"})
        (comment,) = repo.pull_request(1).comments
        assert "touches files that are not its own" in comment and "check: failed" in comment
        gone = payload | {"discussion": {"num": 9, "isPullRequest": True}}
        assert client.post("/", json=gone, headers={"X-Webhook-Secret": "s"}).status_code == 202
    assert "#9 could not be checked" in caplog.text


def test_without_a_secret_or_a_repo_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEBHOOK_SECRET", raising=False)
    with pytest.raises(ConfigError, match="answers to anybody without a secret: set WEBHOOK_SECRET"):
        checker_app([REPO])
    with pytest.raises(ConfigError, match="looks after no repo"):
        checker_app([], "s")
