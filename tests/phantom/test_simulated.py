"""The simulated judge and expert: stated error rates hold, blind spots are blind, nothing real is answered."""

from __future__ import annotations

import numpy as np
import pytest

from medprm_hf.backends import open_backend
from medprm_hf.backends.protocol import Failure, Message, Request
from medprm_hf.errors import ConfigError
from medprm_hf.phantom.chains import sampled_solution
from medprm_hf.phantom.oracle import check_steps
from medprm_hf.phantom.simulated import SimulatedExpert, SimulatedJudge
from medprm_hf.phantom.world import question_ids, scene_of
from medprm_hf.review.reviewers import Asked, open_reviewer
from medprm_hf.text.verdicts import parse_verdicts

NAMES = question_ids("development", 600)
SOLUTIONS = {name: sampled_solution(scene_of(name), np.random.default_rng(i)) for i, name in enumerate(NAMES)}
TRUTH = {name: check_steps(scene_of(name), steps) for name, steps in SOLUTIONS.items()}


def judged(judge: SimulatedJudge) -> list[tuple[str, str | None, bool, str | None]]:
    """(label, confidence, truth, kind) of every step."""
    requests = [
        Request((Message("user", "?"),), key=name, about={"question_id": name, "steps": steps})
        for name, steps in SOLUTIONS.items()
    ]
    out = []
    for request, reply in zip(requests, judge.complete(requests), strict=True):
        name = request.about["question_id"]
        verdicts = parse_verdicts(reply.completions[0].text, len(SOLUTIONS[name]))
        out += [
            (verdict.label.value, verdict.confidence, truth.right, truth.kind)
            for verdict, truth in zip(verdicts, TRUTH[name], strict=True)
        ]
    return out


def error_rate(said: list[tuple[str, str | None, bool, str | None]]) -> float:
    return float(np.mean([(label == "+") != right for label, _, right, _ in said]))


@pytest.mark.parametrize("rate", [0.0, 0.15, 0.3])
def test_stated_error_rate_holds_and_confidence_tells(rate: float) -> None:
    said = judged(SimulatedJudge(rate))
    n = len(said)
    assert abs(error_rate(said) - rate) < 4 * np.sqrt(max(rate * (1 - rate), 1e-9) / n) + 1e-9
    high = [entry for entry in said if entry[1] == "high"]
    low = [entry for entry in said if entry[1] == "low"]
    assert 0.55 < len(high) / n < 0.65
    assert rate == 0 or error_rate(high) < error_rate(low)


def test_blind_spots_are_blind_and_nothing_else() -> None:
    said = judged(SimulatedJudge(0.0, ("location",)))
    seen = {kind: {label for label, _, _, k in said if k == kind} for kind in {k for *_, k in said}}
    assert seen["location"] == {"+"}
    assert all(labels == {"-"} for kind, labels in seen.items() if kind not in ("location", None))


def test_the_same_request_gets_the_same_verdict() -> None:
    assert judged(SimulatedJudge(0.15)) == judged(SimulatedJudge(0.15))


def test_real_questions_are_never_answered() -> None:
    request = Request((Message("user", "?"),), about={"question_id": "pubmedqa-1", "steps": ["x"]})
    place = SimulatedJudge().complete([request])[0].places[0]
    assert isinstance(place, Failure) and place.kind == "not_phantom"
    with pytest.raises(ConfigError, match="phantom questions only"):
        SimulatedExpert().decide([Asked("pubmedqa-1", "pubmedqa-1-s0", ("x",), 0)])


def test_expert_errs_as_stated_and_is_called_simulated() -> None:
    asked = [Asked(name, f"{name}-s0", tuple(steps), i) for name, steps in SOLUTIONS.items() for i in range(len(steps))]
    decisions = open_reviewer("simulated-expert:error=0.1").decide(asked)
    wrong = [
        (decision.label == "+") != TRUTH[item.question_id][item.step].right
        for item, decision in zip(asked, decisions, strict=True)
    ]
    assert 0.08 < np.mean(wrong) < 0.12
    assert {decision.reviewer for decision in decisions} == {"simulated-expert(error=0.1)"}


@pytest.mark.parametrize("spec", ["error=0.9", "eror=0.1", "error", "error=-1"])
def test_options_that_make_no_sense_are_refused(spec: str) -> None:
    with pytest.raises(ConfigError):
        open_backend(f"simulated-judge:{spec}")
    with pytest.raises(ConfigError):
        open_reviewer(f"simulated-expert:{spec}")


def test_shared_errors_repeat_and_others_do_not() -> None:
    name, steps = next(iter(SOLUTIONS.items()))

    def labels(judge: SimulatedJudge, key: str) -> list[str]:
        request = Request((Message("user", "?"),), key=key, about={"question_id": name, "steps": steps})
        reply = judge.complete([request])[0]
        return [f"{v.label}{v.confidence}" for v in parse_verdicts(reply.completions[0].text, len(steps))]

    for shared, different in ((1.0, 1), (0.0, 30)):
        judge = SimulatedJudge(0.3, shared=shared)
        said = {tuple(labels(judge, f"{name}-s{number}")) for number in range(40)}
        assert len(said) == different if shared else len(said) >= different
    assert abs(error_rate(judged(SimulatedJudge(0.2, shared=1.0))) - 0.2) < 0.03


def test_flat_confidence_says_nothing() -> None:
    said = judged(SimulatedJudge(0.2, confidence="flat"))
    rates = [error_rate([entry for entry in said if entry[1] == level]) for level in ("high", "low")]
    assert abs(rates[0] - rates[1]) < 0.05


def test_the_kind_named_does_not_give_away_the_truth() -> None:
    judge = SimulatedJudge(0.3)
    requests = [
        Request((Message("user", "?"),), key=name, about={"question_id": name, "steps": steps})
        for name, steps in SOLUTIONS.items()
    ]
    named = {True: set[str | None](), False: set[str | None]()}
    for request, reply in zip(requests, judge.complete(requests), strict=True):
        verdicts = parse_verdicts(reply.completions[0].text, len(request.about["steps"]))
        for verdict, truth in zip(verdicts, TRUTH[request.about["question_id"]], strict=True):
            if verdict.label == "-":
                named[truth.right].add(verdict.error)
    assert named[True] == named[False] - {"format"}
