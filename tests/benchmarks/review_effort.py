"""Keystrokes and seconds of machine wait for a step, on the review page and on two other ways to label.

    .venv/bin/python tests/benchmarks/review_effort.py [--steps 200] [--seed 0] [--json]

The expert is simulated: a script that knows each step's label (a quarter are wrong) and types as soon as the page is
ready, in real Chromium. So keys and waits are measured; the time to read and think is a person's and is not. Wait =
from a key to the moment the page can take the next one (the frame in which it is drawn included), and, for a key that
ends an item, until the next item is drawn. Every label is compared with the truth at the end.

    review page            one key a step, Enter ends the item; the same with "next item by itself"; the same where only
                           30 % of the steps are asked (M8); the same with "the rest is right" after the last wrong step
    ancestor's flow        A approves all, 1–4 (or arrows and space) toggle what is wrong, Enter
    one radio a step       plain Gradio: by keyboard (Tab and Space), and by mouse (clicks are counted as keys)
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.review_flows import ancestor_page, radio_app
from tests.space.review_rows import row
from tests.space.review_server import browsing, free_port, labels_of, serving

GOAL_KEYS, GOAL_WAIT = 1.2, 0.1
WATCH = """
window.waits = []; window.until = () => true;
for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, (event) => {
  if (event.key === "Shift") return;
  const began = performance.now(), until = window.until;
  const look = () => until() ? window.waits.push((performance.now() - began) / 1000) : requestAnimationFrame(look);
  requestAnimationFrame(look);
}, true);
"""
"""Within the page, so that the driver's own delays are not counted: from the key to the first frame that is ready."""


