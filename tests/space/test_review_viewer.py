"""The image viewer of the review page in real Chromium: pixels, boxes. Slow (a browser)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.space.review_rows import rows
from tests.space.review_server import begin, decisions_of, made_store, saved, serving

pytestmark = pytest.mark.slow

PIXELS = """
async () => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const canvas = document.querySelector(".rv-canvas");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return Array.from({ length: Math.floor(data.length / 4004) }, (_, n) => data[n * 4004]);
}
"""


def _pixels(page: Any) -> list[int]:
    """Every thousandth pixel's red, after the next two frames."""
    return list(page.evaluate(PIXELS))


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
        for act in ("wheel", "pan", "window"):
            page.mouse.move(box["x"] + 200, box["y"] + 200)
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
