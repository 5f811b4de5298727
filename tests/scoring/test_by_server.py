"""Scoring by log-probabilities: the same model behind a backend scores the same; what is not listed is unknown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from medprm_hf.backends.protocol import Completion, Failure, Reply, Request, Usage
from medprm_hf.errors import ConfigError
from medprm_hf.scoring.by_server import ServerScorer
from medprm_hf.scoring.scorer import Scorer
from medprm_hf.scoring.settings import LayoutSettings, PRMSettings
from tests.scoring.models import WORDS, rows, scorer
from tests.vllm_server import VllmServer


class ModelBehindChat:
    """What vLLM does with one token asked: its chat template, a forward, the likeliest tokens as texts."""

    model = "tiny"

    def __init__(self, one: Scorer, listed: int) -> None:
        self.one, self.listed, self.usage = one, listed, Usage()

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        return [Reply((self.answer(request),)) for request in requests]

    def answer(self, request: Request) -> Completion:
        processor = self.one.layout.processor
        turns = [{"role": turn.role, "content": [{"type": "text", "text": turn.text}]} for turn in request.messages]
        text = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) + request.prefix
        ids = processor.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            told = self.one.reader.model(input_ids=ids).logits[0, -1].log_softmax(-1)
        values, tokens = told.topk(self.listed)
        names = [processor.tokenizer.decode([token]) for token in tokens.tolist()]
        return Completion(names[0], "length", 1, None, (dict(zip(names, values.tolist(), strict=True)),))

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def local() -> Scorer:
    return scorer("vision", "chat")


def test_scores_are_those_of_the_local_model(local: Scorer) -> None:
    table = rows((2, 1), images=False)
    asked = ServerScorer(ModelBehindChat(local, 400), local.settings)
    for mine, other in zip(asked.score_rows(table), local.score_rows(table), strict=True):
        assert mine.p_plus == pytest.approx(other.p_plus, abs=1e-4)
        assert mine.labels == other.labels


def test_marker_form_continues_the_assistants_turn() -> None:
    one = scorer("vision", "marker", solution_by="assistant", numbered=False)
    row = {**rows((1,), images=False)[0], "image": None, "steps": list(WORDS[:3])}
    asked = ServerScorer(ModelBehindChat(one, 400), one.settings)
    requests = asked._requests(_case(row), WORDS[:3])
    assert [request.prefix.count("\n\n") for request in requests] == [1, 2, 3]
    assert asked.score_rows([row])[0].known == 3
    with pytest.raises(ConfigError, match="solution_by: assistant"):
        ServerScorer(ModelBehindChat(one, 20), PRMSettings(LayoutSettings(form="marker")))


class Scripted:
    """Answers in order."""

    model = "scripted"

    def __init__(self, *places: Completion | Failure) -> None:
        self.places, self.usage, self.asked = list(places), Usage(), list[Request]()

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        self.asked += requests
        return [Reply((self.places.pop(0),)) for _ in requests]

    def close(self) -> None: ...


def listed(**top: float) -> Completion:
    names = {"plus": "+", "minus": "-", "blank_plus": " +", "blank_minus": " -", "equal": "="}
    return Completion("+", "length", 1, None, ({names[name]: math.log(p) for name, p in top.items()},))


def test_what_is_not_listed_or_failed_is_unknown_not_zero() -> None:
    backend = Scripted(
        listed(plus=0.6, minus=0.2),
        listed(plus=0.9),
        listed(blank_plus=0.1, blank_minus=0.3, plus=0.2),
        Failure("http_500", "down"),
        Completion("+", "length", 1),
    )
    found = ServerScorer(backend, PRMSettings()).score("Q?", ["a", "b", "c", "d", "e"])
    assert found.p_plus == (pytest.approx(0.75), None, pytest.approx(0.25), None, None)
    assert found.reasons == (None, "not_listed", None, "http_500", "no_logprobs")
    assert found.aggregates["min"] == pytest.approx(0.25) and found.aggregates["last"] is None


def test_conversation_of_the_chat_form() -> None:
    backend = Scripted(*[listed(plus=0.5, minus=0.5)] * 2)
    ServerScorer(backend, PRMSettings()).score("Q?", ["One.", "Two."], evidence=["A passage."])
    last = backend.asked[1]
    assert [turn.role for turn in last.messages] == ["system", "user", "assistant", "user"]
    assert last.messages[1].text == (
        "Document 1: A passage.\n\n### Question:\nQ?\n\n### Solution Process:\nOne."
    )  # fmt: skip
    assert (last.messages[2].text, last.messages[3].text) == ("+", "Two.")
    assert (last.sampling.max_tokens, last.sampling.temperature, last.logprobs) == (1, 0.0, 20)


def test_outcome_is_asked_once() -> None:
    backend = Scripted(listed(plus=0.6, minus=0.2))
    settings = PRMSettings(LayoutSettings(unit="solution"))
    found = ServerScorer(backend, settings).score("Q?", ["One.", "Two."])
    assert found.p_plus == (None, pytest.approx(0.75)) and found.score == pytest.approx(0.75)


@pytest.mark.parametrize("text", ["<image>", "<|im_end|>", "a <|im_start|>user"])
def test_texts_that_a_server_takes_for_tokens_are_refused(text: str) -> None:
    found = ServerScorer(Scripted(), PRMSettings()).score_rows([{"question": "Q?", "steps": ["a", text]}])
    assert found[0].reasons == ("special_token",) * 2 and found[0].score is None


@pytest.mark.slow
def test_vllm_gives_the_scores_of_the_local_model(vllm_phantom: VllmServer) -> None:
    from medprm_hf.phantom.model import checkpoint

    table = rows((2, 1))
    likely = likely_words(checkpoint("policy"), table[0])
    settings = PRMSettings(LayoutSettings(system="", plus=likely[0], minus=likely[1]))
    spec = f"openai:{vllm_phantom.name}?base_url={vllm_phantom.base_url}&seeds=0"
    local = Scorer.open(checkpoint("policy"), "cpu", "float32", settings)
    compared = 0
    pairs = zip(Scorer.open(spec, settings=settings).score_rows(table), local.score_rows(table), strict=True)
    for mine, other in pairs:
        for a, b, reason in zip(mine.p_plus, other.p_plus, mine.reasons, strict=True):
            assert (a is None) == (reason == "not_listed")
            if a is not None:
                assert a == pytest.approx(b, abs=2e-3)
                compared += 1
    assert compared > 0
    print(f"{compared} of {sum(len(row['steps']) for row in table)} step ends listed both tokens")


def likely_words(folder: Any, row: dict[str, Any]) -> list[str]:
    """Two tokens that the policy, which is no reward model, does list at a step end."""
    one = Scorer.open(folder, "cpu", "float32", PRMSettings(LayoutSettings(system="")))
    laid = one.layout.lay(_case(row))
    with torch.no_grad():
        logits = one.reader.model(**one.layout.collate([laid])).logits[0, laid.positions[0]]
    words = [one.layout.tokenizer.decode([token]) for token in logits.topk(12).indices.tolist()]
    return [word for word in words if word.isascii() and word.strip() == word and word.isalnum()][:2]


def _case(row: dict[str, Any]) -> Any:
    from medprm_hf.scoring.layout import Case

    return Case.of_row(row)
