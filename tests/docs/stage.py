"""The folder in which a page is walked: the files that pages name, made of twelve phantom questions by a local model.

runs/demo      a finished run (questions of a table, so that it is quick), with a PRM in runs/demo/prm
recipe.yaml    its recipe, and recipes that others are made of by `medprm init`
*.jsonl, …     solutions in the formats that pages name
before.py      names that a python block takes as given: rows, solutions, path
"""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from tests.docs.hub_stock import local_sources

BEFORE = """
from pathlib import Path
import datasets, medprm_hf
from medprm_hf.recipe import load
from medprm_hf.runs.pipeline import Run

solutions = datasets.load_dataset("runs/demo/dataset", split="train")
rows = [{**row, "step_scores": [0.9 if right == "+" else 0.2 for right in row["labels"]]} if SCORED else row
        for row in medprm_hf.read("runs/demo")]
path = Path("b.parquet")
"""
UNSEEN = {"test": ("test.jsonl", "medqa.solutions.jsonl"), "development": ("dev.jsonl",)}
"""Solutions of questions that no model was trained on: split, and files."""
EVIDENCE = [
    {"id": "own#1", "text": "Solid nodules above 8 mm: PET-CT.", "source": "own", "license": "CC0-1.0", "score": 1.0}
]
CARD = {"maintainer": "The guide", "contact": "prm@example.org", "motivation": "To try it.", "citation": "none"}
BEFOREHAND = {
    "evaluation.md": [
        "medprm score test.jsonl --model phantom:prm --out their.scores.jsonl",
        "cp their.scores.jsonl orm.scores.jsonl",
    ],
    "publishing.md": [
        "medprm eval --model runs/demo/prm --data test.jsonl --development dev.jsonl --out runs/eval/prm"
    ],
    "space.md": ["medprm publish runs/demo --to org/medmm-prm --card card.yaml --public"],
}
"""What was typed before a page begins, for its slow blocks."""
NAMES = {"hub.md": "hybrid", "runs.md": "mine", "reviewing.md": "x", "costs.md": "followup"}
"""What recipe.yaml's run is called where the page calls it otherwise than demo."""


def questions(folder: Path, split: str = "train", count: int = 12) -> None:
    """questions.jsonl with images, and questions.csv without."""
    from medprm_hf.loading import open_source

    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(open_source("phantom", split=split, n=count)):
        image = f"images/{split}-{number}.png"
        (folder / image).write_bytes(row["image"]["bytes"])
        known = {name: row[name] for name in ("question", "options", "answer_index")}
        rows.append(
            {"question_id": f"{split}-{number}", "image": image, "source": "mine", "license": "CC0-1.0"} | known
        )
        rows[-1] |= {"question": f"{row['question']} Case {split} {number}.", "modality": "phantom_axial"}
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (folder / "questions.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, ["question", "options", "answer"])
        writer.writeheader()
        writer.writerows(
            {"question": row["question"], "options": "|".join(row["options"]), "answer": "A"} for row in rows[:4]
        )


def recipe(name: str, url: str) -> dict[str, Any]:
    """Plain values of a small recipe whose models are the local one."""
    backend = f"openai:gpt-4o-mini?base_url={url}"
    return {
        "name": name,
        "source": {"name": "table", "path": "questions.jsonl"},
        "stages": ["questions", "generate", "rollout", "judge", "merge", "review", "select"],
        "generate": {"backend": backend, "solutions": 4},
        "rollout": {"backend": backend, "k": 2},
        "judge": {"backend": backend},
        "merge": {"policy": "label_model"},
        "review": {"reviewer": f"store:runs/{name}/review.sqlite", "share": 0.3},
        "train": {"form": "marker", "model": "phantom:base", "epochs": 1, "lr": 1e-3, "freeze": ["visual"]}
        | {"layout": {"system": "", "question_head": "", "process_head": "", "numbered": False, "marker": "\n\n"}},
    }


def base(folder: Path, url: str) -> Path:
    """The folder that all pages get a copy of."""
    import os

    from medprm_hf import read, write
    from medprm_hf.phantom.model import checkpoint
    from medprm_hf.recipe import parse
    from medprm_hf.runs.commands import build_run

    folder.mkdir(parents=True)
    here = Path.cwd()
    os.chdir(folder)
    try:
        for split, names in UNSEEN.items():
            questions(folder, split)
            build_run(Path("runs/unseen"), parse(recipe("unseen", url)))
            for name in names:
                write(({**row, "evidence": EVIDENCE} for row in read("runs/unseen")), name, "raw-json")
            shutil.rmtree("runs/unseen")
        questions(folder)
        build_run(Path("runs/demo"), parse(recipe("demo", url)))
        shutil.copytree(checkpoint("prm"), "runs/demo/prm")
        shutil.copytree(checkpoint("prm"), "prm")
        shutil.copy("images/train-0.png", "xray.png")
        write(read("runs/demo"), "solutions.jsonl", "raw-json")
        for step, name in enumerate(("mine.jsonl", "more.jsonl")):
            write([_corrected(row, step) for row in islice(read("runs/demo"), 6)], name, "raw-json")
        for name in ("theirs.jsonl", "their.jsonl", "prm.jsonl"):
            write(read("runs/demo"), name, "visualprm")
        Path("theirs.jsonl.gz").write_bytes(gzip.compress(Path("theirs.jsonl").read_bytes()))
        shutil.copy("runs/demo/steps.jsonl", "steps.jsonl")
        shutil.copytree("runs/demo/steps_images", "steps_images")
        shutil.copy(next(Path("runs/demo/dataset/data").glob("*.parquet")), "b.parquet")
        Path("processbench.json").write_text(json.dumps(list(map(_processbench, range(8)))))
        Path("card.yaml").write_text(yaml.safe_dump(CARD))
    finally:
        os.chdir(here)
    return folder


def _corrected(row: dict[str, Any], step: int) -> dict[str, Any]:
    labels = list(row["labels"])
    labels[step] = "-" if labels[step] == "+" else "+"
    return row | {"labels": labels}


def _processbench(number: int) -> dict[str, Any]:
    wrong = number % 2
    return {
        "id": f"own-{number}", "generator": "somebody", "problem": f"How many signs are there in case {number}?",
        "steps": ["Sign one is seen.", "Another is not.", "Answer: one."], "final_answer_correct": not wrong,
        "label": 1 if wrong else -1,
    }  # fmt: skip


def stage(made: Path, folder: Path, page: str, url: str) -> Path:
    """A copy of the base for one page."""
    shutil.copytree(made, folder)
    name = NAMES.get(page, "demo")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe(name, url)))
    (folder / "before.py").write_text(f"SCORED = {page == 'evaluation.md'}\n{BEFORE}")
    if page == "costs.md":  # dear enough that two cents do not suffice
        priced = recipe(name, url) | {"prices": {"openai:gpt-4o-mini": {"input": 200, "output": 200}}}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(priced))
    if page == "sources.md":
        local_sources(folder)
    if page == "training.md":
        shutil.rmtree(folder / "prm")
        shutil.rmtree(folder / "runs/demo/prm")
    if page in BEFOREHAND:
        (folder / "before.sh").write_text("\n".join(BEFOREHAND[page]))
    if page in ("building.md", "README.md", "using.md", "tour.md"):
        for file in ("recipe.yaml", "before.py"):
            (folder / file).unlink()
    return folder
