"""The retrieve stage alone and in a run: budget, batches, nothing of the answer, nobody's own case."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.errors import ConfigError, MedPRMError
from medprm_hf.phantom.questions import question_row
from medprm_hf.phantom.world import question_ids
from medprm_hf.recipe import parse
from medprm_hf.retrieval.chunking import count_tokens
from medprm_hf.runs.pipeline import Run
from medprm_hf.stages.retrieve import Retrieve
from tests.retrieval.conftest import BOOK, clip, jsonl  # noqa: F401 - fixtures
from tests.retrieval.test_corpus import Write


def batch_of(*rows: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = list(rows[0])
    return {name: [row[name] for row in rows] for name in names}


def asked(name: str, question: str, **more: Any) -> dict[str, Any]:
    return {"question_id": name, "image": None, "question": question, "options": [], "answer": None, **more}


@pytest.fixture
def stage(tmp_path: Path, jsonl: Write) -> Retrieve:  # noqa: F811
    corpus = ({"path": str(jsonl(*BOOK))},)
    return Retrieve(corpus=corpus, encoder="none", indexes=str(tmp_path / "indexes"))  # type: ignore[arg-type]


def test_passages_for_each_question_with_source_and_licence(stage: Retrieve, tmp_path: Path) -> None:
    rows = [
        asked("q1", "What makes bile?"),
        asked("q2", "A diuretic that spares potassium"),
        asked("q1", "What makes bile?"),
    ]
    added = stage(batch_of(*rows))
    assert [[e["id"] for e in found] for found in added["evidence"]] == [["liver"], ["amiloride", "kidney"], ["liver"]]
    first = added["evidence"][0][0]
    assert (first["source"], first["license"], first["text"]) == ("book", "CC-BY-4.0", BOOK[1]["text"])
    assert added["similar_cases"] == [[], [], []] and added["errors"] == [[], [], []]
    assert len(list((tmp_path / "indexes").iterdir())) == 1
    stage.check()
    assert len(list((tmp_path / "indexes").iterdir())) == 1


def test_in_a_dataset_map(stage: Retrieve) -> None:
    from datasets import Dataset

    rows = [asked("q1", "What makes bile?", image=None), asked("q2", "Where is the spleen?")]
    found = Dataset.from_list(rows).map(stage, batched=True)
    assert [e["id"] for e in found[0]["evidence"]] == ["liver"] and found[1]["evidence"] == []


def test_the_answer_changes_nothing(stage: Retrieve) -> None:
    one = stage(batch_of(asked("q", "Which organ filters blood?", options=["Liver", "Kidney"], answer="Liver")))
    two = stage(batch_of(asked("q", "Which organ filters blood?", options=["Liver", "Kidney"], answer="Kidney")))
    assert one == two and {e["id"] for e in one["evidence"][0]} == {"kidney", "liver"}


def test_budget_is_kept_for_question_and_solution(tmp_path: Path, jsonl: Write) -> None:  # noqa: F811
    corpus = ({"path": str(jsonl(*BOOK))},)
    limits = {"total_tokens": 60, "document_tokens": 30, "reserved_tokens": 30}
    small = Retrieve(corpus=corpus, encoder="none", indexes=str(tmp_path / "i"), **limits)  # type: ignore[arg-type]
    row = asked("q", "potassium diuretic kidneys water blood", steps=[])
    shown = small(batch_of(row))["evidence"][0]
    assert shown and sum(count_tokens(e["text"]) for e in shown) <= 30
    assert small(batch_of(row | {"steps": ["A long step. " * 10, "Another. " * 10]}))["evidence"] == [[]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "nothing to search"),
        ({"corpus": [{"path": "a"}], "index": "b"}, "both given"),
        ({"index": "i", "document_tokens": 4000}, "4000 .*1024 are more than .*4096"),
        ({"index": "i", "encoder": "none", "lexical_weight": 0}, "nothing to search by"),
        ({"index": "i", "chunk_tokens": 10}, "chunk_overlap=32 is above half of retrieve.chunk_tokens=10"),
        ({"index": "no/such/index"}, "no text index"),
        ({"corpus": [{"path": "no/such/file"}]}, "no file or folder"),
        ({"cases": "no/such/table.jsonl"}, "no such table"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(MedPRMError, match=said):
        recipe = parse({"stages": ["questions", "retrieve"], "retrieve": settings})
        Retrieve(**vars(recipe.retrieve)).check()


def phantoms(n: int, split: str) -> list[dict[str, Any]]:
    return [question_row(name) | {"split": split} for name in question_ids("train", n)]


def test_image_without_words_words_without_image_and_a_broken_image(stage: Retrieve, clip: str) -> None:  # noqa: F811
    both = replace(stage, cases="run", image_encoder=clip)
    rows = phantoms(3, "train")
    rows[0]["question"], rows[0]["options"] = "", []
    rows[1]["image"], rows[1]["question"] = None, "What makes bile?"
    rows[2]["image"] = {"bytes": b"broken", "path": None}
    extra = phantoms(5, "train")[3:]
    added = both(batch_of(*rows, *extra))
    assert added["evidence"][0] == [] and len(added["similar_cases"][0]) == 2
    assert added["evidence"][1] and added["similar_cases"][1] == []
    assert added["similar_cases"][2] == [] and added["errors"][2][0]["kind"] == "image"
    assert added["errors"][0] == added["errors"][1] == []


def test_similar_cases_of_the_run_itself(tmp_path: Path, clip: str) -> None:  # noqa: F811
    stage = Retrieve(cases="run", image_encoder=clip, indexes=str(tmp_path), similar=10)
    rows = [*phantoms(8, "train"), *(question_row(name) | {"split": "test"} for name in question_ids("test", 3))]
    rows[1]["group"] = rows[0]["group"] = "patient"
    batches = [batch_of(*rows[:6]), batch_of(*rows[6:])]
    learnt = stage.learn(batches)
    taught = replace(stage, learnt=learnt)
    assert stage.learn(batches) == learnt and len(list(tmp_path.iterdir())) == 1
    added = [found for batch in batches for found in taught(batch)["similar_cases"]]
    diagnoses = {row["question_id"]: row["answer"] for row in rows}
    for row, found in zip(rows, added, strict=True):
        names = {case["question_id"] for case in found}
        own = {r["question_id"] for r in rows if r["group"] == row["group"]}
        assert names == {r["question_id"] for r in rows[:8]} - own
        assert all(case["diagnosis"] == diagnoses[case["question_id"]] for case in found)


def test_a_table_of_cases_and_an_index_folder(tmp_path: Path, clip: str) -> None:  # noqa: F811
    from medprm_hf.phantom.commands import sample
    from medprm_hf.stages.indexes import build_index

    sample(tmp_path / "cases", 4, "train")
    table = tmp_path / "cases" / "questions.jsonl"
    lines = [line.replace(', "true_steps"', ', "x"') for line in table.read_text().splitlines()]
    import json

    rows = [{k: v for k, v in json.loads(line).items() if k != "x"} for line in lines]
    table.write_text("\n".join(json.dumps(row) for row in rows))
    row = question_row(question_ids("train", 1)[0]) | {"question_id": "mine", "image_sha256": None}
    row["image"] = question_row(question_ids("test", 1)[0])["image"]
    stage = Retrieve(cases=str(table), image_encoder=clip, indexes=str(tmp_path / "i"))
    assert len(stage(batch_of(row))["similar_cases"][0]) == 3  # one is of the same group
    said = build_index([str(table)], tmp_path / "built", images=True, encoder=clip)
    assert "4 cases added, 4 in all" in said[0]
    again = replace(stage, cases=str(tmp_path / "built"))
    assert again(batch_of(row)) == stage(batch_of(row))


def test_a_run_with_retrieval(tmp_path: Path, jsonl: Write, clip: str) -> None:  # noqa: F811
    recipe = parse(
        {
            "name": "r",
            "source": {"name": "phantom", "split": "train", "n": 6},
            "stages": ["questions", "retrieve"],
            "questions": {"split": "train"},
            "retrieve": {
                "corpus": [{"path": str(jsonl(*BOOK))}],
                "encoder": "none",
                "cases": "run",
                "image_encoder": clip,
                "indexes": str(tmp_path / "indexes"),
            },
            "exports": [],
            "shard_questions": 4,
        }
    )
    run = Run.open(tmp_path / "run", recipe)
    assert run.build() > 0
    rows = [run.table(n, ("similar_cases", "evidence")) for n in range(2)]
    assert [len(found) for table in rows for found in table["similar_cases"]] == [5] * 6
    assert Run.open(tmp_path / "run", recipe).build() == 0
    with pytest.raises(ConfigError, match="nothing to search"):
        Retrieve().check()
