"""vLLM in process (inside its own venv) says what the transformers backend says, on the shipped phantom policy."""

from __future__ import annotations

import os
import pickle
import subprocess
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.backends import Completion, Failure, Message, Reply, Request, Sampling, open_backend
from medprm_hf.backends.journals.journal import Journal
from medprm_hf.phantom.model import checkpoint
from medprm_hf.phantom.questions import question_rows
from medprm_hf.text.prompts import solve_prompt
from medprm_hf.text.steps import prefix_text, split_steps
from tests.vllm_server import ROOT, vllm_binary

pytestmark = pytest.mark.slow

SCENES = 12
GREEDY = Sampling(temperature=0.0, max_tokens=64)
DRAWN = Sampling(temperature=0.8, max_tokens=64, seed=1)
SCHEMA = {
    "type": "object",
    "properties": {"side": {"enum": ["left", "right"]}},
    "required": ["side"],
    "additionalProperties": False,
}
ROWS = list(question_rows("test", SCENES))


def ask(row: dict[str, Any], n: int = 1, sampling: Sampling = GREEDY, prefix: str = "", **more: Any) -> Request:
    text = solve_prompt(row["question"], row["options"], style="bare")
    key = f"{row['question_id']}/{prefix}"
    return Request((Message("user", text, (row["image"]["bytes"],)),), n, sampling, prefix, key, **more)


def bad_requests() -> list[Request]:
    image = ROWS[0]["image"]["bytes"]
    long = Request((Message("user", "Nodules: one. " * 1200, (image,)),), 1, GREEDY)
    broken = Request((Message("user", "What?", (b"no image at all",)),), 1, GREEDY)
    two = Request((Message("user", "What?", (image, image)),), 1, GREEDY)
    return [ask(ROWS[0]), long, broken, two, ask(ROWS[1])]


class Session:
    """All groups of requests asked of one vLLM process: it takes a minute to start."""

    def __init__(self, groups: dict[str, list[Request]], folder: Path) -> None:
        binary = vllm_binary()
        assert binary is not None
        asked, answered, log = folder / "asked", folder / "answered", folder / "log"
        self.journal = folder / "journal.sqlite"
        asked.write_bytes(pickle.dumps(list(groups.values())))
        spec = f"vllm:{checkpoint('policy')}?dtype=float32&context=2048&images=1&eager=1&sequences=64&logprobs=1"
        script = [str(binary.parent / "python"), str(ROOT / "tests/slow/vllm_inside.py"), spec]
        environment = {"PYTHONPATH": str(ROOT), "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
        environment["LENT"] = sysconfig.get_path("purelib")
        environment |= {"OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
        with log.open("wb") as out:
            done = subprocess.run(
                [*script, str(asked), str(answered), str(self.journal)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                timeout=540,
                check=False,
            )
        assert done.returncode == 0, log.read_text(errors="replace")[-4000:]
        self.replies = dict(zip(groups, pickle.loads(answered.read_bytes()), strict=True))


@pytest.fixture(scope="module")
def greedy() -> list[Reply]:
    return open_backend("phantom:policy").complete([ask(row) for row in ROWS])


@pytest.fixture(scope="module")
def prefixed(greedy: list[Reply]) -> list[Request]:
    found = []
    for row, reply in zip(ROWS, greedy, strict=True):
        solution = reply.completions[0].text
        steps = split_steps(solution)
        found += [ask(row, prefix=prefix_text(solution, steps, j)) for j in range(len(steps))]
    return [request for request in found if request.prefix]


@pytest.fixture(scope="module")
def session(prefixed: list[Request], tmp_path_factory: pytest.TempPathFactory) -> Session:
    if vllm_binary() is None:
        pytest.skip("no vLLM venv: set MEDPRM_VLLM_VENV, or make .venv-vllm with ../shared/tools/vllm-cpu-venv")
    drawn = [ask(row, 16, DRAWN) for row in ROWS[:4]]
    groups = {
        "greedy": [ask(row) for row in ROWS],
        "prefixed": prefixed,
        "drawn": drawn,
        "again": drawn,
        "more": [replace(request, n=20) for request in drawn],
        "other": [replace(request, key=f"{request.key}/other") for request in drawn],
        "top": [ask(ROWS[0], logprobs=3)],
        "schema": [Request((Message("user", "Which side?"),), 1, GREEDY, schema=SCHEMA)],
        "bad": bad_requests(),
    }
    return Session(groups, tmp_path_factory.mktemp("inside"))


def test_greedy_equals_transformers(session: Session, greedy: list[Reply]) -> None:
    """Texts, tokens and prompt tokens of image chats are equal, log-probabilities to 1e-3."""
    for ours, theirs in zip(greedy, session.replies["greedy"], strict=True):
        a, b = ours.completions[0], theirs.completions[0]
        assert (a.text, a.finish_reason, a.tokens) == (b.text, b.finish_reason, b.tokens)
        assert ours.prompt_tokens == theirs.prompt_tokens
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-3)


def test_prefixes_are_continued_natively(session: Session, prefixed: list[Request]) -> None:
    ours = open_backend("phantom:policy").complete(prefixed)
    for one, other in zip(ours, session.replies["prefixed"], strict=True):
        assert other.continuation == "native" and one.prompt_tokens == other.prompt_tokens
        assert one.completions[0].text == other.completions[0].text


def test_sixteen_samples_of_one_request(session: Session) -> None:
    replies = session.replies["drawn"]
    assert all(len(reply.completions) == 16 for reply in replies)
    assert sum(len({done.text for done in reply.completions}) > 1 for reply in replies) >= 2
    texts = [[done.text for done in reply.completions] for reply in replies]
    assert texts != [[done.text for done in reply.completions] for reply in session.replies["other"]]


def test_the_journal_asks_for_what_lacks(session: Session) -> None:
    assert [reply.from_journal for reply in session.replies["again"]] == [16] * 4
    for first, more in zip(session.replies["drawn"], session.replies["more"], strict=True):
        assert more.from_journal == 16 and len(more.completions) == 20
        assert [done.text for done in more.completions[:16]] == [done.text for done in first.completions]
    with Journal(session.journal, readonly=True) as journal:
        (identity,) = {row[0] for row in journal.query("SELECT DISTINCT identity FROM requests")}
    assert identity.startswith("vllm:policy?files=")


def test_candidates_of_each_token(session: Session) -> None:
    (done,) = session.replies["top"][0].completions
    assert done.logprobs is not None and done.top_logprobs is not None
    assert len(done.top_logprobs) == len(done.logprobs) == done.tokens
    for chosen, top in zip(done.logprobs, done.top_logprobs, strict=True):
        assert len(top) <= 3 and max(top.values()) == pytest.approx(chosen, abs=1e-6)  # greedy takes the likeliest


def test_a_schema_is_kept(session: Session) -> None:
    (place,) = session.replies["schema"][0].places
    assert isinstance(place, Completion), place
    written = "".join(place.text.split())  # the tiny model likes blank lines, which JSON allows: it may not get far
    assert written and any(whole.startswith(written) for whole in ('{"side":"left"}', '{"side":"right"}'))


def test_what_it_refuses_is_named_and_the_rest_answered(session: Session, greedy: list[Reply]) -> None:
    first, long, broken, two, last = (reply.places[0] for reply in session.replies["bad"])
    assert isinstance(long, Failure) and long.kind == "context", long
    assert isinstance(broken, Failure) and broken.kind == "image", broken
    assert isinstance(two, Failure), two
    assert isinstance(first, Completion) and isinstance(last, Completion)
    assert (first.text, last.text) == (greedy[0].completions[0].text, greedy[1].completions[0].text)
