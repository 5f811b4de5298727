"""The review page when things go wrong: crash, lost login, changed words, a held item. Slow (a browser)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medprm_hf.review.store import ReviewStore
from tests.space.review_rows import row, rows
from tests.space.review_server import begin, decisions_of, labels_of, made_store, saved, serving

pytestmark = pytest.mark.slow


def test_a_crash_with_labels_under_way_loses_nothing(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1, steps=8))
    with serving(store) as url:
        page = begin(browser, url)
        page.context.set_offline(True)
        for key in "+-0+":
            page.keyboard.press(key)
        context = page.context
        page.close()  # without any farewell
        assert decisions_of(store) == []
        context.set_offline(False)
        page = context.new_page()
        page.goto(url + "#review")
        page.wait_for_selector(".rv-step[aria-current]")
        saved(page)
        assert [one["label"] for one in decisions_of(store)] == list("+-0+")
        assert page.get_attribute(".rv-step[aria-current]", "data-step") == "4"
        context.close()


def test_a_login_that_runs_out_is_asked_again_and_nothing_is_lost(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1, steps=6))
    with serving(store) as url:
        page = begin(browser, url)
        page.keyboard.press("+")
        saved(page)
        page.context.clear_cookies()
        page.keyboard.press("-")
        page.fill("dialog #rv-name", "ann")
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog", state="detached")
        page.keyboard.press("0")
        saved(page)
        assert [(one["step"], one["label"]) for one in decisions_of(store)] == [(0, "+"), (1, "-"), (2, "0")]
        page.context.close()


def test_words_that_changed_meanwhile_are_shown_and_the_label_is_not_bent_to_them(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    with serving(store) as url:
        page = begin(browser, url)
        changed = ReviewStore(store)
        changed.add([row(0, ["Other words.", "Second.", "Third."])], whole=True)
        changed.close()
        page.keyboard.press("+")
        page.wait_for_selector(".rv-refused-button:not([hidden])")
        page.wait_for_function("document.querySelector('.rv-steps').textContent.includes('Other words.')")
        assert decisions_of(store) == []
        page.click(".rv-refused-button")
        assert "version" in page.inner_text("dialog .rv-refused")
        page.keyboard.press("Escape")
        page.keyboard.press("-")
        saved(page)
        assert [one["label"] for one in decisions_of(store)] == ["-"]
        page.context.close()


def test_an_item_that_somebody_holds_is_not_opened(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(3))
    with serving(store) as url:
        ann = begin(browser, url, "ann", item="test-0001-s0")
        bob = begin(browser, url, "bob", item="test-0001-s0")
        assert "item=test-0001-s0" in ann.evaluate("location.hash")
        assert "item=test-0001-s0" not in bob.evaluate("location.hash")
        assert "another reviewer" in bob.inner_text(".rv-head") or bob.locator(".rv-refused-button").is_visible()
        ann.context.close()
        bob.context.close()


def test_leaving_gives_the_item_back(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    with serving(store) as url:
        page = begin(browser, url, "ann")
        page.goto("about:blank")
        page.wait_for_timeout(1000)
        other = begin(browser, url, "bob", item="test-0000-s0")
        assert "test-0000-s0" in other.evaluate("location.hash")
        other.context.close()
        page.context.close()


@pytest.mark.parametrize("blind", [False, True])
def test_nothing_jumps_when_a_label_is_set(browser: Any, tmp_path: Path, blind: bool) -> None:
    places = """() => [...document.querySelectorAll('.rv-step, .rv-dock, .rv-stage, .rv-card')]
        .map((one) => { const box = one.getBoundingClientRect(); return [box.top + scrollY, box.height]; })"""
    store = made_store(tmp_path / "review.sqlite", rows(1, steps=3), blind=blind)
    with serving(store, blind=blind) as url:
        page = begin(browser, url)
        page.wait_for_timeout(300)
        before = page.evaluate(places)
        for keys in (["-"], ["e", "c", "2", "Enter"], ["+"]):
            for key in keys:
                page.keyboard.press(key)
            saved(page)
            page.wait_for_timeout(100)
            assert page.evaluate(places) == before, keys
        page.context.close()


def test_nothing_is_asked_of_another_host(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(2))
    with serving(store) as url:
        context = browser.new_context()
        context.request.post(url + "review/api/login", data={"name": "ann"})
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url + "#review")
        page.wait_for_selector(".rv-step[aria-current]")
        page.keyboard.press("+")
        page.wait_for_timeout(500)
        assert asked and [one for one in asked if not one.startswith((url, "data:", "blob:"))] == []
        context.close()


def test_the_rest_is_right_is_one_key_and_one_undo(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(2, steps=5))
    with serving(store) as url:
        page = begin(browser, url)
        for key in ("-", "a"):
            page.keyboard.press(key)
        saved(page)
        assert [one["label"] for one in decisions_of(store)] == list("-++++")
        page.keyboard.press("u")
        saved(page)
        assert list(labels_of(store).values()) == ["-"] and len(decisions_of(store, "retract")) == 4
        page.context.close()


def test_undo_reaches_over_a_reload_and_back_to_the_item_before(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(2, steps=1))
    with serving(store) as url:
        page = begin(browser, url)
        first = page.evaluate("location.hash")
        page.keyboard.press("+")
        page.keyboard.press("Enter")
        page.wait_for_function("(before) => location.hash !== before", arg=first)
        page.keyboard.press("u")
        page.wait_for_function("(before) => location.hash === before", arg=first)
        page.reload()
        page.wait_for_selector(".rv-step[data-mine='+']")
        page.keyboard.press("u")
        saved(page)
        assert labels_of(store) == {}
        page.context.close()


def test_a_question_that_waits_is_reviewed_by_two_keys(browser: Any, tmp_path: Path) -> None:
    waiting = row(0, []) | {"question_status": "written", "question_writer": {"model": "writer", "explanation": "Why."}}
    store = made_store(tmp_path / "review.sqlite", [waiting, *rows(2)[1:]])
    with serving(store) as url:
        context = browser.new_context()
        context.request.post(url + "review/api/login", data={"name": "ann"})
        page = context.new_page()
        page.goto(url + "#review")
        page.wait_for_selector(".rv-question-form")  # questions come first
        page.keyboard.press("3")
        page.keyboard.press("Enter")
        page.wait_for_selector(".rv-step[aria-current]")
        assert [one["label"] for one in decisions_of(store, "question")] == ["reject"]
        context.close()
