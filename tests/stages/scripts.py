"""Scripted models for the stage tests: what each one answers is written here, so every count can be derived."""

from __future__ import annotations

import json
import time

from medprm_hf.backends.protocol import Completion, Failure, Request

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
    """As `solver`, but each answer takes 2 ms: time enough to be killed in."""
    time.sleep(0.002)
    return solver(request, place)
