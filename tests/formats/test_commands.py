"""convert, validate and inspect as the command line calls them; and what VMP's app files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from medprm_hf import formats
from medprm_hf.errors import ConfigError
from medprm_hf.formats.commands import convert, inspect, known_formats, options_of, validate
from tests.formats.examples import EXAMPLES, READ_ONLY
from tests.formats.rows import row
from tests.formats.test_images import picture
from tests.formats.test_round_trips import put

WRITERS = [name for name in formats.FORMATS if formats.open_format(name).writes]


@pytest.mark.parametrize("source", {**EXAMPLES, **READ_ONLY})
def test_every_format_converts_to_every_other(source: str, tmp_path: Path) -> None:
    path = put(tmp_path / "in.json", {**EXAMPLES, **READ_ONLY}[source])
    for to in WRITERS:
        report = convert(path, tmp_path / f"out{formats.open_format(to).extension}", to)
        assert report.rejected == 0, report.lines()
        assert report.written + report.left_out.total() > 0
        assert report.as_dict()["format"] == to


def test_validate_names_line_key_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    good = json.dumps(EXAMPLES["stepwise"][0])  # type: ignore[index]
    path.write_text(good + "\n" + good.replace("[true, false]", "[true]") + "\n")
    found = validate(path)
    assert (found.format, found.rows, found.steps, found.good) == ("stepwise", 1, 2, False)
    assert found.lines() == [
        f"{path}: row 2, labels: labels has 1 entries for 2 steps [uneven_steps]",
        f"{path}: stepwise, 1 rows, 2 steps (1 +, 1 -)",
        "1 uneven_steps",
    ]
    path.write_text(good)
    assert validate(path).lines()[-1] == "nothing is wrong"


def shown(path: Path, wanted: int = 1) -> str:
    console = Console(record=True, width=100, file=(path.parent / "screen").open("w"), force_terminal=True)
    console.print(inspect(path, wanted))
    return console.export_text(styles=True)


def test_inspect_shows_steps_in_the_colour_of_their_label_and_the_image(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    image = {"bytes": picture(), "path": None}
    formats.write([row(image=image, steps=["A [bold]nodule.", "Right."], labels=["+", "-"])], path, "raw-json")
    text = shown(path)
    assert "A [bold]nodule." in text
    assert "14/16" in text and "0.88" in text
    assert "4 x 3 PNG" in text and "A. Left  <- gold" in text
    green, red = "\x1b[32m", "\x1b[31m"
    assert f"{green}A [bold]nodule." in text.replace("1;", "") or green in text
    assert red in text
    assert "raw-json, 1 rows, 2 steps, 0 problems" in " ".join(text.split())
    assert "50.0%" in text


def test_inspect_says_why_there_is_nothing_to_see(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    formats.write([row(image="gone.png", answer_index=None, options=[])], path, "raw-json")
    assert "image gone.png (not loaded)" in shown(path)
    assert "gold: Left" in shown(path)
    with pytest.raises(ConfigError, match="row 2 is not among them"):
        inspect(path, 2)


def app(**changes: Any) -> dict[str, Any]:
    return {**READ_ONLY["vmp-app"][0], **changes}  # type: ignore[index]


def test_placeholders_of_app_files_are_refused_with_a_reason(tmp_path: Path) -> None:
    told = [{"step": 1, "title": "Step 1", "text": "placeholder - to be replaced", "label": "+", "mc_score": 0.0}]
    same = [{"step": 1, "title": "Reasoning", "text": "The findings fit.", "label": "+", "mc_score": 0.85}]
    own = [{"step": 1, "title": "Look", "text": "No mass.", "label": "-", "mc_score": 0.25}]
    cases = [
        app(id="d_1", steps=told), app(id="d_2", question="One?", steps=same),
        app(id="d_3", question="Two?", steps=same), app(id="d_4", steps=own), app(id="d_5", steps=[]),
    ]
    path = put(tmp_path / "d_for_app.json", cases)
    problems: list[formats.Problem] = []
    rows = list(formats.read(path, problems=problems, images="reference"))
    assert [row["question_id"] for row in rows] == ["d_4"]
    assert rows[0]["source"] == "d" and rows[0]["expected_accuracy"] == [0.25]
    assert [(problem.line, problem.reason) for problem in problems] == [
        (1, "placeholder"), (2, "placeholder"), (3, "placeholder"), (5, "no_steps")]


def test_browser_exports_are_read(tmp_path: Path) -> None:
    text = ("<image>\n### Question:\nMass?\n\n### Metadata:\nDataset: D\n\n### Options:\nA. Yes\nB. No\n\n"
            "### Instruction:\nExplain.")
    rationale = {"id": "D::c1", "image": "i.jpg", "conversations": [
        {"from": "human", "value": text}, {"from": "gpt", "value": "1. A nodule.\n2. So: yes."}],
        "metadata": {"gold_letter": "A", "final_answer_letter": "A", "solution_index": 2, "step_labels": ["+", "-"]}}
    training = {"meta": {"format": "step_level_training_json"}, "rows": [
        {"dataset": "D", "sample_id": "s1", "case_type": "Radiology", "modality": "CT", "image_url": "i.jpg",
         "question": "Mass?", "options": ["Yes", "No"], "gold_index": 0, "gold_letter": "A", "solution_index": 1,
         "final_label": "-", "qa_status": "ok", "prefix_steps": [], "current_step": {"title": "t", "text": "a"},
         "step_id": 1, "label": "+", "mc_score": 0.5},
        {"dataset": "D", "sample_id": "s1", "case_type": "Radiology", "modality": "CT", "image_url": "i.jpg",
         "question": "Mass?", "options": ["Yes", "No"], "gold_index": 0, "gold_letter": "A", "solution_index": 1,
         "final_label": "-", "qa_status": "ok", "prefix_steps": [{"title": "t", "text": "a"}],
         "current_step": {"title": "u", "text": "b"}, "step_id": 2, "label": "-", "mc_score": 0.0}]}
    for content, steps, labels, mc in (
        ([rationale], ["A nodule.", "So: yes."], ["+", "-"], None),
        (training, ["a", "b"], ["+", "-"], [0.5, 0.0]),
    ):
        path = put(tmp_path / "in.json", content)  # type: ignore[arg-type]
        assert formats.detect(path) == "vmp-browser"
        (found,) = formats.read(path, images="reference")
        assert (found["steps"], found["labels"], found["expected_accuracy"]) == (steps, labels, mc)
        assert (found["question"], found["options"], found["answer"]) == ("Mass?", ["Yes", "No"], "Yes")


def test_the_summary_of_a_vmp_result_is_computed_and_kept(tmp_path: Path) -> None:
    rows = [row(), row(solution_index=1, expected_accuracy=[0.0, 0.0], labels=["-", "-"], is_correct=False)]
    formats.write(rows, tmp_path / "r.json", "vmp-result")
    made = json.loads((tmp_path / "r.json").read_text())
    assert list(made) == ["dataset", "input_file", "generated_at", "config", "cases", "summary", "runtime_seconds"]
    assert made["cases"][0]["case_summary"] == {
        "solutions_generated": 2, "correct_solutions": 1, "mean_solution_mc_score": 0.5,
        "best_solution_mc_score": 1.0, "primary_solution_mc_score": 1.0, "primary_solution_label": "+"}
    assert made["summary"] == {
        "total_cases": 1, "avg_primary_solution_mc_score": 1.0, "avg_best_solution_mc_score": 1.0,
        "avg_correct_solutions": 1.0, "primary_label_positive_pct": 100.0}
    made.update(generated_at="2026-01-02 03:04:05", runtime_seconds=12.5)
    put(tmp_path / "in.json", made)
    formats.write(formats.read(tmp_path / "in.json"), tmp_path / "out.json", "vmp-result")
    assert json.dumps(json.loads((tmp_path / "out.json").read_text())) == json.dumps(made)


def test_steps_json_is_jsonl_under_that_name(tmp_path: Path) -> None:
    formats.write([row()], tmp_path / "s.jsonl", "steps-json")
    formats.write([row()], tmp_path / "s.json", "steps-json")
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    framed = json.loads((tmp_path / "s.json").read_text())
    assert framed["rows"] == lines
    assert (framed["meta"]["num_solutions"], framed["meta"]["num_training_rows"]) == (1, 2)


def test_options_are_read_as_the_format_takes_them() -> None:
    told = ["early_stop=true", "threshold=0.5", "tokens=advantage"]
    assert options_of("visualprm", told) == {"early_stop": True, "threshold": 0.5, "tokens": "advantage"}
    for format_id, setting, message in (
        ("visualprm", "early_stp=true", "did you mean early_stop"), ("visualprm", "early_stop=yes", "true or false"),
        ("visualprm", "threshold=high", "a number"), ("medprm", "x", "takes no 'x'"), ("raw-json", "a=b", "takes no"),
    ):
        with pytest.raises(ConfigError, match=message):
            options_of(format_id, [setting])
    with pytest.raises(ConfigError, match="did you mean advantage"):
        formats.open_format("visualprm", tokens="advantages")


def test_every_format_is_described() -> None:
    described = known_formats()
    assert [one["id"] for one in described] == list(formats.FORMATS)
    assert all(one["text"] and (one["losses"] or not one["writes"]) for one in described)
    assert sum(one["writes"] for one in described) == 16
