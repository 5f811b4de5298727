"""The review page in real Chromium: items by keyboard, and nothing is lost or doubled. Slow (a browser)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.space.review_rows import row, rows
from tests.space.review_server import begin, decisions_of, labels_of, made_store, saved, serving

pytestmark = pytest.mark.slow


def item_of(page: Any) -> str:
    """The item in the address."""
    return str(page.evaluate("new URLSearchParams(location.hash.split('?')[1] || '').get('item')"))


def next_item(page: Any, before: str, timeout: float = 20000) -> None:
    """Waits until the address names another item, or nothing is left."""
    page.wait_for_function(
        "(before) => !location.hash.includes(before) || document.querySelector('.rv > .empty:not([hidden])')",
        arg=f"item={before}", timeout=timeout,
    )  # fmt: skip


def test_ten_items_by_keyboard_only(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(10, steps=3))
    with serving(store) as url:
        page = begin(browser, url)
        expected: dict[tuple[str, int, str], str] = {}
        for _ in range(10):
            item = item_of(page)
            for step, key in enumerate("+-0"):
                page.keyboard.press(key)
                expected[item, step, "ann"] = key
            page.keyboard.press("Enter")
            next_item(page, item)
        page.wait_for_selector(".rv > .empty:not([hidden])")
        assert labels_of(store) == expected
        assert len(decisions_of(store)) == 30
        page.context.close()


def test_a_hundred_fast_keys_are_each_stored_once(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", [row(0, [f"Step {n}." for n in range(100)])])
    with serving(store) as url:
        page = begin(browser, url)
        keys = ["+", "-", "0"] * 33 + ["+"]
        for key in keys:
            page.keyboard.press(key, delay=0)
        saved(page)
        stored = sorted((one["step"], one["label"]) for one in decisions_of(store))
        assert stored == list(enumerate(keys))
        assert len({one["key"] for one in decisions_of(store)}) == 100
        page.context.close()


def test_a_reload_in_the_middle_loses_nothing(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", [row(0, [f"Step {n}." for n in range(40)])])
    with serving(store) as url:
        page = begin(browser, url)
        item = item_of(page)
        for key in "+-" * 10:
            page.keyboard.press(key)
        page.reload()
        page.wait_for_selector(".rv-step[aria-current]")
        assert item_of(page) == item
        saved(page)
        assert [one["label"] for one in decisions_of(store)] == list("+-" * 10)
        assert page.get_attribute(".rv-step[aria-current]", "data-step") == "20"
        pressed = page.eval_on_selector_all(".rv-label[aria-pressed=true]", "all => all.map(one => one.dataset.label)")
        assert pressed == list("+-" * 10)
        page.context.close()


def test_a_note_half_written_survives_a_reload(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    with serving(store) as url:
        page = begin(browser, url)
        page.keyboard.press("-")
        saved(page)
        page.keyboard.press("n")
        page.keyboard.type("the left side, not the ri")
        page.reload()
        page.wait_for_selector(".rv-step[aria-current]")
        saved(page)
        page.wait_for_function("document.body.innerText.includes('not the ri')")
        assert decisions_of(store)[-1]["note"] == "the left side, not the ri"
        page.context.close()


def test_a_cut_network_loses_and_doubles_nothing(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", [row(0, [f"Step {n}." for n in range(30)])])
    with serving(store) as url:
        page = begin(browser, url)
        for key in "+++++":
            page.keyboard.press(key)
        saved(page)
        page.context.set_offline(True)
        for key in "-----0":
            page.keyboard.press(key)
        page.wait_for_selector(".rv-saved[data-state=offline]")
        assert "6" in page.inner_text(".rv-saved")
        assert len(decisions_of(store)) == 5
        page.context.set_offline(False)
        saved(page)
        assert [one["label"] for one in decisions_of(store)] == list("+++++-----0")
        page.context.close()


def test_an_answer_that_is_lost_on_the_way_doubles_nothing(browser: Any, tmp_path: Path) -> None:
    """The server stores the decision, but its answer never arrives: the page sends the same key again."""
    store = made_store(tmp_path / "review.sqlite", rows(1, steps=6))
    with serving(store) as url:
        page = begin(browser, url)
        cut = {"left": 2}

        def lose(route: Any) -> None:
            if cut["left"]:
                cut["left"] -= 1
                route.fetch()
                route.abort("connectionreset")
            else:
                route.continue_()

        page.route("**/review/api/save", lose)
        for key in "+-0":
            page.keyboard.press(key)
        saved(page)
        assert [one["label"] for one in decisions_of(store)] == list("+-0")
        page.context.close()


def test_the_server_goes_away_and_comes_back(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(2, steps=8))
    with serving(store) as url:
        page = begin(browser, url)
        page.keyboard.press("+")
        saved(page)
    for key in "-0+":
        page.keyboard.press(key)
    page.wait_for_selector(".rv-saved[data-state=offline]")
    with serving(store, port=int(url.rstrip("/").rpartition(":")[2])):
        saved(page, 45000)
        assert [one["label"] for one in decisions_of(store)] == list("+-0+")
    page.context.close()


def test_two_browsers_never_hold_one_item(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(8, steps=1))
    with serving(store) as url:
        pages = [begin(browser, url, name) for name in ("ann", "bob")]
        seen: dict[str, list[str]] = {"ann": [], "bob": []}
        for _ in range(4):
            both = [item_of(page) for page in pages]
            assert both[0] != both[1]
            for page, name, item in zip(pages, ("ann", "bob"), both, strict=True):
                seen[name].append(item)
                page.keyboard.press("+")
                page.keyboard.press("Enter")
                next_item(page, item)
        assert not set(seen["ann"]) & set(seen["bob"])
        assert len(labels_of(store)) == 8
        for page in pages:
            page.context.close()
