"""MedQA (USMLE): questions of the US medical licensing examination with 4 or 5 options (Jin et al. 2020).

Hub: GBaker/MedQA-USMLE-4-options
Licence: CC BY 4.0
Redistribution: yes, with attribution (the authors' repository, jind11/MedQA, says MIT)
Needs: nothing to sign; the 5-option form is no plain Hub dataset: give the authors' data_clean/questions/US as path
Columns: question, options (by letter), answer, answer_idx (the letter)
Checked: dataset card (GBaker/MedQA-USMLE-4-options) and public code that reads it; the authors' files by their README

options=4 or 5 says which form is wanted; a copy of the other form is refused. The authors' folder holds both
(US/train.jsonl: 5; US/4_options/*.jsonl: 4). Text only; no patient is shared, so each question is its own group.

    python loading_scripts/medqa.py --path data_clean/questions/US --options 5 --limit 5
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.sources import Record, choice, records, run_script, text

HUB = "GBaker/MedQA-USMLE-4-options"
LICENSE = "CC BY 4.0"


def rows(
    path: str | None = None, hub: str = HUB, split: str | None = None, limit: int | None = None, options: int = 4
) -> Iterator[dict[str, Any]]:
    """Question rows of the form with that many options."""
    needed = ("question", "options", "answer_idx")
    config = "4_options" if path is not None and options == 4 else None
    for number, record in enumerate(islice(records(path, hub, config=config, columns=needed, only=split), limit)):
        row = _row(record, options)
        if number == 0 and len(row["options"]) not in (0, options):
            raise DataError(
                f"{path or hub} has {len(row['options'])} options a question, not {options}: say options="
                f"{len(row['options'])}, or give the copy that has {options}"
            )
        yield row


def _row(record: Record, options: int) -> dict[str, Any]:
    name = f"medqa{options}-{record.split or 'rows'}-{record.number:05d}"
    return {
        "question_id": name,
        "question": text(record["question"]),
        **choice(_texts(record["options"]), answer=record["answer"], letter_of=record["answer_idx"]),
        "modality": "text",
        "group": name,
        "split": record.split,
        "source": f"medqa_{options}",
        "license": LICENSE,
    }


def _texts(options: Any) -> list[str]:
    """Options in the order of their letters: {"A": …}, or a list of {key, value} as BigBio has them."""
    if isinstance(options, dict):
        return [text(options[key]) for key in sorted(options) if options[key] is not None]
    pairs = options if isinstance(options, list) else []
    return [text(one.get("value")) for one in sorted(pairs, key=lambda one: str(one.get("key")))]


if __name__ == "__main__":
    run_script(rows, __doc__)
