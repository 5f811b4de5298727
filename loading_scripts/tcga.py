"""TCGA: histology tiles of The Cancer Genome Atlas, with diagnoses of the Genomic Data Commons.

Licence: NIH Genomic Data Sharing, open access (give license= for tiles under terms of their own)
Redistribution: GDC's open-access images yes; published tile sets by their own terms (TCGA-UT: CC BY-NC-SA 4.0)
Needs: nothing to sign for open access; tiles as PNG or JPEG whose path names the case (TCGA-XX-XXXX); no whole slides
Columns: of GDC's clinical.tsv cases.submitter_id (case_submitter_id), diagnoses.primary_diagnosis (primary_diagnosis),
    age_at_index, gender; without it the first folder under the path is the class
Checked: GDC's field names as public code uses them; not against a download

The group is the case, by the barcode in the tile's path. options=4 shows four of the classes (null: all), ask=none no
question. Whole-slide files (.svs) are not opened: cut tiles first.

    python loading_scripts/tcga.py --path tiles --clinical clinical.tsv --limit 3
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.ids import content_hash
from medprm_hf.loading import image_value
from medprm_hf.sources import ask_class, context, optional, records, run_script
from medprm_hf.sources.pictures import is_image

LICENSE = "NIH Genomic Data Sharing, open access"
QUESTION = "What is the diagnosis of this tumour?"
BARCODE = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}")
_NAMES = {
    "case": ("cases.submitter_id", "case_submitter_id"),
    "diagnosis": ("diagnoses.primary_diagnosis", "primary_diagnosis"),
    "age": ("demographic.age_at_index", "age_at_index"),
    "sex": ("demographic.gender", "gender", "demographic.sex_at_birth"),
}
Case = dict[str, str | None]


def rows(
    path: str,
    clinical: str | None = None,
    license: str = LICENSE,
    limit: int | None = None,
    ask: str = "label",
    options: int | None = 4,
) -> Iterator[dict[str, Any]]:
    """Question rows of all tiles, in the order of their paths; tiles without a barcode are their own group."""
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"no folder at {folder}: give the folder that holds the tiles")
    cases = _cases(Path(clinical)) if clinical else {}
    folders = sorted(one.name for one in folder.iterdir() if one.is_dir())
    classes = sorted({str(case["diagnosis"]) for case in cases.values() if case["diagnosis"]}) if cases else folders
    tiles = (file for file in sorted(folder.rglob("*")) if file.is_file() and is_image(file))
    for file in islice(tiles, limit):
        inside = file.relative_to(folder)
        found = BARCODE.search(str(inside))
        case = cases.get(found[0], {}) if found else {}
        name = f"tcga-{content_hash(str(inside))}"
        label = case.get("diagnosis") if cases else (inside.parts[0] if len(inside.parts) > 1 else None)
        yield {
            "question_id": name,
            "image": image_value(file),
            **ask_class(name, QUESTION, label, classes, options=options, ask=ask),
            "modality": "pathology",
            "clinical_context": context(age=case.get("age"), sex=case.get("sex")),
            "group": found[0] if found else name,
            "source": "tcga",
            "license": license,
        }


def _cases(file: Path) -> dict[str, Case]:
    """Diagnosis, age and sex of each case; GDC writes a line for each treatment, the first that says it counts."""
    found: dict[str, Case] = {}
    for record in records(file):
        if not any(name in record.value for name in _NAMES["case"]):
            raise DataError(f"{file} has no {' or '.join(_NAMES['case'])}: give GDC's clinical.tsv")
        told = {what: _first(record.value, names) for what, names in _NAMES.items()}
        known = found.setdefault(str(told.pop("case")), told)
        for what, value in told.items():
            known[what] = known.get(what) or value
    return found


def _first(record: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((said for name in names if (said := optional(record.get(name)))), None)


if __name__ == "__main__":
    run_script(rows, __doc__)
