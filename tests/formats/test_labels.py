"""Labels: unknown is never zero, the review's word counts, marks in texts are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medprm_hf import formats
from medprm_hf.formats.marks import step_labels
from tests.formats.examples import EXAMPLES
from tests.formats.rows import row

WRITERS = [name for name in formats.FORMATS if formats.open_format(name).writes]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_visualprm_raw_tells_unsampled_from_zero(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in EXAMPLES["visualprm-raw"]))
    _, second = formats.read(path, problems=[])
    assert second["expected_accuracy"] == [0.5, 0.0, None]
    assert second["rollout_total"] == [16, 16, 0]
    assert step_labels(second) == ["+", "-", "?"]
    formats.write([second], tmp_path / "v.jsonl", "visualprm")
    (written,) = lines(tmp_path / "v.jsonl")
    assert [turn["value"] for turn in written["conversations"][2::2]] == ["+", "-"]
    formats.write([second], tmp_path / "s.jsonl", "steps-jsonl")
    assert [step["label"] for step in lines(tmp_path / "s.jsonl")] == ["+", "-"]


TABLE = [
    # labels, review, expected accuracy, judge -> what counts
    (["+", "-"], None, None, None, ["+", "-"]),
    (["+", "?"], ["?", "-"], None, None, ["+", "-"]),
    (["+", "-"], ["-", "0"], [1.0, 1.0], None, ["-", "0"]),
    (["?", "?"], None, [1.0, 0.0], ["+", "+"], ["?", "?"]),
    (None, None, [0.5, 0.0], ["-", "-"], ["+", "-"]),
    (None, None, [0.5, None], ["-", "-"], ["+", "?"]),
    (None, None, [None, None], ["-", "?"], ["-", "?"]),
    (None, ["?", "+"], None, None, ["?", "+"]),
    (None, None, None, None, ["?", "?"]),
]


@pytest.mark.parametrize(("labels", "review", "mc", "judged", "final"), TABLE)
def test_the_label_that_counts(labels: Any, review: Any, mc: Any, judged: Any, final: list[str]) -> None:
    found = row(labels=labels, review_labels=review, expected_accuracy=mc, judge_labels=judged)
    assert step_labels(found) == final


def test_value_and_advantage_labels_come_from_the_rollouts() -> None:
    found = row(steps=list("abcd"), labels=["-"] * 4, expected_accuracy=[0.5, 0.5, 0.75, None])
    assert step_labels(found, "value", 0.5) == ["-", "-", "+", "?"]
    assert step_labels(found, "advantage") == ["+", "0", "+", "?"]


@pytest.mark.parametrize("format_id", WRITERS)
def test_an_unknown_step_is_never_written_as_right_or_wrong(format_id: str, tmp_path: Path) -> None:
    unknown = row(labels=["?", "?"], expected_accuracy=None, rollout_correct=None, rollout_total=None,
                  judge_labels=None)
    path = tmp_path / f"out{formats.open_format(format_id).extension}"
    report = formats.write([unknown], path, format_id)
    assert report.rejected == 0
    for back in formats.read(path, format_id, problems=[]):
        assert step_labels(back) == ["?"] * len(back["steps"])
    if report.written == 0:
        assert report.left_out


def test_neutral_steps_have_a_token_only_where_the_format_has_one(tmp_path: Path) -> None:
    neutral = row(steps=["a", "b", "c"], step_titles=None, labels=["0", "+", "0"], expected_accuracy=None,
                  rollout_correct=None, rollout_total=None, judge_labels=None)
    report = formats.write([neutral], tmp_path / "v.jsonl", "visualprm")
    (plain,) = lines(tmp_path / "v.jsonl")
    assert [turn["value"] for turn in plain["conversations"][2::2]] == ["+"]
    assert plain["conversations"][1]["value"].endswith("a\n\nb")
    assert report.left_out == {"steps labelled '0'": 2}
    formats.write([neutral], tmp_path / "a.jsonl", "visualprm", tokens="advantage")
    (three,) = lines(tmp_path / "a.jsonl")
    assert [turn["value"] for turn in three["conversations"][2::2]] == ["=", "+", "="]


def test_visualprm_options(tmp_path: Path) -> None:
    steps = row(steps=["a", "b", "c"], step_titles=None, labels=["+", "-", "+"], expected_accuracy=[0.5, 0.25, 1.0],
                rollout_correct=None, rollout_total=None, judge_labels=None, solution="a b c")
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["+", "-", "+"]),
        ({"early_stop": True}, ["+", "-"]),
        ({"labels": "value", "threshold": 0.3}, ["+", "-", "+"]),
        ({"labels": "value"}, ["+", "+", "+"]),
        ({"labels": "advantage"}, ["+", "-", "+"]),
        ({"outcome": True}, ["+"]),
    ]
    for options, expected in cases:
        formats.write([steps], tmp_path / "v.jsonl", "visualprm", **options)
        (record,) = lines(tmp_path / "v.jsonl")
        assert [turn["value"] for turn in record["conversations"][2::2]] == expected
    assert record["conversations"][1]["value"].endswith("### Solution Process:\na b c")
    (tmp_path / "prompt.jsonl").write_text(json.dumps(EXAMPLES["visualprm"][0]) + "\n")  # type: ignore[index]
    formats.write([steps], tmp_path / "v.jsonl", "visualprm", system_prompt_from=str(tmp_path / "prompt.jsonl"))
    assert lines(tmp_path / "v.jsonl")[0]["conversations"][0]["value"] == "Judge each step."
    gap = {**steps, "labels": ["+", "?", "-"], "expected_accuracy": None}
    formats.write([gap], tmp_path / "v.jsonl", "visualprm", unlabelled="truncate")
    assert len(lines(tmp_path / "v.jsonl")[0]["conversations"]) == 3
    assert formats.write([gap], tmp_path / "v.jsonl", "visualprm", unlabelled="reject").rejections == {
        "unlabelled_step": 1}


def test_prefix_labels_never_reach_a_prompt(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    telling = row(steps=["First.", "Second.", "Third."], step_titles=None, labels=["-", "-", "+"],
                  expected_accuracy=[0.123, 0.0, 0.5], rollout_correct=[2, 0, 8], rollout_total=[16, 16, 16],
                  judge_labels=None)
    formats.write([telling], path, "steps-jsonl")
    assert lines(path)[2]["prefix_steps"][0]["label"] == "-"
    rows = list(formats.read(path))
    for format_id, key in (("visualprm", "conversations"), ("stepwise", "prompt"), ("stepwise", "completions")):
        formats.write(rows, tmp_path / "out.jsonl", format_id)
        (record,) = lines(tmp_path / "out.jsonl")
        shown = record[key]
        if key == "conversations":
            shown = [turn["value"] for turn in shown if turn["from"] == "human"]
        text = json.dumps(shown)
        assert "0.123" not in text and '"-"' not in text and "label" not in text


MARKS = [
    ("medprm", " ки"), ("question-json", " ки"), ("math-shepherd", " ки"), ("visualprm", "<image>"),
    ("mm-prm", "<prm>"),
]


@pytest.mark.parametrize(("format_id", "mark"), MARKS)
def test_a_mark_in_a_step_is_refused_by_name(format_id: str, mark: str, tmp_path: Path) -> None:
    good, bad = row(), row(solution_index=1, steps=["Look.", f"So{mark} left."])
    report = formats.write([good, bad], tmp_path / "out.json", format_id)
    assert (report.written, dict(report.rejections)) == (1, {"marker_in_text": 1})
    told = json.loads((tmp_path / "out.json.rejected.jsonl").read_text())
    assert repr(mark) in told["message"] and "steps 2" in told["message"]


DIFFICULT = [
    'line\nbreak\r\nand "quotes" \\ and \ttabs', "emoji 🫁🩻 and right-to-left שלום مرحبا",
    "\u2028 \u2029 \x85 \x00 \x0b",
    "<image> and ки and <prm>", " ки", "", "x" * 1_000_000,
]


@pytest.mark.parametrize("text", DIFFICULT, ids=range(len(DIFFICULT)))
@pytest.mark.parametrize("format_id", WRITERS)
def test_difficult_text_survives_or_is_refused_by_name(format_id: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{formats.open_format(format_id).extension}"
    hard = row(steps=[text, "So: left."], question=f"Side? {text}")
    rows = [hard, row(question_id="q1", solution_index=1, is_correct=False, question=hard["question"])]
    report = formats.write(rows, path, format_id)
    back = list(formats.read(path, format_id, problems=[]))
    if report.rejected:
        assert set(report.rejections) == {"marker_in_text"}
        return
    assert [item["question"] for item in back] == [hard["question"]] * len(back)
    assert back[0]["steps"] == hard["steps"]


def test_dropped_rows_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    dropped = row(keep=False, drop_reason="single_step")
    report = formats.write([row(keep=True), dropped], tmp_path / "o.jsonl", "stepwise")
    assert (report.written, report.left_out) == (1, {"rows that selection dropped": 1})
    assert formats.write([dropped], tmp_path / "o.jsonl", "stepwise", include_dropped=True).written == 1
    assert formats.write([dropped], tmp_path / "o.jsonl", "raw-json").written == 1


def test_losses_are_counted_by_column(tmp_path: Path) -> None:
    found = row(judge_reasons=["Sound.", None], license="CC0")
    report = formats.write([found] * 600, tmp_path / "o.jsonl", "visualprm-raw")
    assert report.losses["judge_reasons"] == 600
    assert report.losses["license"] == 600
    assert report.losses["labels"] == 1200
    assert "  lost: judge_reasons: 600 not representable in visualprm-raw" in report.lines()
    assert "steps" not in report.losses


def test_an_edited_label_wins_over_what_the_file_said(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(EXAMPLES["prm800k"][0]) + "\n")  # type: ignore[index]
    (read,) = formats.read(path)
    formats.write([{**read, "review_labels": ["-", "?"]}], tmp_path / "o.jsonl", "prm800k")
    (written,) = lines(tmp_path / "o.jsonl")
    assert written["label"]["steps"][0]["completions"][0]["rating"] == -1
    assert written["labeler"] == "u1"
    assert len(written["label"]["steps"][1]["completions"]) == 2


@pytest.mark.parametrize("format_id", ["medprm", "question-json"])
@pytest.mark.parametrize("solution", [None, "So. Step 1: I think.\nStep 1: {}\nStep 2: {}\nStep 3: {}"])
def test_steps_that_speak_of_steps_stay_apart(format_id: str, solution: str | None, tmp_path: Path) -> None:
    steps = ["By Step 2: no.", "See Step 3: and Step 4: later.", "Line\nbreak, Step 1: again."]
    written = row(steps=steps, step_titles=None, labels=["+", "?", "-"], judge_labels=["+", "?", "-"],
                  expected_accuracy=[0.5, None, 0.0], rollout_correct=None, rollout_total=None,
                  solution=solution and solution.format(*steps))
    formats.write([written], tmp_path / "o.json", format_id)
    (back,) = formats.read(tmp_path / "o.json")
    assert back["steps"] == steps
    assert back["judge_labels"] == ["+", "?", "-"]
