"""Scripted models for the stage tests: what each one answers is written here, so every count can be derived."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import numpy as np

from medprm_hf.backends.protocol import Completion, Failure, Request
from medprm_hf.ids import uniforms
from medprm_hf.labels.monte_carlo import Decision, Pairs, Problem, State, decision

GOOD = "Step 1: A nodule is seen.\nStep 2: It is solid.\nStep 3: It measures 7 mm.\nAnswer: B"
BAD = "Step 1: A nodule is seen.\nStep 2: It is calcified.\nStep 3: No follow-up is needed.\nAnswer: A"
MUTE = "Step 1: I see.\nStep 2: I wonder.\nStep 3: I stop."
SHORT = "Answer: B"


def solver(request: Request, place: int) -> str | Completion | Failure:
    """Whole solutions: good, bad, mute, short in turn. After a prefix: right from the good, wrong from the bad path,
    one unreadable and one failed in eight."""
    if not request.prefix:
        return (GOOD, BAD, MUTE, SHORT, GOOD)[place % 5]
    if place == 6:
        return "I cannot say."
    if place == 7:
        return Failure("http_500", "the server said 500")
    calcified = "calcified" in request.prefix
    return "\nAnswer: A" if calcified or place == 5 else "\nAnswer: B"


def mute(request: Request, place: int) -> str:
    """Never gives a readable answer."""
    return MUTE


def broken(request: Request, place: int) -> Failure:
    """Never answers."""
    return Failure("timeout", "no answer in 120 s")


def judge(request: Request, place: int) -> str:
    """Calls steps that say calcified or no follow-up wrong, all others right, with high confidence."""
    verdicts = [
        {
            "step": n,
            "label": "-" if "calcified" in text or "No follow-up" in text else "+",
            "confidence": "high",
            "reason": "read",
        }
        for n, text in enumerate(request.about["steps"], 1)
    ]
    return json.dumps({"steps": verdicts})


def prose_judge(request: Request, place: int) -> str:
    """Talks, but gives no verdict."""
    return "These steps look fine to me overall."


def slow_solver(request: Request, place: int) -> str | Completion | Failure:
    """As `solver`, but each answer takes 4 ms: time enough to be killed in."""
    time.sleep(0.004)
    return solver(request, place)


def always_a(request: Request, place: int) -> str:
    """Likes the letter A, whatever stands behind it."""
    return "\nAnswer: A"


def reader(request: Request, place: int) -> str:
    """Knows that CT is right: names its letter where options are shown, and the word where they are not."""
    for line in request.messages[-1].text.splitlines():
        if line.endswith(". CT"):
            return f"\nAnswer: {line[0]}"
    return "\nFinal answer: a CT of the chest"


def mumbler(request: Request, place: int) -> str:
    """In words: right, none of the options, two of them, nothing to read, in turn."""
    return ("\nAnswer: CT", "\nAnswer: ultrasound", "\nAnswer: CT or biopsy", "\nI cannot say")[place % 4]


def noisy(request: Request, place: int) -> str:
    """Right with 0.7, after a calcified step with 0.2; each place of each request draws for itself."""
    rate = 0.2 if "calcified" in request.prefix else 0.7
    return "\nAnswer: B" if uniforms(request.seed(place), 1)[0] < rate else "\nAnswer: A"


@dataclass(frozen=True)
class Learner:
    """An estimator for tests: two rollouts of each open prefix a round, four in all; it learns the mean accuracy, and
    leaves a prefix alone that lies above what it has learnt."""

    most: int = 4

    def ask(self, problem: Problem, state: State) -> Pairs:
        """Two of each prefix that is not above the mean yet."""
        if state.rounds:
            state.learnt["mean"] = float(state.correct.sum() / max(state.total.sum(), 1)) / 3 * 2
        mean = state.learnt.get("mean", 1.0)
        above = state.correct > mean * np.maximum(state.total, 1)
        open_ = problem.mask & ~above & (state.total < self.most)
        return Pairs.of_counts(np.where(open_, 2, 0))

    def decide(self, problem: Problem, state: State) -> Decision:
        """P(right) leans on what was learnt."""
        p = (state.correct + state.learnt.get("mean", 0.5)) / (state.total + 1)
        return decision(problem, state, np.where(p > 0.5, "+", "-"), p)


SOLVED_ON = "\nStep 2: Finding {} is solid.\nStep 3: It measures 7 mm.\nAnswer: B"


def wanderer(request: Request, place: int) -> str | Completion:
    """Ends solutions in eight ways: as `GOOD` does, too short, mute, too long, cut, and three that are new."""
    if request.first + place < 5:
        long = "".join(f"\nStep {n}: More." for n in range(2, 12))
        ways = (
            "\nStep 2: It is solid.\nStep 3: It measures 7 mm.\nAnswer: B",
            "\nAnswer: B",
            "\nHm.",
            long + "\nAnswer: B",
        )
        return ways[place] if place < 4 else Completion(SOLVED_ON.format("cut"), "length", 9)
    return SOLVED_ON.format(request.first + place)
