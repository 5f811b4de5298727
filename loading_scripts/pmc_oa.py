"""PMC-OA: 1.6 million figures of PubMed Central with their captions (Lin et al., PMC-CLIP, 2023).

Hub: axiong/pmc_oa
Licence: by article (PubMed Central Open Access Subset)
Redistribution: by the licence of each article, which the dataset does not name
Needs: nothing to sign; images.zip (22 GB) or images/ beside the JSONL files
Columns: image, caption; pmcid where it is there
Checked: dataset card (axiong/pmc_oa) and its loader

Images without a question, for questions.write. caption=true puts the caption into the clinical context: then whoever
solves the question reads it too. The group is the article (PMC number of the image's name). The Hub has held
train.jsonl, valid.jsonl and test.jsonl, and since pmc_oa.jsonl without splits: either is read.

    python loading_scripts/pmc_oa.py --path copy/of/pmc_oa --limit 3
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.sources import Pictures, hub_files, optional, records, run_script, split_name, text

HUB = "axiong/pmc_oa"
LICENSE = "by article (PubMed Central Open Access Subset)"
WHOLE = ("pmc_oa.jsonl",)
SPLIT = ("train.jsonl", "valid.jsonl", "test.jsonl")


def rows(
    path: str | None = None,
    hub: str = HUB,
    split: str | None = None,
    limit: int | None = None,
    caption: bool = False,
) -> Iterator[dict[str, Any]]:
    """Rows without a question."""
    folder, wanted = Path(path or hub), split_name(split)
    tables = [folder] if folder.is_file() else _tables(path, hub)
    folder = folder.parent if folder.is_file() else folder
    images = Pictures([folder / "images", folder / "caption_T060_filtered_top4_sep_v0_subfigures", folder],
                      hub_files(path, hub, ["images.zip"]))  # fmt: skip
    found = (
        one
        for table in tables
        if table.name in WHOLE or wanted in (None, split_name(table.stem))
        for one in records(table, columns=("image", "caption"))
    )
    for one in islice(found, limit):
        file = text(one["image"])
        yield {
            "question_id": f"pmc_oa-{file.rsplit('.', 1)[0]}",
            "image": images.cell(file),
            "modality": "figure",
            "clinical_context": optional(one["caption"]) if caption else None,
            "group": text(one["pmcid"]) or file.split("_")[0] or None,
            "split": one.split,
            "source": "pmc_oa",
            "license": LICENSE,
        }


def _tables(path: str | None, hub: str) -> list[Path]:
    for names in (WHOLE, SPLIT):
        try:
            if found := hub_files(path, hub, names):
                return found
        except DataError:
            continue
    raise DataError(f"{path or hub} has none of {', '.join((*WHOLE, *SPLIT))}: give the local copy as path")


if __name__ == "__main__":
    run_script(rows, __doc__)
