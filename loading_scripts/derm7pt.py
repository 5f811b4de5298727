"""Derm7pt: 1,011 cases with a clinical and a dermoscopic photograph, diagnosis and difficulty (Kawahara et al. 2018).

Licence: research only (derm.cs.sfu.ca)
Redistribution: no
Needs: registration at derm.cs.sfu.ca; a local copy of release_v0
Columns: case_num, diagnosis, clinic, derm, level_of_diagnostic_difficulty, elevation, location, sex, indexes
Checked: the authors' reader (jeremykawahara/derm7pt) and public code that lists meta.csv's columns

meta/meta.csv, meta/{train,valid,test}_indexes.csv (places in meta.csv), images/. view=derm (default), clinic or both.
The question has the five groups of the paper as options (ask=none: no question). Difficulty: low easy, medium medium,
high hard. The group is the case.

    python loading_scripts/derm7pt.py --path release_v0 --limit 3
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.registry import near
from medprm_hf.sources import Pictures, ask_class, context, optional, records, run_script, split_name, text

LICENSE = "research only (derm.cs.sfu.ca)"
QUESTION = "What is the diagnosis of this skin lesion?"
CLASSES = ("basal cell carcinoma", "nevus", "melanoma", "seborrheic keratosis", "another lesion")
DIFFICULTIES = {"low": "easy", "medium": "medium", "high": "hard"}
VIEWS = {"derm": ("derm",), "clinic": ("clinic",), "both": ("clinic", "derm")}
_MODALITIES = {"derm": "dermoscopy", "clinic": "clinical photograph"}


def rows(
    path: str, split: str | None = None, limit: int | None = None, view: str = "derm", ask: str = "label"
) -> Iterator[dict[str, Any]]:
    """Question rows in the order of meta.csv."""
    if view not in VIEWS:
        raise ConfigError(f"derm7pt: view={view!r}{near(view, VIEWS)}")
    folder, wanted = Path(path), split_name(split)
    if not (folder / "meta" / "meta.csv").is_file():
        raise DataError(f"no meta/meta.csv in {folder}: give the folder release_v0")
    splits, images = _splits(folder / "meta"), Pictures([folder / "images"])
    found = (
        _row(record.value, shown, images, splits.get(record.number), ask)
        for record in records(folder / "meta" / "meta.csv", columns=("case_num", "diagnosis", "clinic", "derm"))
        if wanted in (None, splits.get(record.number))
        for shown in VIEWS[view]
    )
    yield from islice(found, limit)


def _splits(folder: Path) -> dict[int, str]:
    """Split of each place in meta.csv."""
    found: dict[int, str] = {}
    for word in ("train", "valid", "test"):
        file = folder / f"{word}_indexes.csv"
        if file.is_file():
            named = records(file, columns=("indexes",))
            found |= {int(float(text(one["indexes"]))): str(split_name(word)) for one in named if text(one["indexes"])}
    return found


def _row(case: dict[str, Any], view: str, images: Pictures, split: str | None, ask: str) -> dict[str, Any]:
    name = f"derm7pt-{case['case_num']}-{view}"
    return {
        "question_id": name,
        "image": images.cell(case[view]),
        **ask_class(name, QUESTION, group_of(optional(case["diagnosis"])), CLASSES, ask=ask),
        "modality": _MODALITIES[view],
        "difficulty": DIFFICULTIES.get(text(case.get("level_of_diagnostic_difficulty"))),
        "clinical_context": context(sex=case.get("sex"), site=case.get("location"), elevation=case.get("elevation")),
        "group": f"derm7pt-{case['case_num']}",
        "split": split,
        "source": "derm7pt",
        "license": LICENSE,
    }


def group_of(diagnosis: str | None) -> str | None:
    """The paper's group of a diagnosis, `melanoma (in situ)` → melanoma; null for none."""
    if diagnosis is None:
        return None
    named = (one for one in CLASSES[:4] if one in diagnosis.casefold())
    return next(named, CLASSES[4])


if __name__ == "__main__":
    run_script(rows, __doc__)
