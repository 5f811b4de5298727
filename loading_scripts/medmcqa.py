"""MedMCQA: 194,000 questions of Indian medical entrance examinations, four options (Pal et al. 2022).

Hub: openlifescienceai/medmcqa
Licence: Apache-2.0
Redistribution: yes, with the licence's text
Needs: nothing to sign
Columns: id, question, opa, opb, opc, opd, cop (subject_name, topic_name, exp stay out)
Checked: the authors' README (medmcqa/medmcqa: cop counts from 1 there); the Hub's cop (from 0, -1 is hidden) from
    memory

`cop` counts from 0 on the Hub and in its Parquet files, from 1 in the authors' train.json, dev.json and test.json;
cop_from says so where a file is neither. The test split has no answers. `exp` explains the gold answer, so it is
left out. Text only; each question is its own group.

    python loading_scripts/medmcqa.py --split development --limit 5
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.sources import Record, choice, optional, records, run_script, text

HUB = "openlifescienceai/medmcqa"
LICENSE = "Apache-2.0"
OPTIONS = ("opa", "opb", "opc", "opd")
_AUTHORS = ("train.json", "dev.json", "test.json")


def rows(
    path: str | None = None,
    hub: str = HUB,
    split: str | None = None,
    limit: int | None = None,
    cop_from: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Question rows; a split without answers gives rows without a gold answer."""
    for record in islice(records(path, hub, columns=("id", "question", *OPTIONS), only=split), limit):
        yield {
            "question_id": f"medmcqa-{record['id']}",
            "question": text(record["question"]),
            **choice([record[name] for name in OPTIONS], index=_index(record, cop_from)),
            "modality": "text",
            "group": f"medmcqa-{record['id']}",
            "split": record.split,
            "source": "medmcqa",
            "license": LICENSE,
        }


def _index(record: Record, cop_from: int | None) -> int | None:
    """The right option's place from 0; null where it is hidden."""
    said = optional(record["cop"])
    if said is None or float(said) == -1:
        return None
    first = cop_from if cop_from is not None else int(record.where.removesuffix(".gz") in _AUTHORS)
    place = int(float(said)) - first
    if not 0 <= place < len(OPTIONS):
        other = 1 - first if first in (0, 1) else 0
        raise DataError(
            f"{record.where}: cop={said} of record {record.number} names no option when it counts from {first}: "
            f"say cop_from={other}"
        )
    return place


if __name__ == "__main__":
    run_script(rows, __doc__)