@dataclass
class Expert:
    """Counts what it presses and how long the machine lets it wait."""

    page: Any
    keys: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds after each key."""

    def press(self, key: str, until: str | None = None, argument: Any = None) -> None:
        """One key, and the wait until the page is ready (`until` is true)."""
        self._act(lambda: self.page.keyboard.press(key), until, argument)

    def click(self, selector: str, until: str | None = None, argument: Any = None) -> None:
        """One click, counted as a key."""
        self._act(lambda: self.page.click(selector), until, argument)

    def _act(self, act: Callable[[], None], until: str | None, argument: Any) -> None:
        self.keys += 1
        test = until or "() => true"
        self.page.evaluate(f"(given) => {{ const test = {test}; window.until = () => test(given); }}", argument)
        act()
        self.page.wait_for_function("(keys) => window.waits.length >= keys", arg=self.keys, timeout=30000)
        self.waits.append(self.page.evaluate("(key) => window.waits[key]", self.keys - 1))


def made(steps: int, seed: int) -> list[dict[str, Any]]:
    """Items of 3 to 9 steps, `steps` in all, with the truth: {question, steps, truth}."""
    drawn, items = random.Random(seed), []
    while steps > 0:
        left = steps if steps <= 9 else min(drawn.randint(3, 9), steps - 3)
        number = len(items)
        items.append({
            "question": f"Which finding fits case {number}?",
            "steps": [f"Case {number}, step {n + 1}: the lung shows one finding." for n in range(left)],
            "truth": ["-" if drawn.random() < 0.25 else "+" for _ in range(left)],
        })  # fmt: skip
        steps -= left
    return items


# --- the review page -------------------------------------------------------------------------------------------

CURRENT = "(step) => document.querySelector('.rv-step[aria-current]')?.dataset.step === String(step)"
LEFT = "(item) => !location.hash.includes('item=' + item) || document.querySelector('.rv > .empty:not([hidden])')"


@contextmanager
def review_page(
    browser: Any, items: list[dict[str, Any]], asked: float, seed: int
) -> Iterator[tuple[Expert, Path, Any]]:
    """The Space with these items; a share of the steps is asked (1: all)."""
    from medprm_hf.review.store import ReviewStore, StoreSettings

    drawn = random.Random(seed + 1)
    table = [row(number, item["steps"]) for number, item in enumerate(items)]
    for one in table:
        one["needs_review"] = [drawn.random() < asked for _ in one["steps"]]
        one["labels"] = ["?" if needs else "+" for needs in one["needs_review"]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "review.sqlite"
        store = ReviewStore(path, StoreSettings(order="doubt", sample=0.0))
        store.add(table, whole=asked == 1)
        store.close()
        with serving(path) as url:
            context = browser.new_context(viewport={"width": 1280, "height": 860})
            context.request.post(url + "review/api/login", data={"name": "simulated-expert"})
            page = context.new_page()
            page.add_init_script(WATCH)
            page.goto(url + "#review")
            page.wait_for_selector(".rv-step[aria-current]", timeout=60000)
            yield Expert(page), path, page
            context.close()


def use_review_page(
    browser: Any, items: list[dict[str, Any]], seed: int, *, asked: float = 1.0, flow: bool = False, rest: bool = False
) -> tuple[Expert, int]:
    """Labels what is asked; (expert, steps labelled). AssertionError where the store differs from the truth."""
    truth = {f"test-{number:04d}-s0": item["truth"] for number, item in enumerate(items)}
    with review_page(browser, items, asked, seed) as (expert, path, page):
        if flow:
            page.evaluate("localStorage.setItem('medprm.flow', 'true')")
        while page.locator(".rv > .empty:not([hidden])").count() == 0:
            item = page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('item')")
            open_steps = page.eval_on_selector_all(
                ".rv-step.asked", "rows => rows.map((row) => Number(row.dataset.step))"
            )
            _label(expert, item, open_steps, truth[item], flow, rest)
        page.wait_for_selector(".rv-saved[data-state=saved]")
        stored = labels_of(path)
    assert all(truth[item][step] == label for (item, step, _), label in stored.items()), (
        "a label differs from the truth"
    )
    return expert, len(stored)


def _label(expert: Expert, item: str, steps: list[int], truth: list[str], flow: bool, rest: bool) -> None:
    wrong = [step for step in steps if truth[step] == "-"]
    alone = len([step for step in steps if not wrong or step > wrong[-1]])
    for place, step in enumerate(steps):
        last = place + 1 == len(steps)
        if rest and alone > 1 and (not wrong or step > wrong[-1]):
            expert.press("a", LEFT if flow else None, item)
            break
        if last:
            expert.press(truth[step], LEFT if flow else None, item)
        else:
            expert.press(truth[step], CURRENT, steps[place + 1])
    if not flow:
        expert.press("Enter", LEFT, item)


# --- the others ------------------------------------------------------------------------------------------------


def use_ancestor(browser: Any, items: list[dict[str, Any]]) -> tuple[Expert, int]:
    """Approves all, toggles what is wrong, Enter."""
    page = browser.new_page()
    page.add_init_script(WATCH)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(ancestor_page(items))
        page.goto(file.as_uri())
        expert = Expert(page)
        for number, item in enumerate(items):
            expert.press("a")
            at = 0
            for step in [n for n, label in enumerate(item["truth"]) if label == "-"]:
                if step < 4:
                    expert.press(str(step + 1))
                    continue
                for _ in range(step - at):
                    expert.press("ArrowDown")
                at = step
                expert.press(" ")
            expert.press("Enter", "(item) => document.body.dataset.item === String(item)", number + 1)
        assert page.evaluate("result") == [item["truth"] for item in items]
    page.close()
    return expert, sum(len(item["steps"]) for item in items)


@contextmanager
def radios(browser: Any, items: list[dict[str, Any]], heard: list[list[str]]) -> Iterator[Any]:
    """The Gradio page in a thread of this process."""
    app, port = radio_app(items, heard.append), free_port()
    app.launch(server_port=port, prevent_thread_lock=True, quiet=True, ssr_mode=False, share=False)
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.add_init_script(WATCH)
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("#step-0 input", timeout=60000)
    try:
        yield page
    finally:
        page.close()
        closing = threading.Thread(target=lambda: app.close(verbose=False))
        closing.start()
        closing.join(10)


def use_radios(browser: Any, items: list[dict[str, Any]], keyboard: bool) -> tuple[Expert, int]:
    """One radio group a step: by keyboard only, or by mouse only."""
    heard: list[list[str]] = []
    shown = "(number) => document.querySelector('#question textarea').value.startsWith(number + ':')"
    with radios(browser, items, heard) as page:
        expert = Expert(page)
        page.wait_for_function(shown, arg=0)
        for number, item in enumerate(items):
            time.sleep(0.05)
            if keyboard:
                _by_keyboard(expert, item, number, shown)
            else:
                for step, label in enumerate(item["truth"]):
                    expert.click(f"#step-{step} label:nth-of-type({1 + (label == '-')})")
                expert.click("#submit", shown, number + 1)
    assert heard == [item["truth"] for item in items]
    return expert, sum(len(item["steps"]) for item in items)


def _by_keyboard(expert: Expert, item: dict[str, Any], number: int, shown: str) -> None:
    """Each choice is a stop of its own: Space and Tab; then back to the top, as the focus stays on the button."""
    page = expert.page
    if number == 0:
        page.focus("#step-0 input")
    for label in item["truth"]:
        for key in (" ", "Tab", "Tab") if label == "+" else ("Tab", " ", "Tab"):
            expert.press(key)
    expert.press("Enter", shown, number + 1)
    while page.locator("#step-0 input").count() and not page.evaluate(AT_TOP):
        expert.press("Shift+Tab")


AT_TOP = "document.activeElement === document.querySelector('#step-0 input')"

# --- report ----------------------------------------------------------------------------------------------------


def main() -> None:
    """Runs all and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    items = made(args.steps, args.seed)
    with browsing() as browser:
        cases: dict[str, Callable[[], tuple[Expert, int]]] = {
            "review page": lambda: use_review_page(browser, items, args.seed),
            "review page, next item by itself": lambda: use_review_page(browser, items, args.seed, flow=True),
            "review page, rest is right": lambda: use_review_page(browser, items, args.seed, rest=True),
            "review page, 30 % asked": lambda: use_review_page(browser, items, args.seed, asked=0.3),
            "review page, 30 % asked, next item by itself": lambda: use_review_page(
                browser, items, args.seed, asked=0.3, flow=True
            ),
            "ancestor's flow": lambda: use_ancestor(browser, items),
            "one radio a step, keyboard": lambda: use_radios(browser, items, True),
            "one radio a step, mouse": lambda: use_radios(browser, items, False),
        }
        for case, run in cases.items():
            expert, steps = run()
            _say(args.json, case, expert, steps)


def _say(as_json: bool, case: str, expert: Expert, steps: int) -> None:
    ours = case.startswith("review page")
    longest = sorted(expert.waits)[int(0.95 * (len(expert.waits) - 1))]
    for metric, value, unit, goal in (
        ("keystrokes a step", expert.keys / steps, "keys", GOAL_KEYS if ours else None),
        ("machine wait a step", sum(expert.waits) / steps, "s", GOAL_WAIT if ours else None),
        ("machine wait a key, p95", longest, "s", None),
        ("steps", steps, "", None),
    ):
        holds = None if goal is None else value <= goal
        if as_json:
            print(
                json.dumps(
                    {
                        "case": case,
                        "metric": metric,
                        "value": round(value, 4),
                        "unit": unit,
                        "goal": goal,
                        "holds": holds,
                    }
                )
            )
        else:
            print(
                f"{case:46}{metric:26}{value:9.3f} {unit:5}{'' if goal is None else f'goal ≤ {goal}: {holds}'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
