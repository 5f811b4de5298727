"""A table of one's own: JSON, JSONL, CSV or Parquet with the canonical question columns.

Licence: each row's own (column license)
Redistribution: as each row's licence allows
Needs: nothing to sign
Columns: the canonical question columns (medprm_hf/schema.py)
Checked: the schema itself

Needed: question. Useful: question_id, image (path, relative to the table), options (list, or text split at |),
answer (text or letter), answer_index, modality, difficulty, clinical_context, group, source, license, split.
Other columns are refused by name, so that a typing error is not a missing column; `ignore` lists those to
leave out.

    python loading_scripts/table.py questions.csv --limit 1
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.sources import run_script
from medprm_hf.sources.own_rows import own_row
from medprm_hf.sources.streams import stream


def rows(path: str, limit: int | None = None, ignore: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Canonical question rows of the table; `limit` takes the first that many."""
    file = Path(path)
    for number, record in enumerate(_records(file)):
        if limit is not None and number >= limit:
            return
        yield own_row({k: v for k, v in record.items() if k not in ignore}, number, file.stem, file.parent)


def _records(file: Path) -> Iterator[dict[str, Any]]:
    if not file.is_file():
        raise DataError(f"no table at {file}")
    for number, (_, record) in enumerate(stream(file)):
        if not isinstance(record, dict):
            raise DataError(f"{file}: record {number} is a {type(record).__name__}, not columns")
        yield record


if __name__ == "__main__":
    run_script(rows, __doc__)
