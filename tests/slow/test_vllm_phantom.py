"""One policy, four ways to ask it: in process, transformers by hand, its pipeline, and a real vLLM server."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from medprm_hf.backends import Backend, Completion, Failure, Message, Request, Sampling, open_backend
from medprm_hf.backends.inside.chat import open_image
from medprm_hf.ids import content_hash
from medprm_hf.phantom.model import checkpoint
from medprm_hf.phantom.questions import question_rows
from medprm_hf.text.prompts import solve_prompt
from medprm_hf.text.steps import prefix_text, split_steps
from tests.vllm_server import VllmServer

pytestmark = pytest.mark.slow

SCENES = 20
GREEDY = Sampling(temperature=0.0, max_tokens=64)
ROWS = list(question_rows("test", SCENES))


def ask(row: dict[str, Any], n: int = 1, sampling: Sampling = GREEDY, prefix: str = "") -> Request:
    text = solve_prompt(row["question"], row["options"], style="bare")
    key = f"{row['question_id']}/{content_hash(prefix)}"
    return Request((Message("user", text, (row["image"]["bytes"],)),), n, sampling, prefix, key)


def texts(backend: Backend, requests: list[Request]) -> list[list[str]]:
    return [
        [place.text if isinstance(place, Completion) else f"[{place.kind}] {place.message}" for place in reply.places]
        for reply in backend.complete(requests)
    ]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """More threads only wait for one another in a model this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def policy() -> Path:
    path = checkpoint("policy")
    if not (path / "model.safetensors").exists():
        pytest.skip(f"no policy checkpoint at {path.name}: medprm phantom train makes one")
    return path


@pytest.fixture(scope="module")
def served(policy: Path, vllm_phantom: VllmServer) -> Backend:
    return open_backend(f"openai:{vllm_phantom.name}?base_url={vllm_phantom.base_url}&logprobs=1")


@pytest.fixture(scope="module")
def inside(policy: Path) -> Backend:
    return open_backend("phantom:policy")


@pytest.fixture(scope="module")
def greedy(inside: Backend) -> list[str]:
    return [text for (text,) in texts(inside, [ask(row) for row in ROWS])]


def chat(row: dict[str, Any], picture: Any) -> list[dict[str, Any]]:
    text = solve_prompt(row["question"], row["options"], style="bare")
    return [{"role": "user", "content": [{"type": "image", **picture}, {"type": "text", "text": text}]}]


def test_greedy_equals_processor_and_generate(policy: Path, greedy: list[str]) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(policy)
    model = AutoModelForImageTextToText.from_pretrained(policy, dtype=torch.float32).eval()
    for row, expected in zip(ROWS, greedy, strict=True):
        picture = {"image": open_image(row["image"]["bytes"])}
        inputs = processor.apply_chat_template(
            chat(row, picture), tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        found = model.generate(**inputs, do_sample=False, max_new_tokens=GREEDY.max_tokens)
        assert processor.decode(found[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True) == expected


def test_greedy_equals_the_pipeline(policy: Path, greedy: list[str]) -> None:
    from transformers import pipeline

    pipe = pipeline("image-text-to-text", model=str(policy), dtype=torch.float32, device="cpu")
    for row, expected in zip(ROWS, greedy, strict=True):
        conversation = chat(row, {"image": open_image(row["image"]["bytes"])})
        found = pipe(text=conversation, max_new_tokens=GREEDY.max_tokens, do_sample=False, return_full_text=False)
        assert found[0]["generated_text"] == expected


def test_greedy_equals_the_server(inside: Backend, served: Backend, greedy: list[str]) -> None:
    """Same texts, token counts, prompt tokens and log-probabilities (1e-3)."""
    requests = [ask(row) for row in ROWS]
    ours, theirs = inside.complete(requests), served.complete(requests)
    assert [text for (text,) in texts(served, requests)] == greedy
    for one, other in zip(ours, theirs, strict=True):
        a, b = one.places[0], other.places[0]
        assert isinstance(a, Completion) and isinstance(b, Completion)
        assert (a.text, a.finish_reason, a.tokens) == (b.text, b.finish_reason, b.tokens)
        assert one.prompt_tokens == other.prompt_tokens
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-3)


def test_native_continuation_equals_ours(inside: Backend, served: Backend, greedy: list[str]) -> None:
    """Every prefix of every greedy solution: the same tokens go in, the same text comes out."""
    requests = []
    for row, solution in zip(ROWS, greedy, strict=True):
        steps = split_steps(solution)
        requests += [ask(row, prefix=prefix_text(solution, steps, j)) for j in range(len(steps))]
    ours, theirs = inside.complete(requests), served.complete(requests)
    assert {reply.continuation for reply in theirs} == {"native"}
    assert [reply.prompt_tokens for reply in ours] == [reply.prompt_tokens for reply in theirs]
    differ = [
        (request.prefix, one.places[0], other.places[0])
        for request, one, other in zip(requests, ours, theirs, strict=True)
        if one.completions[0].text != other.completions[0].text
    ]
    assert not differ
    for request, reply in zip(requests, ours, strict=True):
        whole = request.prefix + reply.completions[0].text
        assert whole in greedy  # greedy goes on as it went


def test_prompt_continuation_is_named(served: Backend, vllm_phantom: VllmServer) -> None:
    asked = open_backend(f"openai:{vllm_phantom.name}?base_url={vllm_phantom.base_url}&continuation=prompt")
    reply = asked.complete([ask(ROWS[0], prefix="Nodules: one.")])[0]
    assert reply.continuation == "prompt" and len(reply.completions) == 1


def test_sixteen_samples_in_one_call(inside: Backend, served: Backend) -> None:
    """n = 16: all arrive, they differ, repeat with their seed, and look like ours (mean log-probability)."""
    sampling = Sampling(temperature=0.8, max_tokens=64, seed=1)
    requests = [ask(row, 16, sampling) for row in ROWS]
    found = served.complete(requests)
    assert all(len(reply.completions) == 16 for reply in found)
    assert sum(len({done.text for done in reply.completions}) > 1 for reply in found) >= SCENES // 2
    assert texts(served, requests[:3]) == [[done.text for done in reply.completions] for reply in found[:3]]
    # 1,280 solutions' worth of tokens would be needed to tell 5 % apart; 320 on each side must be near.
    means = [
        statistics.mean(sum(done.logprobs or ()) for reply in replies for done in reply.completions)
        for replies in (found, inside.complete(requests))
    ]
    assert means[0] == pytest.approx(means[1], abs=1.0)


def test_what_the_server_refuses_is_named(served: Backend) -> None:
    row = ROWS[0]
    image = row["image"]["bytes"]
    long = Request((Message("user", "Nodules: one. " * 1200, (image,)),), 1, GREEDY)
    broken = Request((Message("user", "What?", (b"no image at all",)),), 1, GREEDY)
    two = Request((Message("user", "What?", (image, image)),), 1, GREEDY)
    kinds = [reply.places[0] for reply in served.complete([long, broken, two, ask(row)])]
    assert [place.kind for place in kinds[:3] if isinstance(place, Failure)][0] == "context"
    assert all(isinstance(place, Failure) for place in kinds[:3]) and isinstance(kinds[3], Completion)
