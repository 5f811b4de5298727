"""The Score, Explore and Export tabs in real Chromium: what a reader does, and what must not happen to them."""

from __future__ import annotations

import json
import urllib.parse
import zipfile
from pathlib import Path
from typing import Any

import pytest

from medprm_hf import formats
from tests.space.dataset import HOSTILE
from tests.space.test_score import png

pytestmark = pytest.mark.slow
SCORED = ".mp-score .step"


def opened(page: Any, url: str, tab: str = "score") -> Any:
    """The page at a tab, once it can be used."""
    page.goto(url + f"#{tab}")
    page.wait_for_selector({"score": "[data-example=right]", "explore": ".line", "export": "#export-run"}[tab])
    return page


def fill(page: Any, question: str, *solutions: str) -> None:
    """Writes a question and its solutions."""
    page.fill("#score-question", question)
    for place, text in enumerate(solutions):
        if place:
            page.get_by_role("button", name="Add a solution").click()
        page.fill(f"#score-solution-{place}", text)


def test_an_example_is_scored_with_one_click(page: Any, space_url: str) -> None:
    opened(page, space_url).click("[data-example=rule]")
    page.wait_for_selector(SCORED, timeout=60_000)
    assert page.locator(SCORED).count() == 6
    assert page.locator(".step.falls .text").inner_text().startswith("Single ground-glass >8 mm")
    assert page.locator(".step.low .sr").first.inner_text() == "likely wrong"  # not by colour alone
    assert "not for clinical use" in page.locator(".mp-frame").inner_text()
    assert page.locator("footer").count() == 0 or not page.locator("footer").is_visible()


def test_best_of_four_follows_the_aggregate(page: Any, space_url: str) -> None:
    opened(page, space_url).click("[data-example=several]")
    page.wait_for_selector(".summary", timeout=60_000)
    assert "Solution 3" in page.locator(".summary .big").inner_text()
    page.select_option("#score-by", "last")
    assert page.locator(".total").first.inner_text().startswith("last")
    assert page.locator(".scored.best").count() == 1
    page.locator(".fold").first.click()
    assert page.locator(SCORED).count() == 12


def test_script_in_a_step_does_not_run(page: Any, space_url: str) -> None:
    opened(page, space_url)
    fill(page, HOSTILE, f"Step 1: {HOSTILE}\nStep 2: ${{alert(1)}} {{{{7*7}}}}")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(SCORED, timeout=60_000)
    assert page.locator(".step .text").first.inner_text() == HOSTILE
    assert page.evaluate("window.hacked") is None
    assert page.locator(".step img, .step script").count() == 0


def test_forty_long_steps_without_an_image(page: Any, space_url: str) -> None:
    opened(page, space_url)
    fill(page, "Which follow-up?", "\n\n".join(f"{n}: " + "a long claim about the lung " * 12 for n in range(40)))
    page.click("#score-run")
    page.wait_for_selector(SCORED, timeout=60_000)
    assert page.locator(SCORED).count() == 40
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_limits_are_told_and_nothing_is_lost(page: Any, space_url: str) -> None:
    opened(page, space_url)
    fill(page, "Which?", "x")
    page.evaluate(  # as a paste does, at once
        """text => { const area = document.getElementById('score-solution-0'); area.value = text;
                     area.dispatchEvent(new Event('input')); }""",
        "\n\n".join(f"Claim {n}." for n in range(10_000)),
    )
    page.click("#score-run")
    page.wait_for_selector(".notice.bad:visible")
    assert "10000 steps; 256 at most" in page.locator(".notice.bad:visible").inner_text()
    assert page.input_value("#score-solution-0").endswith("Claim 9999.")


def test_an_image_is_shown_and_goes_away(page: Any, space_url: str) -> None:
    opened(page, space_url)
    page.set_input_files("input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": png(40, 30)})
    page.wait_for_selector(".shown img")
    assert page.get_attribute(".shown img", "src").startswith("data:image/png;base64,")
    page.set_input_files("input[type=file]", {"name": "b.dcm", "mimeType": "", "buffer": b"x" * 400})
    page.wait_for_selector(".image .notice.bad:visible")
    page.get_by_role("button", name="Remove").click()
    assert page.locator(".drop").is_visible()


