"""A *simulated* judge and a *simulated* expert: the phantom world's truth with a stated error rate.

They stand behind the interfaces that a real judge model and real people take, and are called simulated in
every column and report that names them. They exist to measure the pipeline, never to label real questions.

    simulated-judge:error=0.15                  each verdict is flipped with probability 0.15
    simulated-judge:error=0.15,blind=location   and errors of this kind are always called right
    simulated-judge:error=0.15,shared=1         asked about the same claim again, it says the same again
    simulated-judge:error=0.15,confidence=flat  its confidence says nothing
    simulated-expert:error=0.02

Confidence is informative, as a language model's is: 60 % of the verdicts are high, 25 % medium and 15 % low,
with error rates 0.5, 1.5 and 2.17 times the stated one (their mean is the stated one). `shared` is the share of the
claims (a step's text about a question's image) on which it errs in every solution or in none, as a model does that
misreads the image; on the others every verdict errs by itself. A false alarm names a kind of error
too, the one that such a step can have, and so does a `-` on a step that only follows an error: what is named
does not give away what is true.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprm_hf.backends.protocol import Completion, Failure, Reply, Request, Usage
from medprm_hf.errors import ConfigError
from medprm_hf.ids import stable_seed, uniforms
from medprm_hf.phantom.oracle import ErrorKind, StepTruth, check_steps
from medprm_hf.phantom.world import scene_of
from medprm_hf.review.reviewers import Asked, Decision
from medprm_hf.schema import Label

CONFIDENCE = (("high", 0.60, 0.5), ("medium", 0.25, 1.5), ("low", 0.15, 13 / 6))
"""Name, share of the verdicts, and error rate as a multiple of the stated one."""
KINDS_BY_STEP = (ErrorKind.COUNT, ErrorKind.LOCATION, ErrorKind.TYPE, ErrorKind.SIZE, ErrorKind.RULE, ErrorKind.ANSWER)
"""What a false alarm about each step claims."""


def _options(text: str, known: tuple[str, ...]) -> dict[str, str]:
    options = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    unknown = set(options) - set(known)
    if unknown or text.count("=") < len([part for part in text.split(",") if part]):
        raise ConfigError(f"simulated options {text!r}: write {', '.join(f'{name}=…' for name in known)}")
    return options


def _rate(options: dict[str, str], default: float) -> float:
    rate = float(options.get("error", default))
    if not 0 <= rate <= 0.45:
        raise ConfigError(f"error={rate} is outside 0 to 0.45: a simulated rater above it would know nothing")
    return rate


def _flipped(truth: StepTruth, flip: bool) -> str:
    return (Label.WRONG if truth.right == flip else Label.RIGHT).value


class SimulatedJudge:
    """Backend that answers judge requests on phantom questions from the flipped truth."""

    def __init__(
        self, error: float = 0.15, blind: tuple[str, ...] = (), shared: float = 0.0, confidence: str = "informative"
    ) -> None:
        self.error, self.blind, self.shared, self.usage = error, blind, shared, Usage()
        self.flat = confidence == "flat"
        said = [f"error={error:g}", *(f"blind={kind}" for kind in blind)]
        said += [f"shared={shared:g}"] * (shared > 0) + ["confidence=flat"] * self.flat
        self.model = f"simulated-judge({', '.join(said)})"

    @classmethod
    def from_spec(cls, options: str) -> SimulatedJudge:
        """From `error=0.15,blind=location+size,shared=0.5,confidence=flat`."""
        found = _options(options, ("error", "blind", "shared", "confidence"))
        shared, confidence = float(found.get("shared", 0)), found.get("confidence", "informative")
        if not 0 <= shared <= 1 or confidence not in ("informative", "flat"):
            raise ConfigError(
                f"simulated judge: shared={shared:g} must be 0 to 1, confidence={confidence} informative or flat"
            )
        return cls(_rate(found, 0.15), tuple(k for k in found.get("blind", "").split("+") if k), shared, confidence)

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One JSON verdict list a request, in the form that a judge model is asked for."""
        replies = [self._reply(request) for request in requests]
        for reply in replies:
            self.usage.add(reply)
        return replies

    def close(self) -> None:
        """Nothing to give back."""

    def _reply(self, request: Request) -> Reply:
        about = request.about
        if not str(about.get("question_id", "")).startswith("phantom-"):
            return Reply((Failure("not_phantom", "the simulated judge knows the truth of phantom questions only"),))
        if "asks" in about:
            return Reply((Failure("not_simulated", "the simulated judge gives verdicts only: judge.mode=verdict"),))
        truths = check_steps(scene_of(about["question_id"]), list(about["steps"]))
        return Reply(tuple(self._answer(request, place, truths) for place in range(request.n)))

    def _answer(self, request: Request, place: int, truths: list[StepTruth]) -> Completion:
        draws = uniforms(request.seed(place), 2 * len(truths)).reshape(-1, 2)
        verdicts = [
            self._verdict(number, truth, *self._claimed(request, number, draws[number]))
            for number, truth in enumerate(truths)
            if request.about.get("only") in (None, number + 1)
        ]
        return Completion(json.dumps({"steps": verdicts}), "stop", 0)

    def _claimed(self, request: Request, number: int, own: NDArray[np.float64]) -> tuple[float, float]:
        """Draws of confidence and flip: the claim's where its errors are shared, else this verdict's own."""
        if self.shared:
            about = request.about
            seed = stable_seed(request.sampling.seed, "claim", about["question_id"], about["steps"][number].strip())
            shared, level, flip = uniforms(seed, 3)
            if shared < self.shared:
                return float(level), float(flip)
        return float(own[0]), float(own[1])

    def _verdict(self, number: int, truth: StepTruth, level: float, flip: float) -> dict[str, object]:
        confidence, factor = _confidence(level)
        label = _flipped(truth, flip < self.error * (1.0 if self.flat else factor))
        if truth.kind in self.blind:
            label = Label.RIGHT.value
        could, carried = KINDS_BY_STEP[min(number, len(KINDS_BY_STEP) - 1)].value, truth.kind == ErrorKind.CARRIED
        return {
            "step": number + 1,
            "label": label,
            "confidence": confidence,
            "error": None if label == Label.RIGHT else could if truth.right or carried else truth.kind,
            "reason": "simulated verdict",
            "citations": [],
        }


