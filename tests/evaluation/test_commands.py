"""`medprm eval` on files: the real benchmarks with a scripted scorer, files of scores, a real model, refusals."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from medprm_hf.cli import app
from medprm_hf.errors import ConfigError, DataError
from medprm_hf.evaluation.commands import EvalRequest, evaluate_file, request_of
from medprm_hf.evaluation.core import EvalSettings
from medprm_hf.scoring.settings import save_seen
from tests.evaluation.rows import noisy_rows

DATA = Path(__file__).parents[3] / "shared" / "data"
FAST = EvalSettings(resamples=30)


def real(name: str) -> Path:
    if not (DATA / name).is_file():
        pytest.skip(f"no ../shared/data/{name}")
    return DATA / name


def knowing(rows: list[dict[str, Any]]) -> list[list[float]]:
    """Scores that know something of the labels."""
    rng = random.Random(0)
    return [[min(1, max(0, {"+": 0.7, "-": 0.3}.get(x, 0.5) + rng.gauss(0, 0.15))) for x in r["labels"]] for r in rows]


def perfect(rows: list[dict[str, Any]]) -> list[list[float]]:
    return [[{"+": 0.9, "-": 0.1}.get(label, 0.5) for label in row["labels"]] for row in rows]


def jsonl(file: Path, records: list[Any]) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def test_processbench_by_a_scripted_scorer(tmp_path: Path) -> None:
    file = real("processbench/gsm8k.json")
    report = evaluate_file(EvalRequest(file, out=tmp_path, settings=FAST), perfect)  # type: ignore[arg-type]
    assert report["model"]["error_place"]["f1"] == 1.0
    assert report["counts"]["solutions"] + report["development"]["rows"] == 400
    noisy = evaluate_file(EvalRequest(file, out=tmp_path, settings=FAST), knowing)  # type: ignore[arg-type]
    assert 0.3 < noisy["model"]["error_place"]["f1"] < 1
    assert {p.name for p in tmp_path.iterdir()} >= {
        "evaluation.json", "evaluation.html", "results.yaml", "reliability.png", "position_f1.png",
    }  # fmt: skip
    block = yaml.safe_load((tmp_path / "results.yaml").read_text())
    results = block["model-index"][0]["results"]
    assert results[0]["dataset"]["type"] == "processbench"
    names = [metric["name"] for result in results for metric in result["metrics"]]
    assert "First-error F1 (ProcessBench)" in names and "Step macro-F1" in names


def test_prmbench_reports_its_bad_rows_by_index(tmp_path: Path) -> None:
    file = real("prmbench/prmbench_subset400.jsonl")
    report = evaluate_file(EvalRequest(file, out=tmp_path, settings=FAST), knowing)  # type: ignore[arg-type]
    assert len(report["problems"]) == 11
    assert "error_steps [54] of prm_test_p1_29 lie outside its 53 steps" in report["problems"][0]
    assert report["counts"]["solutions"] + report["development"]["rows"] == 383
    found = report["model"]["prmbench"]
    assert len(found["categories"]) == 9 and 0.5 < found["overall"]["score"] < 1
    page = (tmp_path / "evaluation.html").read_text()
    assert "prm_test_p1_29" in page and "not for clinical use" in page
    assert "http" not in page.replace("http-equiv", "")  # holds all it shows


def test_visualprocessbench_drops_neutral_steps_and_says_so(tmp_path: Path) -> None:
    records = [
        {
            "image": [],
            "question": f"Which lobe, {i}?",
            "answer": "RUL",
            "response": {"steps": ["Look.", "An opacity.", "So."], "process_correctness": [0, 1 if i % 2 else -1, 1]},
            "policy_model": "some-model",
            "data_source": "MMMU" if i % 3 else "MathVision",
        }
        for i in range(40)
    ]
    report = evaluate_file(
        EvalRequest(jsonl(tmp_path / "test.jsonl", records), out=tmp_path / "out", settings=FAST),
        perfect,  # type: ignore[arg-type]
    )
    steps = report["model"]["steps"]
    assert steps["neutral_dropped"] == report["counts"]["solutions"] and steps["macro_f1"] == 1.0
    assert set(steps["per_source"]["sources"]) == {"MMMU", "MathVision"}


def test_a_file_of_scores_needs_no_model(tmp_path: Path) -> None:
    rows = noisy_rows(30)
    data = jsonl(tmp_path / "data.jsonl", [{k: v for k, v in one.items() if k != "step_scores"} for one in rows])
    lines = [{"solution_id": one["solution_id"], "step_scores": one["step_scores"]} for one in rows]
    scores = jsonl(tmp_path / "scores.jsonl", lines)
    done = CliRunner().invoke(
        app, ["eval", "--data", str(data), "--scores", str(scores), "--beside", f"[/b]={scores}",
              "--out", str(tmp_path / "out")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "best_of_min" in done.output and "evaluation.html" in done.output
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert report["beside"]["[/b]"]["steps"]["macro_f1"] == report["model"]["steps"]["macro_f1"] > 0.8
    assert (tmp_path / "out" / "best_of_n.png").read_bytes()[:4] == b"\x89PNG"
    own = evaluate_file(EvalRequest(jsonl(tmp_path / "own.jsonl", rows), out=tmp_path / "own", settings=FAST))
    assert own["model"]["steps"]["macro_f1"] == report["model"]["steps"]["macro_f1"]


def test_scores_that_belong_to_something_else_are_refused(tmp_path: Path) -> None:
    rows = noisy_rows(5)
    data = jsonl(tmp_path / "data.jsonl", [{k: v for k, v in one.items() if k != "step_scores"} for one in rows])
    lines: list[dict[str, Any]] = [
        {"solution_id": one["solution_id"], "content": "other", "step_scores": [0.5] * 4} for one in rows
    ]
    with pytest.raises(DataError, match="another question or other steps"):
        evaluate_file(EvalRequest(data, scores=jsonl(tmp_path / "a.jsonl", lines), out=tmp_path))
    half = [{"solution_id": one["solution_id"], "step_scores": [0.5] * 4} for one in rows[:10]]
    with pytest.raises(DataError, match="10 of 20 rows have no step_scores"):
        evaluate_file(EvalRequest(data, scores=jsonl(tmp_path / "b.jsonl", half), out=tmp_path))
    with pytest.raises(DataError, match="no row has step_scores"):
        evaluate_file(EvalRequest(data, out=tmp_path))
    with pytest.raises(DataError, match="neither solution_id nor content"):
        evaluate_file(EvalRequest(data, scores=jsonl(tmp_path / "c.jsonl", [{"step_scores": [1]}]), out=tmp_path))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"ablate": "images"}, "did you mean image"),
        ({"truth": "gold"}, "--truth gold"),
        ({"beside": ["outcome"]}, "NAME=FILE"),
    ],
)
def test_words_that_cannot_work_say_the_way_out(words: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        request_of(data=Path("x"), **words)


def test_what_a_checkpoint_was_trained_on_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    rows = noisy_rows(10)
    save_seen(tmp_path, rows[:8])  # a folder that says what it has seen, and holds no weights
    data = jsonl(tmp_path / "data.jsonl", rows)
    with pytest.raises(DataError, match="8 of 40 rows were in the training"):
        evaluate_file(EvalRequest(data, model=str(tmp_path)))
    with pytest.raises(ConfigError, match="medprm.json"):  # only now is it opened
        evaluate_file(EvalRequest(data, model=str(tmp_path), skip_seen=True))


def test_missing_files_and_models_say_the_way_out(tmp_path: Path) -> None:
    data = jsonl(tmp_path / "data.jsonl", noisy_rows(3))
    with pytest.raises(ConfigError, match="--data"):
        evaluate_file(EvalRequest(tmp_path / "lost.jsonl"))
    with pytest.raises(ConfigError, match="needs --model"):
        evaluate_file(EvalRequest(data, ablate=("image",)))
    with pytest.raises(ConfigError, match="no file of scores"):
        evaluate_file(EvalRequest(data, scores=tmp_path / "lost.jsonl"))
    done = CliRunner().invoke(app, ["eval", "--data", str(data), "--ablate", "labels"])
    assert isinstance(done.exception, ConfigError) and "--recipe" in str(done.exception)


def phantom_rows(split: str, count: int) -> list[dict[str, Any]]:
    """Sampled solutions of phantom questions with the truth of their steps, as a table without `split`."""
    import numpy as np

    from medprm_hf.phantom.chains import sampled_solution
    from medprm_hf.phantom.oracle import check_steps
    from medprm_hf.phantom.questions import question_rows
    from medprm_hf.phantom.world import scene_of

    rng, rows = np.random.default_rng(0), []
    for question in question_rows(split, count):
        scene = scene_of(question["question_id"])
        for number in range(2):
            steps = sampled_solution(scene, rng)
            labels = ["+" if step.right else "-" for step in check_steps(scene, steps)]
            name = f"{question['question_id']}/{number}"
            rows.append({**question, "solution_id": name, "steps": steps, "labels": labels, "review_labels": None})
    return rows


def test_the_shipped_prm_looks_at_the_images(tmp_path: Path) -> None:
    from medprm_hf import write

    data = tmp_path / "phantom.jsonl"
    write(phantom_rows("test", 14), data, "raw-json")
    request = EvalRequest(data, model="phantom:prm", out=tmp_path / "out", ablate=("image",), settings=FAST)
    report = evaluate_file(request)
    assert report["model"]["steps"]["macro_f1"] > 0.7
    for name in ("images off", "images shuffled"):
        assert report["looking"][name]["macro_f1"] > 0 and report["looking"][name]["mean_change"] > 0.02
    assert "data:image/png" in (tmp_path / "out" / "evaluation.html").read_text()
    assert any("simulated" in note for note in report["notes"])
