"""Rollouts per core-second: the in-process backend beside transformers' plain `generate`, in one run.

    python tests/benchmarks/phantom_rollouts.py [--model phantom:policy] [--questions 64] [--json]

Work: the policy's own solutions (4 a question, temperature 0.8), each cut into its 6 steps; K = 8 rollouts from
each prefix but the last, which is the whole solution. Prefixes that are equal in several solutions of a question
are asked for once, as the rollout stage does; what is counted are the rollouts of *distinct* (question, prefix)
pairs, each with a seed of its own (the run checks that as many samples were computed as are counted). Rollouts
delivered to all the prefixes that asked, equal ones counted each time, are a figure of their own and not compared.

`generate` does the same kind of work on an even sample of the same prefixes: processor, prompts padded left, 8
samples a prompt by num_return_sequences, batches of 128 rows, same model, dtype and one thread. Both times run
from requests to texts, in core-seconds (time.process_time); medians of the repeats, which alternate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from medprm_hf.backends import Message, Request, Sampling
from medprm_hf.backends.inside.chat import Chat, open_image
from medprm_hf.backends.inside.transformers import TransformersBackend
from medprm_hf.backends.open import open_backend
from medprm_hf.ids import content_hash
from medprm_hf.phantom.questions import question_rows
from medprm_hf.text.prompts import solve_prompt
from medprm_hf.text.steps import prefix_text, split_steps

SAMPLING = Sampling(temperature=0.8, max_tokens=64, seed=1)
SOLUTIONS, K, ROWS = 4, 8, 128
GOAL = 10.0


@dataclass
class Work:
    """The requests of one run."""

    distinct: list[Request]
    prefixes: int
    """Prefixes of all solutions, equal ones counted each time."""


def make_work(backend: Any, questions: int) -> Work:
    """Solutions from the backend, cut into the requests for their rollouts."""
    asked = [
        Request(
            (Message("user", solve_prompt(row["question"], row["options"], style="bare"), (row["image"]["bytes"],)),),
            SOLUTIONS,
            SAMPLING,
            key=row["question_id"],
        )
        for row in question_rows("test", questions)
    ]
    found: dict[str, Request] = {}
    prefixes = 0
    for request, reply in zip(asked, backend.complete(asked), strict=True):
        for done in reply.completions:
            steps = split_steps(done.text)
            for place in range(len(steps) - 1):
                prefix = prefix_text(done.text, steps, place)
                key = f"{request.key}/{content_hash(prefix)}"
                found[key] = Request(request.messages, K, SAMPLING, prefix, key)
                prefixes += 1
    return Work(list(found.values()), prefixes)


def core_seconds(work: Callable[[], None]) -> float:
    """Processor time of all threads of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


class PlainGenerate:
    """What a careful user would write with transformers alone."""

    def __init__(self, checkpoint: str) -> None:
        self.processor = AutoProcessor.from_pretrained(checkpoint, padding_side="left")
        self.model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
        self.chat = Chat(self.processor)

    def run(self, requests: Sequence[Request]) -> list[list[str]]:
        """K texts a request."""
        texts: list[list[str]] = []
        for start in range(0, len(requests), ROWS // K):
            texts += self._batch(requests[start : start + ROWS // K])
        return texts

    @torch.inference_mode()
    def _batch(self, requests: Sequence[Request]) -> list[list[str]]:
        inputs = self.processor(
            text=[self.chat.text(request.messages) + request.prefix for request in requests],
            images=[[open_image(request.messages[0].images[0])] for request in requests],
            padding=True,
            return_tensors="pt",
        )
        found = self.model.generate(
            **inputs,
            do_sample=True,
            temperature=SAMPLING.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=SAMPLING.max_tokens,
            num_return_sequences=K,
        )
        texts = self.processor.batch_decode(found[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [texts[start : start + K] for start in range(0, len(texts), K)]


def measure(spec: str, questions: int, repeats: int, sample: int) -> list[dict[str, Any]]:
    """All figures."""
    torch.set_num_threads(1)
    backend = open_backend(spec)
    if not isinstance(backend, TransformersBackend):
        raise SystemExit(f"{spec} does not run in this process: take phantom:… or transformers:…")
    work = make_work(backend, questions)
    plain = PlainGenerate(backend.checkpoint)
    few = work.distinct[:: max(1, len(work.distinct) // sample)][:sample]
    ours, theirs = [], []
    for repeat in range(repeats + 1):  # the first warms both up
        before = backend.computed
        fast = core_seconds(lambda: backend.complete(work.distinct) and None)
        assert backend.computed - before == K * len(work.distinct)
        slow = core_seconds(lambda: plain.run(few) and None)
        if repeat:
            ours.append(K * len(work.distinct) / fast)
            theirs.append(K * len(few) / slow)
    return figures(work, len(few), statistics.median(ours), statistics.median(theirs))


def figures(work: Work, few: int, ours: float, theirs: float) -> list[dict[str, Any]]:
    """One object a figure."""
    case = "phantom_rollouts"
    shared = work.prefixes / len(work.distinct)
    rows: list[tuple[str, float, str, float | None]] = [
        ("distinct_rollouts", K * len(work.distinct), "rollouts a repeat", None),
        ("generate_rollouts", K * few, "rollouts a repeat", None),
        ("backend", ours, "distinct rollouts / core-second", None),
        ("backend_delivered", ours * shared, "rollouts delivered to prefixes / core-second", None),
        ("generate", theirs, "rollouts / core-second", None),
        ("ratio", ours / theirs, "x", GOAL),
    ]
    return [
        {
            "case": case,
            "metric": metric,
            "value": round(value, 1),
            "unit": unit,
            "goal": goal,
            "holds": None if goal is None else value >= goal,
        }
        for metric, value, unit, goal in rows
    ]


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="phantom:policy", help="a spec of a backend in this process")
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sample", type=int, default=64, help="prefixes that plain generate continues")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args()
    for figure in measure(given.model, given.questions, given.repeats, given.sample):
        if given.json:
            print(json.dumps(figure))
        else:
            goal = "" if figure["goal"] is None else f"   goal >= {figure['goal']:g}: {figure['holds']}"
            print(f"{figure['metric']:18} {figure['value']:10.1f} {figure['unit']}{goal}")


if __name__ == "__main__":
    main()
