"""The review page's keys in real Chromium: details of a label, other keys, the question, time. Slow (a browser)."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.space.review_rows import rows
from tests.space.review_server import begin, decisions_of, labels_of, made_store, saved, serving

pytestmark = pytest.mark.slow


def test_error_type_severity_note_and_undo(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    with serving(store) as url:
        page = begin(browser, url)
        for key in ("-", "e", "c", "3", "Enter"):
            page.keyboard.press(key)
        page.keyboard.press("n")
        page.keyboard.type("1 + 2 and j, k, u")
        page.keyboard.press("Enter")
        saved(page)
        last = decisions_of(store)[-1]
        assert (last["step"], last["label"], last["error_type"], last["severity"]) == (0, "-", "factual_error", "major")
        assert last["note"] == "1 + 2 and j, k, u"
        assert {one["step"] for one in decisions_of(store)} == {0}, "typing in the note labelled a step"
        for _ in range(3):
            page.keyboard.press("u")
        saved(page)
        assert labels_of(store) == {} and len(decisions_of(store, "retract")) == 3
        page.context.close()


def test_keys_can_be_changed_and_clashes_are_refused(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(2, steps=4))
    with serving(store) as url:
        page = begin(browser, url)
        page.keyboard.press("?")
        page.click("[data-key-of=right]")
        page.keyboard.press("j")
        assert "Next step" in page.inner_text(".rv-key-message")
        page.click("[data-key-of=right]")
        page.keyboard.press("g")
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.keyboard.press("+")
        saved(page)
        assert [(one["step"], one["label"]) for one in decisions_of(store)] == [(0, "+")]
        page.reload()
        page.wait_for_selector(".rv-step[aria-current]")
        page.keyboard.press("g")
        saved(page)
        assert [(one["step"], one["label"]) for one in decisions_of(store)] == [(0, "+"), (1, "+")]
        page.context.close()


def test_the_question_itself_is_reviewed(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    with serving(store) as url:
        page = begin(browser, url)
        page.keyboard.press("q")
        page.keyboard.press("2")
        page.locator("dialog select").nth(0).select_option("Effusion")
        page.fill("dialog textarea", "The answer on file is another one.")
        page.click("dialog [type=submit]")
        saved(page)
        (verdict,) = decisions_of(store, "question")
        assert verdict["label"] == "correct" and json.loads(verdict["body"])["answer"] == "Effusion"
        page.context.close()


def test_seconds_count_only_while_the_page_is_visible(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    with serving(store) as url:
        page = begin(browser, url)
        hide = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });" \
            " document.dispatchEvent(new Event('visibilitychange')); }"  # fmt: skip
        page.evaluate(hide, True)
        time.sleep(1.5)
        page.evaluate(hide, False)
        page.wait_for_timeout(400)
        page.keyboard.press("+")
        saved(page)
        (one,) = decisions_of(store)
        assert 0.3 < one["seconds"] < 1.5
        page.context.close()
