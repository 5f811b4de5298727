"""A rater study: easy and hard questions, several solutions of each, all of them read blindly by everyone.

    rows = choose(rows, questions=10, traces=3)            10 easy and 10 hard questions, 3 solutions of each
    study_store(Path("study.sqlite"), rows, raters=4)

How far raters agree on easy and on hard questions is then `agreement(store, by="difficulty", blind=True)`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medprm_hf.errors import ConfigError
from medprm_hf.labels.sampling import draw_of
from medprm_hf.review.items import Row
from medprm_hf.review.settings import StoreSettings
from medprm_hf.review.store import ReviewStore

LEVELS = ("easy", "hard")


def rater_study(raters: int, seed: int = 0) -> StoreSettings:
    """Settings of a study: everyone reads everything, blindly, nothing else is drawn, the gold answer is hidden."""
    return StoreSettings("random", sample=0.0, reviewers_per_item=raters, blind=True, show_answer=False, seed=seed)


def choose(
    rows: Iterable[Row], questions: int = 10, traces: int = 3, levels: tuple[str, ...] = LEVELS, seed: int = 0
) -> list[Row]:
    """The rows of `questions` questions of each difficulty, `traces` solutions each, drawn by their names.

    Right and wrong solutions take turns where both are there. ConfigError says what lacks.
    """
    by_question: dict[str, dict[str, list[Row]]] = {level: {} for level in levels}
    for row in rows:
        if row.get("difficulty") in by_question and row.get("steps"):
            by_question[row["difficulty"]].setdefault(row["question_id"], []).append(row)
    found: list[Row] = []
    for level, there in by_question.items():
        whole = [name for name, mine in there.items() if len(mine) >= traces]
        if len(whole) < questions:
            raise ConfigError(
                f"rater study: {len(whole)} {level} questions have {traces} solutions or more, {questions} are asked "
                f"for: ask for fewer, or generate more solutions"
            )
        for name in sorted(whole, key=lambda name: draw_of(seed, "study", name))[:questions]:
            found += _mixed(there[name], traces, seed)
    return found


def _mixed(rows: list[Row], traces: int, seed: int) -> list[Row]:
    """Right and wrong solutions in turn, each kind in the order of its draw."""
    order = sorted(rows, key=lambda row: draw_of(seed, "trace", str(row["solution_id"])))
    right = [row for row in order if row.get("is_correct")]
    wrong = [row for row in order if not row.get("is_correct")]
    turns = [row for pair in zip(wrong, right, strict=False) for row in pair]
    return (turns + [row for row in order if row not in turns])[:traces]


def study_store(path: Path, rows: Iterable[Row], raters: int, batch: str = "study", seed: int = 0) -> ReviewStore:
    """A store that asks every step of these rows of `raters` people."""
    store = ReviewStore(path, rater_study(raters, seed))
    store.add(rows, batch=batch, whole=True)
    return store
