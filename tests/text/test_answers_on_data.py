"""Real questions (../shared/data): stated answers are read as what they are, and prose is not guessed at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprm_hf.text.answers import matches, read_answer

YES_NO = ["yes", "no", "maybe"]
SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


def test_slake_answers_match_themselves_and_not_their_opposites() -> None:
    path = SHARED / "slake_text" / "slake_validate_en.json"
    if not path.exists():
        pytest.skip(f"no SLAKE questions at {path}")
    rows = json.loads(path.read_text())
    for row in rows:
        gold = row["answer"]
        answer = read_answer(f"Step 1: We look.\nAnswer: {gold}", [])
        assert matches(answer, [], gold, None) is True, row
    closed = [row for row in rows if row["answer"] in ("Yes", "No")]
    assert len(closed) > 200
    for row in closed:
        gold = ["Yes", "No"].index(row["answer"])
        for said in (0, 1):
            answer = read_answer(f"Answer: {['Yes', 'No'][said]}, as the image shows.", ["Yes", "No"])
            assert matches(answer, ["Yes", "No"], row["answer"], gold) is (said == gold)


def test_pubmedqa_decisions_are_read_and_long_answers_are_not_guessed() -> None:
    path = SHARED / "pubmedqa" / "pqal_dev500.json"
    if not path.exists():
        pytest.skip(f"no PubMedQA questions at {path}")
    rows = list(json.loads(path.read_text()).values())
    for row in rows:
        gold = YES_NO.index(row["final_decision"])
        text = f"{row['LONG_ANSWER']}\nSo the answer is {row['final_decision']}."
        assert matches(read_answer(text, YES_NO), YES_NO, row["final_decision"], gold) is True
    guessed = [row["LONG_ANSWER"] for row in rows if read_answer(row["LONG_ANSWER"], YES_NO) is not None]
    # Long answers state no option; those that begin "No, …" or "Yes, …" do.
    assert all(text.lower().startswith(("no", "yes", "maybe")) for text in guessed), guessed