def _confidence(level: float) -> tuple[str, float]:
    for name, share, factor in CONFIDENCE:
        if level < share:
            return name, factor
        level -= share
    return CONFIDENCE[-1][0], CONFIDENCE[-1][2]


@dataclass(frozen=True)
class SimulatedExpert:
    """Reviewer that answers from the truth, wrong with the stated probability."""

    error: float = 0.02
    seed: int = 0

    @classmethod
    def from_spec(cls, options: str, seed: int = 0) -> SimulatedExpert:
        """From `error=0.02`."""
        return cls(_rate(_options(options, ("error",)), 0.02), seed)

    def decide(self, asked: Sequence[Asked]) -> list[Decision]:
        """One decision a request; ConfigError for a question that is not of the phantom world."""
        return [self._decide(item) for item in asked]

    def _decide(self, item: Asked) -> Decision:
        if not item.question_id.startswith("phantom-"):
            raise ConfigError(
                f"review.reviewer=simulated-expert cannot review {item.question_id}: it knows phantom questions "
                f"only; leave the review stage out and review in the Space"
            )
        truth = check_steps(scene_of(item.question_id), list(item.steps))[item.step]
        draw = uniforms(stable_seed(self.seed, "expert", item.solution_id, item.step), 1)[0]
        label = _flipped(truth, bool(draw < self.error))
        wrong = label == Label.WRONG and not truth.right
        return Decision(f"simulated-expert(error={self.error:g})", label, truth.kind if wrong else None)
