"""The whole Space on a port of its own for the review page's tests, and Chromium to look at it.

with serving(store) as url: page.goto(url + "#review")
with browsing() as browser: page = browser.new_page()
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from medprm_hf.review.store import ReviewStore, StoreSettings


def made_store(path: Path, rows: list[dict[str, Any]], **settings: Any) -> Path:
    """A store with these rows, all steps asked, in their order."""
    store = ReviewStore(path, StoreSettings(order="doubt", sample=0.0, **settings))
    store.add(rows, whole=True)
    store.close()
    return path


def labels_of(path: Path) -> dict[tuple[str, int, str], str | None]:
    """What stands in a store: {(item, step, reviewer): label}."""
    store = ReviewStore(path)
    found = store.database.read().execute("SELECT item_id, step, reviewer, label FROM standing WHERE kind = 'label'")
    standing = {(row[0], row[1], row[2]): row[3] for row in found}
    store.close()
    return standing


def decisions_of(path: Path, kind: str = "label") -> list[dict[str, Any]]:
    """All decisions of a kind, in order."""
    store = ReviewStore(path)
    found = [one for one in store.decisions() if one["kind"] == kind]
    store.close()
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(
    store: Path, *, blind: bool = False, roles: Path | None = None, lang: str = "en", port: int | None = None
) -> Iterator[str]:
    """The Space in a thread of this process, on a real port; yields its address and stops it."""
    import uvicorn

    from medprm_hf.app.main import build_app
    from medprm_hf.app.settings import AppSettings

    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    port = port or free_port()
    # The model is not needed here: a name that is not there costs nothing.
    app = build_app(AppSettings(store=store, blind=blind, roles=roles, lang=lang, secret="tests", prm="not-there"))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        end = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive() and time.monotonic() < end, "the Space did not start"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def browsing() -> Iterator[Any]:
    """Chromium by Playwright; skips with the reason where either is missing."""
    pytest.importorskip("playwright", reason="playwright is not installed (extra dev)")
    from playwright.sync_api import sync_playwright

    binary = which("chromium") or which("chromium-browser")
    if binary is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def begin(browser: Any, url: str, name: str = "ann", item: str | None = None, **options: Any) -> Any:
    """A new window with the review page, logged in under a name, at its first (or a named) item."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, **options)
    context.request.post(url + "review/api/login", data={"name": name})
    page = context.new_page()
    page.goto(url + (f"#review?item={item}" if item else "#review"))
    page.wait_for_selector(".rv-step[aria-current]", timeout=30000)
    return page


def saved(page: Any, timeout: float = 20000) -> None:
    """Waits until the page says that everything is saved."""
    page.wait_for_selector(".rv-saved[data-state=saved]", timeout=timeout)
