"""The Agree tab in real Chromium: disagreements, the deciding key, figures, gate. Slow (a browser)."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from medprm_hf.review.decisions import Judged
from medprm_hf.review.store import ReviewStore
from tests.space.review_rows import rows
from tests.space.review_server import decisions_of, made_store, serving

pytestmark = pytest.mark.slow
STEPS = 4


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two reviewers on 12 items; they differ on the second step of each third item."""
    path = made_store(tmp_path / "review.sqlite", rows(12, steps=STEPS), reviewers_per_item=2)
    opened = ReviewStore(path)
    for name in ("ann", "bob"):
        for number in range(12):
            item = opened.next(name, item=f"test-{number:04d}-s0")
            assert item is not None
            for step in range(STEPS):
                differs = name == "bob" and step == 1 and number % 3 == 0
                label = "-" if (step == 2) != differs else "+"
                note = Judged(label, "factual_error" if label == "-" else None, note="<b>look</b>" if differs else None)
                opened.save(uuid4().hex, name, item["item_id"], item["version"], step, note)
            opened.finish(name, item["item_id"])
    opened.close()
    return path


def opened(browser: Any, url: str, name: str) -> Any:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.request.post(url + "review/api/login", data={"name": name})
    page = context.new_page()
    page.goto(url + "#agree")
    return page


def test_disagreements_are_decided_by_one_key(browser: Any, store: Path) -> None:
    with serving(store) as url:
        page = opened(browser, url, "prof")
        page.wait_for_selector(".ag-row[aria-current]")
        assert page.locator(".ag-row").count() == 4
        assert "<b>look</b>" in page.inner_text(".ag-list")
        for key in "+-+-":
            with page.expect_response("**/review/api/adjudicate"):
                page.keyboard.press(key)
            page.wait_for_timeout(50)
        stored = decisions_of(store, "adjudicate")
        assert [one["label"] for one in stored] == list("+-+-") and {one["step"] for one in stored} == {1}
        page.reload()
        page.wait_for_selector(".ag-list .empty")
        page.context.close()


def test_figures_and_gate_are_shown(browser: Any, store: Path) -> None:
    with serving(store) as url:
        page = opened(browser, url, "prof")
        page.wait_for_selector(".ag-plot")
        plot = page.get_attribute(".ag-plot", "aria-label")
        assert "Krippendorff" in plot and "ann – bob" in plot and "n = 48" in plot
        page.click("[data-by=reviewer]")
        page.wait_for_selector(".ag-plot[aria-label*='ann: ']")
        page.wait_for_selector(".ag-verdict")
        page.fill("[type=number] >> nth=0", "3")
        page.click(".ag-gate [type=submit]")
        page.wait_for_selector("#panel-agree .notice.bad")  # a sample of 3 proves nothing at 5 %: the server says so
        page.context.close()


def test_a_plain_reviewer_cannot_decide(browser: Any, store: Path, tmp_path: Path) -> None:
    roles = tmp_path / "roles.yaml"
    roles.write_text("reviewer: [ann, bob]\n")
    with serving(store, roles=roles) as url:
        page = opened(browser, url, "ann")
        page.wait_for_selector(".ag-row")
        assert page.locator(".ag-row .rv-label").count() == 0
        page.keyboard.press("+")
        body = {"key": "12345678", "item_id": "test-0000-s0", "step": 1, "label": "+"}
        assert page.context.request.post(url + "review/api/adjudicate", data=body).status == 403
        assert decisions_of(store, "adjudicate") == []
        page.context.close()
