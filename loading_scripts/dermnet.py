"""DermNet: 19,500 clinical photographs of 23 groups of skin disease, as Kaggle has them.

Licence: all rights reserved (DermNet)
Redistribution: no
Needs: a Kaggle account (which states no licence of its own) and DermNet's terms; a local copy with
    train/CLASS/*.jpg and test/CLASS/*.jpg
Columns: the folder's name is the class
Checked: public descriptions of the folder layout; not against the files

No patient is published: each image is its own group. options=4 shows four of the classes that the folder has (null:
all). ask=none gives rows without a question.

    python loading_scripts/dermnet.py --path copy/of/dermnet --split test --limit 3
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.ids import content_hash
from medprm_hf.loading import image_value
from medprm_hf.sources import ask_class, run_script, split_name
from medprm_hf.sources.pictures import is_image

LICENSE = "all rights reserved (DermNet)"
QUESTION = "Which group of skin diseases does this photograph show?"


def rows(
    path: str, split: str | None = None, limit: int | None = None, ask: str = "label", options: int | None = 4
) -> Iterator[dict[str, Any]]:
    """Question rows, split by split and class by class."""
    folder, wanted = Path(path), split_name(split)
    splits = [one for one in _folders(folder) if split_name(one.name) and wanted in (None, split_name(one.name))]
    if not splits:
        raise DataError(f"{folder} holds no {wanted or 'train and test'} folder with a folder for each class")
    classes = sorted({class_of(one) for part in _folders(folder) if split_name(part.name) for one in _folders(part)})
    found = (
        _row(file, class_of(one), classes, split_name(part.name), ask, options)
        for part in splits
        for one in _folders(part)
        for file in sorted(one.iterdir())
        if is_image(file)
    )
    yield from islice(found, limit)


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []


def class_of(folder: Path) -> str:
    """`Acne and Rosacea Photos` → acne and rosacea."""
    return folder.name.removesuffix(" Photos").replace("_", " ").strip().casefold()


def _row(
    file: Path, label: str, classes: list[str], split: str | None, ask: str, options: int | None
) -> dict[str, Any]:
    name = f"dermnet-{split}-{content_hash(label, file.name)}"
    return {
        "question_id": name,
        "image": image_value(file),
        **ask_class(name, QUESTION, label, classes, options=options, ask=ask),
        "modality": "clinical photograph",
        "group": name,
        "split": split,
        "source": "dermnet",
        "license": LICENSE,
    }


if __name__ == "__main__":
    run_script(rows, __doc__)
