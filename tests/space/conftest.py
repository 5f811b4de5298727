"""The Space in a process of its own, over a small dataset, and one Chromium for all tests that need a page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.space.dataset import dataset
from tests.space.review_server import browsing, free_port

ROOT = Path(__file__).parents[2]


@contextmanager
def space(folder: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """`medprm space` on a free port; yields its address once it answers, and ends it."""
    port, log = free_port(), folder / "space.log"
    words = ["space", *arguments, "--port", str(port), "--store", str(folder / "review.sqlite")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDPRM_")}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "medprm_hf.cli", *words], stdout=out, stderr=out,
            env={**kept, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), **environment},
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for(url + "score/api/model", process, log)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 90.0) -> None:
    """Until an address answers; says what the process wrote where it ends or stays silent."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer ({process.poll()}): {log.read_text()[-2000:]}")


def ask(url: str, body: Any = None, raw: bytes | None = None) -> tuple[int, Any]:
    """(status, JSON) of a request; POST where there is a body."""
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve solutions of six phantom questions."""
    return dataset(tmp_path_factory.mktemp("space-data") / "small")


@pytest.fixture(scope="session")
def space_url(tmp_path_factory: pytest.TempPathFactory, small_dataset: Path) -> Iterator[str]:
    """Address of a running Space with the shipped model and the small dataset."""
    with space(tmp_path_factory.mktemp("space"), str(small_dataset)) as url:
        yield url


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """One Chromium for this folder, since a thread takes one Playwright only; skips with the reason where none is."""
    with browsing() as opened:
        yield opened


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh window; requests to other hosts, and errors in scripts, fail the test."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 860}, permissions=["clipboard-read", "clipboard-write"]
    )
    opened = context.new_page()
    foreign, errors = [], []
    opened.on("request", lambda request: foreign.append(request.url) if not is_own(request.url) else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert foreign == []
    assert errors == []


def is_own(url: str) -> bool:
    """Whether an address is this machine's, or no address at all."""
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))
