"""The HTTP service: VMP's request and answer, batches, limits, and what cannot be scored."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from medprm_hf.scoring.scorer import Scorer
from medprm_hf.scoring.service import Limits, Refused, Service, read_request
from tests.scoring.models import WORDS, rows, scorer

Client = TestClient[Any, Any]


@pytest.fixture(scope="module")
def prm() -> Scorer:
    return scorer("vision", "chat")


def request(**changes: Any) -> dict[str, Any]:
    """A candidate as VMP sends it."""
    steps = [{"title": "Count", "text": WORDS[0]}, {"title": "", "text": WORDS[1]}, WORDS[2]]
    own: dict[str, Any] = {
        "question": "Mass?",
        "options": ["Yes", "No"],
        "retrieval_context": "Solid nodules of 6 to 8 mm: CT at 6 to 12 months.",
        "candidate": {"final_answer_index": 0, "final_answer_letter": "A", "steps": steps},
        "meta": {"dataset": "DemoVQA", "case_type": "Radiology", "modality": "CT"},
    }
    return {**own, **changes}


def ask(one: Any, work: Callable[[Client], Awaitable[None]], limits: Limits | None = None) -> None:
    async def run() -> None:
        async with TestClient(TestServer(Service(one, limits).app())) as client:
            await work(client)

    asyncio.run(run())


def test_vmp_request_and_answer(prm: Scorer) -> None:
    async def work(client: Client) -> None:
        answer = await client.post("/score", json=request())
        body = await answer.json()
        assert answer.status == 200 and answer.headers["X-Intended-Use"] == "research, not for clinical use"
        assert 0 <= body["score"] <= 1 and 0 <= body["confidence"] <= 1 and isinstance(body["reason"], str)
        expected = prm.score("Mass?", WORDS[:3], None, ["Yes", "No"], [request()["retrieval_context"]])
        assert body["step_scores"] == pytest.approx(expected.p_plus, abs=1e-6)
        assert body["score"] == pytest.approx(min(body["step_scores"]))
        assert body["confidence"] == pytest.approx(2 * abs(body["score"] - 0.5))

    ask(prm, work)


def test_image_counts(prm: Scorer) -> None:
    data = rows((1, 1))[0]["image"]["bytes"]
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"

    async def work(client: Client) -> None:
        scores = []
        for image in (None, url, base64.b64encode(data).decode()):
            body = await (await client.post("/score", json=request(image=image))).json()
            scores.append(body["step_scores"])
        assert scores[1] == pytest.approx(scores[2], abs=1e-9) and scores[0] != pytest.approx(scores[1], abs=1e-6)

    ask(prm, work)


def test_batch_keeps_order_and_errors(prm: Scorer) -> None:
    short = request(candidate={"steps": [WORDS[3]]})

    async def work(client: Client) -> None:
        answer = await client.post("/score/batch", json={"requests": [request(), {"question": "Q?"}, short]})
        found = (await answer.json())["responses"]
        assert answer.status == 200 and [len(one.get("step_scores", [])) for one in found] == [3, 0, 1]
        assert "candidate" in found[1]["error"] and "score" not in found[1]
        single = await (await client.post("/score", json=short)).json()
        assert found[2]["score"] == pytest.approx(single["score"], abs=1e-6)

    ask(prm, work)


def test_requests_that_arrive_together_are_scored_together(prm: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    score_rows = prm.score_rows
    monkeypatch.setattr(prm, "score_rows", lambda rows: sizes.append(len(rows)) or score_rows(rows))

    async def work(client: Client) -> None:
        await asyncio.gather(*(client.post("/score", json=request()) for _ in range(12)))
        assert sum(sizes) == 12 and len(sizes) < 12

    ask(prm, work)


BAD: list[tuple[Any, str]] = [
    ([], "a request is"),
    ({"question": "Q?", "candidate": {}}, "candidate.steps"),
    (request(candidate={"steps": []}), "candidate.steps"),
    (request(candidate={"steps": [3]}), "step 1 must be"),
    (request(candidate={"steps": ["a"] * 5}), "5 steps; 4 at most"),
    (request(question=" "), "question must be"),
    (request(options="A or B"), "options must be"),
    (request(retrieval_context=[3]), "retrieval_context"),
    (request(image="https://example.org/x.png"), "fetches and opens nothing"),
    (request(image="/etc/passwd"), "fetches and opens nothing"),
    (request(image="%%%"), "no base64"),
    (request(question="x" * 3000), "letters of text; 2000 at most"),
]


@pytest.mark.parametrize("body, said", BAD, ids=[said for _, said in BAD])
def test_bad_requests_are_refused_by_name(body: Any, said: str) -> None:
    with pytest.raises(Refused, match=said):
        read_request(body, Limits(steps=4, text=2000))


def test_errors_are_json_with_their_status(prm: Scorer) -> None:
    async def work(client: Client) -> None:
        broken = request(image=base64.b64encode(b"no image").decode())
        posts: list[tuple[str, dict[str, Any], int]] = [
            ("/score", {"json": broken}, 422),
            ("/score", {"data": b"{"}, 400),
            ("/score", {"data": b"x" * 6000}, 413),
            ("/score", {"json": request(candidate={})}, 400),
            ("/score/batch", {"json": {"requests": [1, 2, 3]}}, 400),
            ("/score/batch", {"json": [1]}, 400),
            ("/none", {"json": {}}, 404),
        ]
        for path, sent, status in posts:
            answer = await client.post(path, **sent)
            assert answer.status == status, path
            assert "error" in await answer.json() and "X-Intended-Use" in answer.headers
        about = await (await client.get("/")).json()
        assert about["intended_use"] == "research, not for clinical use" and "POST /score" in about["routes"]
        assert (await client.get("/health")).status == 200

    ask(prm, work, Limits(body=5000, batch=2))


def test_a_scorer_that_breaks_leaves_the_service_standing(prm: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    score_rows = prm.score_rows
    broken = [True]

    def once(rows: Any) -> Any:
        if broken.pop() if broken else False:
            raise RuntimeError("out of memory, said the driver at /secret")
        return score_rows(rows)

    monkeypatch.setattr(prm, "score_rows", once)

    async def work(client: Client) -> None:
        first = await client.post("/score", json=request())
        assert first.status == 500 and "secret" not in (await first.json())["error"]
        assert (await client.post("/score", json=request())).status == 200

    ask(prm, work)
