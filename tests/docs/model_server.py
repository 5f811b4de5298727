"""A local counterpart of any OpenAI-compatible model: it solves, continues and judges, badly, at once.

    with model_server() as url: …          url ends in /v1; `openai:NAME?base_url={url}` names it

Its answers are of the right shape and of no sense: four steps and a letter, and a verdict of + or - for each step.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.backends.servers import answer, serve

_STEP = re.compile(r"<data (\w+) title=\"?step \d+|<data \w+ [^>\n]*step \d+[^>\n]*>")


@contextmanager
def model_server() -> Iterator[str]:
    """Gives its address while it runs."""
    with serve() as server:
        server.turns = itertools.repeat(_say)
        yield server.url


def _say(body: dict[str, Any]) -> str:
    parts = body["messages"][0]["content"]
    text = parts if isinstance(parts, str) else "\n".join(one["text"] for one in parts if one["type"] == "text")
    last = body["messages"][-1]
    draw = random.Random(json.dumps(body["messages"]))
    if "Answer with JSON only" in text:
        return answer(body, [_verdicts(len(_STEP.findall(text)), draw)] * body.get("n", 1))
    if last["role"] == "assistant":
        return answer(body, [f"\nStep 4: So it is.\nAnswer: {draw.choice('AB')}" for _ in range(body.get("n", 1))])
    return answer(body, [_solution(draw) for _ in range(body.get("n", 1))])


def _solution(draw: random.Random) -> str:
    steps = [
        f"Sign {draw.randint(1, 3)} is seen.",
        f"That fits reading {draw.randint(1, 2)}.",
        "Nothing speaks against it.",
    ]
    return "\n".join(f"Step {n}: {step}" for n, step in enumerate(steps, 1)) + f"\nAnswer: {draw.choice('AB')}"


def _verdicts(count: int, draw: random.Random) -> str:
    verdicts = [
        {"step": n, "label": draw.choice("++-"), "confidence": "high", "reason": "It was looked at.", "error": None,
         "checks": {"follows": "+", "medical": "+", "image": "0"}, "correction": None, "citations": []}
        for n in range(1, count + 1)
    ]  # fmt: skip
    return json.dumps({"steps": verdicts})
