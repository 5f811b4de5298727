"""What the checkpoints score on unseen scenes: counts first, ratios with bootstrap intervals over questions.

    policy   pass@1, pass@8, majority of 8, unreadable, share of solutions by kind of first error
    base     greedy accuracy, and each step's share of right claims

pass@8 is the share of questions with at least one right answer among 8 solutions; a majority is the answer
given most often (the first to appear wins a tie; solutions without an answer do not vote). `unreadable`
solutions have no answer and count as wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medprm_hf.backends import open_backend
from medprm_hf.backends.protocol import Failure, Message, Request, Sampling
from medprm_hf.errors import BackendError
from medprm_hf.ids import stable_seed
from medprm_hf.phantom import steps as text
from medprm_hf.phantom.oracle import ROOT_KINDS, ErrorKind, StepTruth, check_steps, first_error
from medprm_hf.phantom.render import png_bytes
from medprm_hf.phantom.world import OPTIONS, Scene, question_ids, scene_of
from medprm_hf.text.prompts import question_text

RESAMPLES = 2000
MAX_TOKENS = 64
"""New tokens at most; the longest solution has 26."""


@dataclass(frozen=True)
class Figure:
    """A mean over questions with its 95 % bootstrap interval."""

    value: float
    """The mean."""
    low: float
    """2.5th percentile of the resampled means."""
    high: float
    """97.5th percentile."""
    n: int
    """Questions."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interval(per_question: Sequence[float] | NDArray[np.float64]) -> Figure:
    """Mean of one value a question, shape [questions], questions resampled with replacement."""
    values = np.asarray(per_question, dtype=float)
    rng = np.random.Generator(np.random.Philox(key=stable_seed("figures", len(values))))
    picks = rng.integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), (0.025, 0.975))
    return Figure(float(values.mean()), float(low), float(high), len(values))


def answer_of(solution: str) -> str | None:
    """The option that a solution's last step names, or None."""
    steps = text.split(solution)
    match = text.ANSWER.fullmatch(steps[-1]) if steps else None
    return OPTIONS[text.LETTERS.index(match[1])] if match else None


def policy_figures(scenes: Sequence[Scene], solutions: Sequence[Sequence[str]]) -> dict[str, Figure]:
    """Figures of k sampled solutions a scene; `solutions[i]` belong to `scenes[i]`."""
    k = len(solutions[0])
    answers = [[answer_of(solution) for solution in group] for group in solutions]
    pairs = list(zip(scenes, answers, strict=True))
    right = [[answer == scene.answer for answer in given] for scene, given in pairs]
    truths = [
        [check_steps(scene, text.split(solution)) for solution in group]
        for scene, group in zip(scenes, solutions, strict=True)
    ]
    figures = {
        "pass@1": interval([float(np.mean(each)) for each in right]),
        f"pass@{k}": interval([any(each) for each in right]),
        f"majority@{k}": interval([majority(given) == scene.answer for scene, given in pairs]),
        "unreadable": interval([given.count(None) / k for given in answers]),
        "format": interval([sum(map(_has_format, group)) / k for group in truths]),
        "all steps right": interval([_share_of(group, None) for group in truths]),
    }
    for kind in ROOT_KINDS:
        figures[f"first error {kind}"] = interval([_share_of(group, kind) for group in truths])
    return figures


def base_figures(scenes: Sequence[Scene], greedy: Sequence[str]) -> dict[str, Figure]:
    """Greedy accuracy, and the share of right claims at each step."""
    figures = {"greedy": interval([answer_of(s) == scene.answer for scene, s in zip(scenes, greedy, strict=True)])}
    truths = [check_steps(s, text.split(g)) for s, g in zip(scenes, greedy, strict=True)]
    names = ("nodules", "largest", "type", "size", "rule", "answer")
    for index, name in enumerate(names):
        reached = [truth[index].right for truth in truths if index < len(truth)]
        figures[f"step {name}"] = interval(reached)
    return figures


def measure(name: str, path: Path, *, n: int = 600, seed: int = 0) -> dict[str, Figure]:
    """Score a checkpoint on `n` unseen test scenes: greedy for the base, 8 at 0.8 for the policy."""
    scenes = [scene_of(question_id) for question_id in question_ids("test", n, seed)]
    spec = f"transformers:{path}"
    if name == "base":
        return base_figures(scenes, [group[0] for group in sample(spec, scenes)])
    return policy_figures(scenes, sample(spec, scenes, k=8, temperature=0.8, seed=seed))


def majority(answers: Sequence[str | None]) -> str | None:
    """The answer given most often, or None when there is none."""
    votes = Counter(answer for answer in answers if answer is not None)
    return votes.most_common(1)[0][0] if votes else None


def sample(
    spec: str, scenes: Sequence[Scene], *, k: int = 1, temperature: float = 0.0, seed: int = 0, top_p: float = 1.0
) -> list[list[str]]:
    """`k` solutions a scene from the backend that `spec` names, unfiltered; temperature 0 is greedy.

    Raises BackendError where an answer did not arrive: a figure must not be measured on what is left.
    """
    asked = question_text(text.QUESTION, OPTIONS)
    sampling = Sampling(temperature, top_p, max_tokens=MAX_TOKENS, seed=seed)
    requests = [
        Request((Message("user", asked, (png_bytes(scene),)),), k, sampling, key=f"{scene.scene_id}/measure")
        for scene in scenes
    ]
    replies = open_backend(spec).complete(requests)
    for failure in (place for reply in replies for place in reply.places if isinstance(place, Failure)):
        raise BackendError(f"{spec} did not answer: {failure.message}", failure.kind)
    return [[completion.text for completion in reply.completions] for reply in replies]


def _has_format(truths: list[StepTruth]) -> bool:
    return any(truth.kind == ErrorKind.FORMAT for truth in truths)


def _share_of(group: list[list[StepTruth]], kind: str | None) -> float:
    """Share of a question's solutions whose first error is of this kind (null: none is wrong)."""
    return float(np.mean([first_error(truths) == kind for truths in group]))
