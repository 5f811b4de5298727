"""Live figures of a run: rate, money, label cost and failures, on a terminal and without one."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from medprm_hf.backends.books import books, open_books
from medprm_hf.backends.money.tally import Tally
from medprm_hf.recipe import parse
from medprm_hf.runs import progress as module
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.progress import Figures, Watch, show_progress

MINI = "openai:gpt-4o-mini"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    plain = {"stages": ["questions", "generate", "judge", "merge"], "merge": {"policy": "judge"}}
    return Run.open(tmp_path / "run", parse(plain))


def figures(asked: Tally, **changes: object) -> Figures:
    plain = {"stage": "judge", "done": 1, "total": 4, "part": 1.5, "asked": asked, "rate": 212.4, "eta": 65.0}
    return Figures(**{**plain, "spent": 0.84, "budget": 25.0, "per_label": 0.00031, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "changes", "words"),
    [
        (Tally(), {}, ""),
        (Tally(9, 9, cost=0.5), {}, "212/s  $0.84 of $25.00  $0.00031/label"),
        (Tally(9, 9, cost=0.5), {"budget": None, "per_label": None, "rate": 1.25}, "1.2/s  $0.84"),
        (Tally(9, 9, local=True), {"budget": None}, "212/s  local"),
        (Tally(9, 9, cost=None), {"budget": None, "per_label": None}, "212/s  unknown"),
        (Tally(0, 0, 1200), {"rate": 0.0}, "0.0/s  $0.84 of $25.00  $0.00031/label  1,200 from journal"),
    ],
)
def test_words(asked: Tally, changes: dict[str, object], words: str) -> None:
    assert figures(asked, **changes).words() == words


def test_failures_are_named_by_kind() -> None:
    asked = Tally(9, 9, cost=0.1)
    asked.failures.update({"timeout": 3, "http_500": 7})
    assert figures(asked).words().endswith("http_500 7  timeout 3")


def test_a_watch_follows_the_meter(run: Run) -> None:
    with open_books(budget=5.0):
        watch = Watch(run)
        watch.advance("judge", 0, 4)
        with books().meter.stage("judge"):
            for _ in range(10):
                books().meter.book(MINI, 1000, 100)
            watch.advance("judge", 1, 4)
            for _ in range(5):
                books().meter.book(MINI, 1000, 100)
        time.sleep(0.05)
        now = watch.figures()
    assert now.asked.completions == 15
    assert now.part == pytest.approx(1.5)  # half a shard more, by the mean of those that are done
    assert now.rate > 0
    assert now.eta is not None and now.eta > 0
    assert now.spent == pytest.approx(15 * (1000 * 0.15 + 100 * 0.60) / 1e6)
    assert now.budget == 5.0


@pytest.mark.parametrize("terminal", [True, False])
def test_both_ways_to_show(run: Run, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAY_EVERY", 0.05)
    monkeypatch.setattr(module, "LOOK_EVERY", 0.05)
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    with open_books(), show_progress(run, console) as advance:
        advance("judge", 0, 2)
        with books().meter.stage("judge"):
            books().meter.book(MINI, 10**6, 0)
            books().meter.fail(MINI, "timeout")
        advance("judge", 1, 2)
        time.sleep(0.4)
        advance("judge", 2, 2)
    said = out.getvalue()
    assert "judge" in said
    assert "$0.15" in said
    assert "timeout 1" in said
    assert ("judge: 1/2 shards, eta" in said) is not terminal
