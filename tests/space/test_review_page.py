"""The review page in real Chromium: keyboard, loss of nothing, blindness, viewer, refusals. Slow (a browser)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.space.review_rows import SECRET, row, rows
from tests.space.review_server import begin, browsing, decisions_of, labels_of, made_store, saved, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as one:
        yield one


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


def test_blind_shows_and_sends_no_signal_before_the_answer(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(2, steps=3), blind=True)
    with serving(store, blind=True) as url:
        context = browser.new_context()
        context.request.post(url + "review/api/login", data={"name": "ann"})
        page = context.new_page()
        bodies: list[str] = []
        page.on(
            "response",
            lambda answer: (
                bodies.append(answer.text()) if "/review/api/" in answer.url and "/image/" not in answer.url else None
            ),
        )
        page.goto(url + "#review")
        page.wait_for_selector(".rv-step[aria-current]")
        page.wait_for_timeout(300)
        assert SECRET not in page.content() and not any(SECRET in body for body in bodies)
        assert page.locator("mark").count() == 0
        item = json.loads(next(body for body in bodies if '"steps"' in body))["item"]
        assert all(step["signals"] is None for step in item["steps"])
        bodies.clear()
        page.keyboard.press("+")
        page.wait_for_function(f"document.querySelector('[data-step=\"0\"]').innerText.includes('{SECRET}')")
        number = item["item_id"].split("-")[1].lstrip("0") or "0"
        assert f"{SECRET} {number}.0" in page.content()
        assert f"{SECRET} {number}.1" not in page.content() and not any(
            f"{SECRET} {number}.1" in body for body in bodies
        )
        context.close()


def test_evidence_marks_the_cited_words(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    with serving(store) as url:
        page = begin(browser, url)
        assert page.inner_text("mark") == "One of 8 mm or more does"
        assert SECRET in page.inner_text(".rv-steps")
        page.context.close()


def _pixels(page: Any) -> list[int]:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return list(page.evaluate(
        "() => { const c = document.querySelector('.rv-canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; const out = []; for (let i = 0; i < d.length; i += 4001) out.push(d[i]);"
        " return out; }"
    ))  # fmt: skip


def test_zoom_window_level_invert_and_pan_change_the_picture(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    with serving(store) as url:
        page = begin(browser, url)
        page.wait_for_function("document.querySelector('.rv-zoom').textContent !== '100 %'")
        fitted = _pixels(page)
        for keys in ("z", "x", "i", "[[[[", "....", "w"):
            before = _pixels(page)
            for key in keys:
                page.keyboard.press(key)
            assert _pixels(page) != before, keys
        box = page.locator(".rv-canvas").bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 200)
        for act in ("wheel", "pan", "window"):
            before = _pixels(page)
            if act == "wheel":
                page.mouse.wheel(0, -400)
            else:
                page.mouse.down(button="left" if act == "pan" else "right")
                page.mouse.move(box["x"] + 260, box["y"] + 150, steps=4)
                page.mouse.up(button="left" if act == "pan" else "right")
            assert _pixels(page) != before, act
        page.select_option(".rv-select", "full")
        page.keyboard.press("i")
        page.keyboard.press("f")
        page.wait_for_timeout(100)
        assert _pixels(page) == fitted
        page.context.close()


def test_a_box_by_mouse_and_by_keyboard(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    with serving(store) as url:
        page = begin(browser, url)
        page.wait_for_selector("[data-action=box]:not([disabled])")
        page.keyboard.press("-")
        page.keyboard.press("b")
        for key in ("ArrowRight", "Shift+ArrowDown", "Enter"):
            page.keyboard.press(key)
        saved(page)
        assert json.loads(decisions_of(store)[-1]["box"]) == pytest.approx([0.37, 0.35, 0.67, 0.67])
        page.keyboard.press("b")
        box = page.locator(".rv-canvas").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.45)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.55, steps=3)
        page.mouse.up()
        saved(page)
        x0, y0, x1, y1 = json.loads(decisions_of(store)[-1]["box"])
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 and x1 - x0 == pytest.approx(0.2, abs=0.02)
        assert {one["step"] for one in decisions_of(store)} == {0}
        page.context.close()


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


def test_a_script_in_a_step_is_text(browser: Any, tmp_path: Path) -> None:
    bad = "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    one = row(0, [bad, "${window.ran = 3} {{window.ran}}"])
    one |= {"question": bad, "options": [bad, "B"], "clinical_context": bad, "judge_reasons": [bad, bad]}
    one["evidence"][0] |= {"text": bad, "source": bad}
    one["similar_cases"][0]["diagnosis"] = bad
    store = made_store(tmp_path / "review.sqlite", [one])
    with serving(store) as url:
        page = begin(browser, url)
        page.wait_for_timeout(500)
        assert page.evaluate("window.ran") is None
        assert bad in page.inner_text(".rv-steps") and bad in page.inner_text(".rv-question")
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


def test_a_visitor_is_refused_by_the_server(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    roles = tmp_path / "roles.yaml"
    roles.write_text("reviewer: [ann]\n")
    with serving(store, roles=roles) as url:
        context = browser.new_context()
        context.request.post(url + "review/api/login", data={"name": "mallory"})
        page = context.new_page()
        page.goto(url + "#review")
        page.wait_for_selector(".rv-visitor")
        assert "mallory" in page.inner_text(".rv-visitor")
        for path, body in (
            ("next", {}),
            (
                "save",
                {"key": "12345678", "item_id": "test-0000-s0", "version": 1, "step": 0, "label": "+", "seconds": 1},
            ),
        ):
            status = page.evaluate(
                "async ([path, body]) => (await fetch('review/api/' + path, { method: 'POST', body: JSON.stringify(body),"
                " headers: { 'Content-Type': 'application/json' } })).status", [path, body],
            )  # fmt: skip
            assert status == 403
        assert decisions_of(store) == []
        context.close()


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