def test_a_link_holds_texts_and_no_image(page: Any, space_url: str) -> None:
    opened(page, space_url)
    page.set_input_files("input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": png(40, 30)})
    page.wait_for_selector(".shown img")
    fill(page, "Where is it? ✓", "Step 1: here.", "Step 1: there.")
    page.get_by_role("button", name="Share").click()
    page.wait_for_selector("#mp-toast.shown")
    link = page.url if "?s=" in page.url else page.evaluate("navigator.clipboard.readText()")
    assert len(link) < 1000 and not urllib.parse.urlsplit(link).query  # behind the #: never sent to a server
    other = page.context.new_page()
    other.goto(link)
    other.wait_for_selector("#score-solution-1")
    assert other.input_value("#score-question") == "Where is it? ✓"
    assert other.input_value("#score-solution-1") == "Step 1: there."
    assert other.locator(".shown img").count() == 0


def test_a_reload_keeps_what_was_typed(page: Any, space_url: str) -> None:
    opened(page, space_url)
    fill(page, "Kept?", "Step 1: yes.")
    page.wait_for_timeout(600)
    page.reload()
    page.wait_for_selector("[data-example=right]")
    assert (page.input_value("#score-question"), page.input_value("#score-solution-0")) == ("Kept?", "Step 1: yes.")


def test_a_model_writes_solutions(page: Any, space_url: str) -> None:
    opened(page, space_url).click("[data-example=right]")
    page.wait_for_selector(SCORED, timeout=60_000)
    page.get_by_role("button", name="Let a model write").click()
    page.wait_for_selector("#score-solution-3", timeout=90_000)
    assert "Nodules:" in page.input_value("#score-solution-3")


def test_explore_filters_and_opens_a_row(page: Any, space_url: str) -> None:
    opened(page, space_url, "explore")
    assert page.locator(".line").count() == 12
    page.get_by_label("wrong").first.check()
    page.wait_for_function("document.querySelectorAll('.line').length === 6")
    page.locator(".line").first.click()
    page.wait_for_selector(".steps-card .step")
    assert page.locator(".steps-card .step").count() == 6
    note = page.locator(".steps-card dd .text").first
    assert HOSTILE in note.inner_text() and page.evaluate("window.hacked") is None
    assert page.locator(".case img").evaluate("image => image.complete && image.naturalWidth") == 64
    page.go_back()
    page.wait_for_selector(".line")
    assert page.locator(".line").count() == 6


def test_downloads_are_read_back(page: Any, space_url: str, tmp_path: Path) -> None:
    opened(page, space_url, "export")
    for name in ("visualprm", "steps-jsonl", "medprm"):
        page.check(f"input[name=export-format][value={name}]")
        page.wait_for_selector("#export-run:enabled")
        with page.expect_download() as waiting:
            page.click("#export-run")
        file = tmp_path / name / waiting.value.suggested_filename
        waiting.value.save_as(file)
        if file.suffix == ".zip":
            with zipfile.ZipFile(file) as packed:
                packed.extractall(file.parent)
                file = file.parent / packed.namelist()[0]
        assert formats.detect(file) == name
        assert len(list(formats.read(file, name))) == 12


def test_the_tabs_by_keyboard_and_by_address(page: Any, space_url: str) -> None:
    opened(page, space_url, "export")
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Export"
    page.get_by_role("tab", name="Explore").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".line")
    assert page.url.endswith("#explore")


def test_colours_are_chosen_and_kept(page: Any, space_url: str) -> None:
    opened(page, space_url)
    page.get_by_role("button", name="Dark colours").click()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    page.wait_for_selector("[data-example=right]")
    assert page.evaluate("document.body.classList.contains('dark')")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


@pytest.mark.parametrize("tab", ["score", "explore", "export"])
def test_phones_need_no_sideways_scrolling(browser: Any, space_url: str, tab: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = opened(context.new_page(), space_url, tab)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_every_control_has_a_name(page: Any, space_url: str) -> None:
    nameless = """() => [...document.querySelectorAll('.mp :is(button, input, textarea, select, a)')]
        .filter((one) => one.offsetParent && !one.closest('[aria-hidden=true]'))
        .filter((one) => !(one.innerText || one.ariaLabel || one.title || one.labels?.length))
        .map((one) => one.outerHTML.slice(0, 120))"""
    for tab in ("score", "explore", "export"):
        opened(page, space_url, tab)
        assert page.evaluate(nameless) == [], tab
    assert json.loads(page.evaluate("JSON.stringify(document.documentElement.lang)")) == "en"
