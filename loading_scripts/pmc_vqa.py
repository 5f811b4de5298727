"""PMC-VQA: multiple-choice questions that a language model wrote about figures of PubMed Central (Zhang et al. 2023).

Hub: RadGenome/PMC-VQA
Licence: CC BY-SA
Redistribution: yes, alike; figures keep the licence of their article (oa_comm_use_file_list.csv of the Hub lists those
    for commercial use)
Needs: nothing to sign; images.zip (18.9 GB; version 1) or images_2.zip (2.2 GB; version 2)
Columns: Figure_path, Question, Choice A, Choice B, Choice C, Choice D, Anwser (spelled so) or Answer, Answer_label
Checked: dataset card (RadGenome/PMC-VQA, formerly xmcmic/PMC-VQA) and the authors' loader; the licence
    from memory

Choices begin with their letter ("A:Diffuse uptake"), which is taken off. version=1 is the first 227,000 questions
(train.csv, test.csv), version=2 those without compound figures (train_2.csv, test_2.csv). The group is the article.

    python loading_scripts/pmc_vqa.py --path copy/of/PMC-VQA --limit 5
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.sources import Pictures, Record, choice, hub_files, records, run_script, split_name, text

HUB = "RadGenome/PMC-VQA"
LICENSE = "CC BY-SA"
CHOICES = ("Choice A", "Choice B", "Choice C", "Choice D")
_FILES = {1: (("train.csv", "test.csv"), "images.zip"), 2: (("train_2.csv", "test_2.csv"), "images_2.zip")}


def rows(
    path: str | None = None, hub: str = HUB, split: str | None = None, limit: int | None = None, version: int = 2
) -> Iterator[dict[str, Any]]:
    """Question rows of one version; images are read from images/ (figures/ in version 2) or the ZIP."""
    if version not in _FILES:
        raise ConfigError(f"pmc_vqa: version={version} is none of 1, 2")
    names, archive = _FILES[version]
    folder = Path(path or hub)
    if folder.is_file():
        tables, folder = [folder], folder.parent
    else:
        tables = [file for file in hub_files(path, hub, names) if split in (None, split_name(file.stem))]
    if not tables:
        raise DataError(f"{path or hub} holds none of {', '.join(names)} (version={version}, split={split})")
    images = Pictures([folder / "images", folder / "figures", folder], hub_files(path, hub, [archive]))
    yield from islice((_row(record, images) for table in tables for record in _of(table)), limit)


def _of(table: Path) -> Iterator[Record]:
    return records(table, columns=("Figure_path", "Question", *CHOICES))


def _row(record: Record, images: Pictures) -> dict[str, Any]:
    figure = text(record["Figure_path"])
    said = _plain(record["Anwser"] if "Anwser" in record.value else record["Answer"])
    label = text(record["Answer_label"]) or (said if re.fullmatch("[A-D]", said) else "")
    answer = None if label == said else said
    return {
        "question_id": f"pmc_vqa-{Path(record.where).stem}-{record.number:06d}",
        "image": images.cell(figure),
        "question": text(record["Question"]),
        **choice([_plain(record[name]) for name in CHOICES], answer=answer, letter_of=label),
        "modality": "figure",
        "group": figure.split("_")[0] or None,
        "split": record.split,
        "source": "pmc_vqa",
        "license": LICENSE,
    }


def _plain(value: Any) -> str:
    """A choice without its letter."""
    return re.sub(r"^[A-D]\s*:\s*", "", text(value)).strip()


if __name__ == "__main__":
    run_script(rows, __doc__)
