"""SLAKE: questions about CT, MRI and X-ray images, in English and Chinese (Liu et al., ISBI 2021).

Hub: BoKelvin/SLAKE
Licence: CC BY 4.0
Redistribution: yes, with attribution
Needs: nothing to sign; imgs.zip (0.2 GB) or the folder imgs/ beside the JSON files
Columns: qid, img_id, img_name, question, answer, q_lang, modality (answer_type is not needed)
Checked: ../shared/data/slake_text (train.json and validate.json of the authors), dataset card (BoKelvin/SLAKE)

The group is the image (img_id): SLAKE publishes no patient. `location` stays out of the context, since some questions
ask for it. lang=null takes both languages.

    python loading_scripts/slake.py --path copy/of/SLAKE --limit 5
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.sources import Pictures, closed, hub_files, records, run_script, text

HUB = "BoKelvin/SLAKE"
LICENSE = "CC BY 4.0"
_MODALITIES = {"CT": "ct_scan", "MRI": "mri", "X-Ray": "xray"}


def rows(
    path: str | None = None,
    hub: str = HUB,
    split: str | None = None,
    limit: int | None = None,
    lang: str | None = "en",
    yes_no: bool = True,
) -> Iterator[dict[str, Any]]:
    """Question rows of one language; images come from imgs/ or imgs.zip."""
    folder = Path(path or hub)
    folder = folder.parent if folder.is_file() else folder
    images = Pictures([folder / "imgs", folder], hub_files(path, hub, ["imgs.zip"]))
    needed = ("qid", "img_name", "question", "answer", "q_lang")
    found = records(path, hub, columns=needed, only=split, tables=("train", "valid", "test", "slake"))
    for record in islice((one for one in found if lang is None or one["q_lang"] == lang), limit):
        yield {
            "question_id": f"slake-{record['qid']}",
            "image": images.cell(record["img_name"]),
            "question": text(record["question"]),
            **closed(record["answer"], yes_no),
            "modality": _MODALITIES.get(text(record["modality"]), "radiology"),
            "group": f"slake-{record['img_id']}",
            "split": record.split,
            "source": "slake",
            "license": LICENSE,
        }


if __name__ == "__main__":
    run_script(rows, __doc__)
