"""A key never shows: every failure is provoked, by a server that repeats the key, and all that is left is searched."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.backends.open import close_backends, open_backend
from medprm_hf.errors import MedPRMError
from medprm_hf.recipe import parse
from medprm_hf.runs.commands import build_run, resume_run, show_status
from medprm_hf.runs.doctor import examine, show
from medprm_hf.runs.probing import probe
from tests.backends.servers import Body, Server, Turn, answer, serve

KEY = "sk-proj-SECRETsecret0123456789_abc-def"
ECHO = f"Incorrect API key provided: {KEY}. Authorization: Bearer {KEY}"


def status(code: int, body: str | Body, headers: dict[str, str] | None = None) -> Turn:
    return lambda _: (code, body, headers or {})


TURNS: dict[str, Turn] = {
    "401": status(401, {"error": {"message": ECHO, "code": "invalid_api_key"}}),
    "403": status(403, ECHO),
    "404": status(404, {"error": {"message": ECHO}}),
    "400": status(400, {"error": {"message": ECHO}}),
    "429": status(429, {"error": {"message": ECHO}}, {"Retry-After": "0", "X-Echo": KEY}),
    "quota": status(429, {"error": {"message": ECHO, "code": "insufficient_quota"}}),
    "500": status(500, ECHO),
    "policy": status(400, {"error": {"message": f"content policy {ECHO}", "code": "content_policy_violation"}}),
    "timeout": lambda _: "HANG",
    "cut": lambda _: "CUT",
    "broken": lambda _: f'{{"choices": [{KEY}',
    "no_choices": lambda _: json.dumps({"choices": [], "said": KEY}),
    "odd": lambda _: json.dumps({"choices": [{"message": {"content": 5, "key": KEY}}]}),
}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TEST_KEY", KEY)
    yield
    close_backends()


def model(server: Server) -> str:
    return f"openai:tiny?base_url={server.url}&api_key_env=TEST_KEY&attempts=2&backoff=0.01&timeout=0.3"


def plain(table: Path, server: Server) -> dict[str, Any]:
    return {
        "source": {"name": "table", "path": str(table)},
        "stages": ["questions", "generate", "judge", "merge", "select"],
        "generate": {"backend": model(server), "solutions": 1},
        "judge": {"backend": model(server)},
        "merge": {"policy": "judge"},
    }


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "questions.jsonl"
    row = {"question_id": "q1", "question": "Side?", "options": ["left", "right"], "answer": "left"}
    file.write_text(json.dumps(row) + "\n")
    return file


def search(folder: Path) -> None:
    """No file holds the key, in its name or its bytes."""
    for file in folder.rglob("*"):
        assert "SECRET" not in file.name
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
            assert b"SECRETsecret" not in file.read_bytes(), file


@pytest.mark.parametrize("failure", TURNS)
def test_a_failing_run_shows_no_key(
    failure: str, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    with serve() as server:
        server.turns = itertools.repeat(TURNS[failure])
        for work in (
            lambda: build_run(tmp_path / "run", parse(plain(table, server))),
            lambda: resume_run(tmp_path / "run"),
            lambda: show_status(tmp_path / "run"),
        ):
            try:
                work()
            except MedPRMError:
                said.append(traceback.format_exc())
        assert any(headers.get("Authorization") == f"Bearer {KEY}" for headers in server.headers)
        found = probe(model(server))
        said += [repr(found), json.dumps(found.as_dict()), repr(open_backend(model(server)))]
        if failure == "401":
            report = examine([model(server)])
            show(report)
            show(report, as_json=True)
    captured = capsys.readouterr()
    said += [captured.out, captured.err, caplog.text]
    assert all("SECRETsecret" not in text for text in said)
    search(tmp_path)


def test_a_good_run_shows_no_key(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Step 1: Look.\nStep 2: See.\nStep 3: Say.\nAnswer: A"
    with serve() as server:
        server.turns = itertools.repeat(lambda body: answer(body, [text] * body.get("n", 1)))
        report = build_run(tmp_path / "run", parse(plain(table, server)))
    assert report["counts"]["solutions"] == 1
    assert (tmp_path / "run" / "journal.sqlite").is_file()
    assert (tmp_path / "run" / "recipe.yaml").is_file()
    captured = capsys.readouterr()
    assert "SECRETsecret" not in captured.out + captured.err + repr(report)
    search(tmp_path)


def test_no_server_at_all(tmp_path: Path) -> None:
    found = probe("openai:tiny?base_url=http://127.0.0.1:9/v1&api_key_env=TEST_KEY&attempts=1")
    assert not found.answers
    assert "SECRETsecret" not in repr(found)


def test_the_command_shows_no_key_from_dotenv(table: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"TEST_KEY={KEY}\n")
    environment = {name: value for name, value in os.environ.items() if name != "TEST_KEY"}
    with serve() as server:
        server.turns = itertools.repeat(TURNS["401"])
        (tmp_path / "recipe.yaml").write_text(json.dumps(plain(table, server)))
        command = [sys.executable, "-X", "dev", "-m", "medprm_hf.cli", "doctor", "recipe.yaml", "--json"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert any(headers.get("Authorization") == f"Bearer {KEY}" for headers in server.headers)
    assert done.returncode == 1
    assert json.loads(done.stdout)["backends"][0]["problem"]
    assert "SECRETsecret" not in done.stdout + done.stderr
    (tmp_path / ".env").unlink()
    search(tmp_path)
