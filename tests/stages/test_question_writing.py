"""Questions that a model writes for images: good, broken, hostile, mended, and never; and a consultation in turns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.backends import open_backend
from medprm_hf.backends.protocol import Failure, Request
from medprm_hf.errors import ParseError
from medprm_hf.loading import complete_row
from medprm_hf.recipe import parse
from medprm_hf.runs.commands import build_run
from medprm_hf.specs import WriteSpec
from medprm_hf.stages.questions import Questions
from medprm_hf.text.question_writing import WRITTEN_SCHEMA, read_written
from tests.stages.test_questions import picture, table

HERE = "scripted:tests.stages.test_question_writing:"
GOOD: dict[str, Any] = {
    "clinical_context": "A 54-year-old man has a cough.", "question": "Which finding is visible?",
    "options": ["Effusion", "Nodule", "Fracture", "Pneumothorax"], "answer": "Nodule", "difficulty": "medium",
    "explanation": "A round opacity.",
}  # fmt: skip


def said(**changes: Any) -> str:
    return json.dumps(GOOD | changes)


def test_a_good_answer_is_read_however_it_names_the_option() -> None:
    for answer in ("Nodule", "nodule", "B", "(B)", "b.", "B. Nodule"):
        assert read_written("Sure!\n```json\n" + said(answer=answer) + "\n```").answer_index == 1
    lettered = [f"{letter}. {option}" for letter, option in zip("ABCD", GOOD["options"], strict=True)]
    assert read_written(said(options=lettered)).options == tuple(GOOD["options"])


REFUSED = [
    ("What a nice picture.", "no JSON object"), (said(options=["a", "b", "c"]), "options: 3 given, exactly 4"),
    (said(options="a|b|c|d"), "options: no list given"), (said(options=["a", "A", "b", "c"]), "two are the same"),
    (said(answer="Tumour"), "answer: 'Tumour' is none of the four"),
    (said(answer="B. Fracture"), "is none of the four"),
    (said(answer=None), "answer: 'None'"), (said(question=""), "question: a text is needed"),
    (said(question=7), "question: a text is needed, int"), (said(difficulty="brutal"), "'brutal' is none of easy"),
    (said(question="<script>alert(1)</script> Which?"), "question: it holds HTML"),
    (said(explanation="x" * 3000), "explanation: 3000 characters"), (said(options=["a", "b", "c", "<b>d</b>"]), "HTML"),
    (said(clinical_context="Mrs. Jane Doe, 54."), "seems to name a person (name)"),
    (said(clinical_context="He is known to have a nodule."), "says the right option"),
    ("[" * 5000, "no JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_broken_and_hostile_answers_are_refused_with_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(ParseError) as error:
        read_written(text)
    assert problem in str(error.value)


def writer(request: Request, place: int) -> str | Failure:
    """Right at once, right when told, always prose, never there: by the name of the question."""
    name, _, attempt = request.key.partition("/write/")
    if name == "mended" and attempt == "0":
        return said(options=["a", "b", "c"])
    if name == "down":
        return Failure("http_500", "the server said 500")
    return "Lovely." if name == "prose" else said()


def solver(request: Request, place: int) -> str:
    """Solves what it is asked in three steps."""
    return "Step 1: An opacity is seen.\nStep 2: It is round.\nStep 3: It is a nodule.\nAnswer: B"


def rows() -> list[dict[str, Any]]:
    names = ("good", "mended", "prose", "down")
    made = [complete_row({"question_id": name, "image": picture(i)}) for i, name in enumerate(names)]
    asked = {"question_id": "asked", "question": "Which?", "options": ["a", "b"], "answer_index": 0, "answer": "a"}
    return [*made, complete_row(asked), complete_row({"question_id": "broken", "image": b"no image"})]


def test_questions_are_written_repaired_and_kept_with_their_provenance() -> None:
    backend: Any = open_backend(HERE + "writer")
    before = len(backend.asked)
    out = Questions(write=WriteSpec(backend=HERE + "writer"))(table(rows()))
    assert out["question_status"] == ["written", "written", "dropped", "dropped", "kept", "dropped"]
    assert out["question"][:2] == [GOOD["question"]] * 2 and out["answer_index"][:2] == [1, 1]
    assert [w and w["tries"] for w in out["question_writer"]] == [1, 2, None, None, None, None]
    assert out["question_writer"][0]["model"] == backend.model
    assert out["question_reason"][2] == "unwritten: no JSON object was found"
    assert out["question_reason"][3] == "unwritten: no answer came"
    assert [error["kind"] for error in out["errors"][3]] == ["http_500", "unwritten"]
    asked = backend.asked[before:]
    assert len(asked) == 1 + 2 + 3 + 3 and all(request.schema == WRITTEN_SCHEMA for request in asked)
    repair = next(request for request in asked if request.key == "mended/write/1")
    assert "options: 3 given, exactly 4 are needed" in repair.messages[-1].text and repair.messages[0].images


def test_without_a_writer_images_without_a_question_are_dropped() -> None:
    out = Questions()(table(rows()))
    assert out["question_status"] == ["dropped"] * 4 + ["kept", "dropped"]


def run(tmp_path: Path, source: list[dict[str, Any]], **sections: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in source))
    plain = {
        "name": "small", "source": {"name": "table", "path": str(file)}, "exports": ["raw-json"],
        "stages": ["questions", "generate", "rollout", "judge", "merge", "select"], "shard_questions": 2,
        "generate": {"backend": HERE + "solver", "solutions": 1}, "rollout": {"backend": HERE + "solver", "k": 4},
        "judge": {"backend": "scripted:tests.stages.scripts:judge"}, **sections,
    }  # fmt: skip
    report = build_run(tmp_path / "run", parse(plain))
    return report, [json.loads(line) for line in (tmp_path / "run" / "dropped.jsonl").read_text().splitlines()]


def test_a_run_writes_solves_and_holds(tmp_path: Path) -> None:
    for i, name in enumerate(("good", "prose")):
        (tmp_path / f"{name}.png").write_bytes(picture(i))
    source = [
        {"question_id": "good", "image": "good.png", "question": ""},
        {"question_id": "prose", "image": "prose.png", "question": ""},
        {"question_id": "held", "question": "Mrs. Jane Doe coughs. Which?", "options": ["a", "b"], "answer": "a"},
    ]  # fmt: skip
    backend: Any = open_backend(HERE + "solver")
    before = len(backend.asked)
    report, dropped = run(tmp_path, source, questions={"write": {"backend": HERE + "writer"}})
    assert report["counts"]["questions_in"] == 3 and report["counts"]["questions_out"] == 1
    assert {entry["question_id"]: entry["reason"].split(":")[0] for entry in dropped} == {
        "prose": "unwritten", "held": "needs_review",
    }  # fmt: skip
    asked = backend.asked[before:]
    assert asked and not any("Jane" in message.text for request in asked for message in request.messages)
    assert all("Which finding is visible?" in request.messages[-1].text for request in asked)


def test_a_consultation_is_asked_turn_by_turn(tmp_path: Path) -> None:
    turns = [{"role": "user", "text": "I have had a cough for weeks."}, {"role": "assistant", "text": "Any fever?"}]
    source = [{"question_id": "talk", "question": "No. What is it?", "options": ["cold", "nodule"], "answer": "nodule",
               "turns": turns}]  # fmt: skip
    backend: Any = open_backend(HERE + "solver")
    before = len(backend.asked)
    report, _ = run(tmp_path, source)
    assert report["counts"]["solutions_kept"] == 1
    asked = backend.asked[before:]
    assert len(asked) > 1
    for request in asked:
        assert [message.role for message in request.messages] == ["user", "assistant", "user"]
        assert [message.text for message in request.messages[:2]] == [turn["text"] for turn in turns]
    assert any("Any fever?" in file.read_text() for file in (tmp_path / "run").glob("raw-json*"))
