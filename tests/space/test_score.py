"""The Score tab's server side: what is read, what is refused, what is told; and the real model behind it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from medprm_hf.app import examples
from medprm_hf.app.desk import Desk
from medprm_hf.app.guard import Guard
from medprm_hf.app.rates import Rates
from medprm_hf.app.score_api import ScoreRoutes
from medprm_hf.app.score_request import LIMITS, read_image, read_request
from medprm_hf.app.settings import AppSettings
from medprm_hf.errors import ConfigError, DataError, ImageError
from medprm_hf.scoring.results import StepScores
from medprm_hf.scoring.settings import PRMSettings


def png(width: int = 8, height: int = 8, mode: str = "L", **info: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), 1).save(out, "PNG", **info)
    return out.getvalue()


def body(**changes: Any) -> dict[str, Any]:
    return {"question": "Which side?", "options": ["Left", "Right"], "solutions": ["Step 1: a.\nStep 2: b."], **changes}


class LengthScorer:
    """Scores a step by its length: 1 letter 0.1, 2 letters 0.2, …; an empty image is refused."""

    def __init__(self) -> None:
        self.settings = PRMSettings(threshold=0.5)
        self.messages: dict[int, str] = {}
        self.remember = 0

    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[StepScores]:
        scores = [[min(len(step) / 10, 1.0) for step in row["steps"]] for row in rows]
        return [StepScores.of_scores(one, one, len(one), self.settings, {}) for one in scores]


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()
    desk = Desk("length", opener=LengthScorer)
    app.include_router(ScoreRoutes(AppSettings(scores_per_minute=20, writer="scripted:x"), desk).router())
    app.add_middleware(Guard, most_bytes=100_000)
    with TestClient(app) as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Step 1: one.\nStep 2: two.\nAnswer: B", ["one.", "two.\nAnswer: B"]),
        ("one\n\ntwo\n\nthree", ["one", "two", "three"]),
        ("just one", ["just one"]),
        ("\n\n".join(f"Claim {n}." for n in range(40)), [f"Claim {n}." for n in range(40)]),
    ],
)
def test_solutions_are_cut_into_steps_and_never_merged(text: str, steps: list[str]) -> None:
    asked = read_request(body(solutions=[text]))
    assert [step.text for step in asked.solutions[0]] == steps


def test_steps_given_as_a_list_stay_as_they_are() -> None:
    asked = read_request(body(solutions=[{"steps": ["Step 1: x", " y ", ""]}]))
    assert [step.text for step in asked.solutions[0]] == ["Step 1: x", "y"]
    assert asked.answers == (None,)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"question": " "}, "no question"),
        ({"question": 3}, "must be a text"),
        ({"solutions": []}, "no solution"),
        ({"solutions": ["  "]}, "solution 1 has no step"),
        ({"solutions": ["a"] * 9}, "9 solutions; 8 at most"),
        ({"solutions": [{"steps": ["x"] * 10_000}]}, "10000 steps; 256 at most"),
        ({"solutions": ["x" * 200_001]}, "letters of text; 200000 at most"),
        ({"options": ["o"] * 27}, "27 options; 26 at most"),
        ({"solutions": [{"steps": [1]}]}, "solution 1 must be"),
    ],
)
def test_limits_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_request(body(**changes))


@pytest.mark.parametrize("given", ["http://x/a.png", "/etc/passwd", "no base64!", base64.b64encode(b"text").decode()])
def test_images_are_bytes_and_nothing_else(given: str) -> None:
    with pytest.raises(ImageError):
        read_image(given)


def test_a_picture_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = png(20_000, 20_000, mode="1", compress_level=1)
    assert len(bomb) < 1_000_000
    with pytest.raises(ImageError, match=r"400000000 pixels.*50000000"):
        read_image(base64.b64encode(bomb).decode())


def test_an_image_over_the_limit_is_refused_by_its_length_alone() -> None:
    with pytest.raises(ImageError, match=f"limit of {LIMITS.image_bytes} bytes"):
        read_image("data:image/png;base64," + "A" * (LIMITS.image_bytes * 4 // 3 + 100))


def test_answers_tell_levels_and_where_scores_fall(client: TestClient) -> None:
    told = client.post("/score/api/score", json=body(solutions=["12345678\n\n12345\n\n1234", "123456789\n\nAnswer: B"]))
    assert told.status_code == 200 and told.headers["x-intended-use"].endswith("not for clinical use")
    first, second = told.json()["solutions"]
    assert [step["level"] for step in first["steps"]] == ["high", "mid", "low"]
    assert (first["falls_at"], second["falls_at"]) == (1, None)
    assert told.json()["best"] == {"mean": 1, "min": 1, "last": 1, "product": 1, "max": 1}
    assert (second["answer"], told.json()["majority"]) == ("B", "B")


def test_markup_comes_back_as_it_went_in(client: TestClient) -> None:
    hostile = "<script>alert(1)</script>"
    told = client.post("/score/api/score", json=body(solutions=[hostile]))
    assert told.json()["solutions"][0]["steps"][0]["text"] == hostile
    assert told.headers["content-type"] == "application/json" and told.headers["x-content-type-options"] == "nosniff"


def test_a_user_has_a_rate_of_their_own(client: TestClient) -> None:
    eight = body(solutions=["a"] * 8)
    assert [client.post("/score/api/score", json=eight).status_code for _ in range(3)] == [200, 200, 429]
    refused = client.post("/score/api/score", json=eight)
    assert refused.json()["error"]["message"].startswith("20 solutions a minute")
    assert int(refused.headers["retry-after"]) > 0


def test_rates_make_room_again() -> None:
    now = [0.0]
    rates = Rates(3, clock=lambda: now[0])
    assert rates.take("a", 2) == 0 and rates.take("b", 3) == 0
    assert rates.take("a", 2) == pytest.approx(60)
    now[0] = 61
    assert rates.take("a", 3) == 0


def test_the_door_refuses_what_is_too_large_and_all_uploads(client: TestClient) -> None:
    assert client.post("/score/api/score", content=b"x" * 100_001).json()["error"]["kind"] == "too_large"

    def parts() -> Iterator[bytes]:
        yield from [b"x" * 60_000] * 2

    streamed = client.post("/score/api/image", content=parts())
    assert (streamed.status_code, streamed.json()["error"]["kind"]) == (413, "too_large")
    assert client.post("/gradio_api/upload").json()["error"]["kind"] == "no_uploads"
    assert client.get("/score/api/model").status_code == 200


def test_images_lose_their_metadata_and_are_not_cached(client: TestClient) -> None:
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("Patient", "DOE^JANE")
    back = client.post("/score/api/image", content=png(pnginfo=told))
    assert (back.headers["content-type"], back.headers["cache-control"]) == ("image/png", "no-store")
    assert b"DOE" not in back.content
    assert json.loads(back.headers["x-notes"]) == ["metadata removed"]
    assert client.post("/score/api/image", content=b"no image").json()["error"]["kind"] == "image"


def test_a_model_that_cannot_be_opened_is_told() -> None:
    def fails() -> Any:
        raise ConfigError("no such model")

    app = FastAPI()
    app.include_router(ScoreRoutes(AppSettings(), Desk("gone", opener=fails)).router())
    with TestClient(app) as client:
        refused = client.post("/score/api/score", json=body())
        assert (refused.status_code, refused.json()["error"]) == (503, {"kind": "model", "message": "no such model"})
        assert client.get("/score/api/model").json()["state"] == "failed"


def test_examples_are_the_same_everywhere() -> None:
    assert [one.id for one in examples.examples()] == ["right", "place", "rule", "several"]
    several = examples.load("several")
    assert len(several["solutions"]) == 4 and several["image"].startswith("data:image/png;base64,")
    with pytest.raises(DataError, match="several"):
        examples.load("severa")


@pytest.mark.slow
def test_the_real_model_finds_the_errors_of_the_examples(space_url: str) -> None:
    from tests.space.conftest import ask

    def told(name: str) -> dict[str, Any]:
        _, example = ask(f"{space_url}score/api/examples/{name}")
        status, found = ask(f"{space_url}score/api/score", example)
        assert status == 200
        return found

    assert told("right")["solutions"][0]["falls_at"] is None
    assert told("place")["solutions"][0]["falls_at"] == 1
    assert told("rule")["solutions"][0]["falls_at"] == 4
    several = told("several")
    assert several["best"]["min"] == 2 and several["majority"] != several["solutions"][2]["answer"]


@pytest.mark.slow
def test_gradio_client_reads_the_docstring_and_scores(space_url: str) -> None:
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(space_url, verbose=False)
    api = client.view_api(return_format="dict")["named_endpoints"]
    assert set(api) == {"/score", "/best_of_n"}
    assert "P(step is right)" in api["/score"]["description"]
    found = client.predict("Which follow-up?", ["Nodules: one.", "Answer: A."], api_name="/score")
    assert [0 <= step["score"] <= 1 for step in found["steps"]] == [True, True]
    best = client.predict("Which follow-up?", ["Nodules: one.", "Nodules: two.\n\nAnswer: B."], api_name="/best_of_n")
    assert len(best["solutions"]) == 2 and set(best["best"]) == {"mean", "min", "last", "product", "max"}
    with pytest.raises(AppError, match="256 at most"):
        client.predict("Which follow-up?", ["x"] * 300, api_name="/score")
