"""What the review page must not do: tell signals in blind mode, run a script, let a visitor in. Slow (a browser)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.space.review_rows import SECRET, row, rows
from tests.space.review_server import begin, decisions_of, made_store, serving

pytestmark = pytest.mark.slow

ASK = """
async ([path, body]) => (await fetch("review/api/" + path, body && {
  method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
})).status
"""
"""A request from within the page, with its own cookies; gives the status."""


def texts(answers: list[Any]) -> list[str]:
    """Bodies of everything that came over the network, pictures left out."""
    kept = []
    for answer in answers:
        if "/image/" not in answer.url and answer.status == 200:
            try:
                kept.append(answer.text())
            except Exception as error:  # a body that Chromium did not keep (fonts, icons)
                assert "/review/api/" not in answer.url, error
    return kept


def test_blind_shows_and_sends_no_signal_before_the_answer(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(2, steps=3), blind=True)
    with serving(store, blind=True) as url:
        context = browser.new_context()
        context.request.post(url + "review/api/login", data={"name": "ann"})
        page = context.new_page()
        answers: list[Any] = []
        page.on("response", lambda answer: answers.append(answer))  # a builtin is refused
        page.goto(url + "#review")
        page.wait_for_selector(".rv-step[aria-current]")
        page.wait_for_timeout(500)
        sent = texts(answers)
        assert SECRET not in page.content() and SECRET not in "".join(sent)
        assert page.locator("mark").count() == 0
        item = json.loads(next(body for body in sent if body.startswith('{"item"')))["item"]
        assert all(step["signals"] is None for step in item["steps"])
        number = int(item["item_id"].split("-")[1])
        page.keyboard.press("+")
        page.wait_for_function(f"document.querySelector('[data-step=\"0\"]').textContent.includes('{SECRET}')")
        assert f"{SECRET} {number}.0" in page.content()
        page.wait_for_timeout(300)
        assert f"{SECRET} {number}.1" not in page.content()
        assert f"{SECRET} {number}.1" not in "".join(texts(answers))
        context.close()


def test_evidence_marks_the_cited_words(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    with serving(store) as url:
        page = begin(browser, url)
        assert page.inner_text("mark") == "One of 8 mm or more does"
        assert SECRET in page.inner_text(".rv-steps")
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


def test_a_visitor_is_refused_by_the_server(browser: Any, tmp_path: Path) -> None:
    store = made_store(tmp_path / "review.sqlite", rows(1))
    roles = tmp_path / "roles.yaml"
    roles.write_text("reviewer: [ann]\n")
    save = {"key": "12345678", "item_id": "test-0000-s0", "version": 1, "step": 0, "label": "+", "seconds": 1}
    with serving(store, roles=roles) as url:
        context = browser.new_context()
        context.request.post(url + "review/api/login", data={"name": "mallory"})
        page = context.new_page()
        page.goto(url + "#review")
        page.wait_for_selector(".rv-visitor")
        assert "mallory" in page.inner_text(".rv-visitor")
        for path, body in (("next", {}), ("save", save), ("progress", None), ("image/test-0000-s0", None)):
            assert page.evaluate(ASK, [path, body]) == 403, path
        assert decisions_of(store) == []
        context.close()


def test_a_shared_space_shows_its_login(browser: Any, tmp_path: Path) -> None:
    """What /me says on a Hugging Face Space before the login, answered in its place."""
    store = made_store(tmp_path / "review.sqlite", rows(1))
    nobody = {"name": "", "role": "visitor", "mode": "hub", "blind": False, "keys": {}, "counts": {}}
    with serving(store) as url:
        page = browser.new_page()
        page.route("**/review/api/me", lambda route: route.fulfill(json=nobody))
        page.goto(url + "#review")
        login = page.wait_for_selector(".rv-visitor a")
        assert login.get_attribute("href") == "oauth/huggingface/login"
        assert page.locator(".rv-step").count() == 0
        page.close()


def test_items_of_one_field_are_offered(browser: Any, tmp_path: Path) -> None:
    table = rows(6)
    for one in table:
        one["modality"] = "chest_xray" if one["question_id"] == "test-0004" else "pathology_slide"
    store = made_store(tmp_path / "review.sqlite", table)
    with serving(store) as url:
        page = begin(browser, url)
        page.select_option(".rv-specialty", "radiology")
        page.keyboard.press("Escape")
        page.locator(".rv-step").first.click()
        page.keyboard.press("s")
        page.wait_for_function("location.hash.includes('test-0004')")
        page.context.close()
