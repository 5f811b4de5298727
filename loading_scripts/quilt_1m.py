"""QUILT-1M: a million histopathology images with captions, from teaching videos and elsewhere (Ikezogwo et al. 2023).

Licence: research only (QUILT-1M terms)
Redistribution: no
Needs: the authors' agreement (Zenodo record 8239942, or their form for full size); a local copy
Columns: image_path, caption, subset, split, pathology, magnification
Checked: the authors' README (terms) and public code that lists quilt_1M_lookup.csv's columns

Images without a question, for questions.write. caption=true puts the caption into the clinical context: then whoever
solves the question reads it too. The group is the video (the image's name before `_image_`). The lookup table lies
beside quilt_1m/ (or images/).

    python loading_scripts/quilt_1m.py --path copy/of/quilt --limit 3
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.ids import content_hash
from medprm_hf.sources import Pictures, optional, records, run_script, split_name, text

LICENSE = "research only (QUILT-1M terms)"


def rows(
    path: str, split: str | None = None, limit: int | None = None, caption: bool = False, subset: str | None = None
) -> Iterator[dict[str, Any]]:
    """Rows without a question; subset takes one of quilt, openpath, pubmed, laion."""
    folder, wanted = Path(path), split_name(split)
    folder = folder.parent if folder.is_file() else folder
    images = Pictures([folder / "quilt_1m", folder / "images", folder], sorted(folder.glob("images*.zip")))
    found = records(path, columns=("image_path", "caption", "split"), tables=("quilt_1M_lookup",))
    kept = (one for one in found if wanted in (None, split_name(one["split"])) and subset in (None, one["subset"]))
    seen = set[int]()
    for one in islice(kept, limit):
        file = text(one["image_path"])
        name = f"quilt_1m-{content_hash(file)}"
        if hash(file) in seen:  # one image with several captions
            name = f"{name}-{one.number}"
        seen.add(hash(file))
        said = [f"magnification: {mark}" for mark in [optional(one["magnification"])] if mark]
        said += [text(one["caption"])] if caption else []
        yield {
            "question_id": name,
            "image": images.cell(file),
            "modality": "pathology",
            "clinical_context": "; ".join(filter(None, said)) or None,
            "group": f"quilt_1m-{file.split('_image_')[0]}",
            "split": split_name(one["split"]),
            "source": "quilt_1m",
            "license": LICENSE,
        }


if __name__ == "__main__":
    run_script(rows, __doc__)
