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
from medprm_hf.ids import content_hash
from medprm_hf.loading import image_value
from medprm_hf.sources import run_script
from medprm_hf.sources.streams import stream
from medprm_hf.text.prompts import letter


def rows(path: str, limit: int | None = None, ignore: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Canonical question rows of the table; `limit` takes the first that many."""
    file = Path(path)
    for number, record in enumerate(_records(file)):
        if limit is not None and number >= limit:
            return
        yield _row({k: v for k, v in record.items() if k not in ignore and not _empty(v)}, number, file)


def _empty(value: Any) -> bool:
    return value is None or value == "" or value != value  # NaN is what CSV readers give for an empty cell


def _records(file: Path) -> Iterator[dict[str, Any]]:
    if not file.is_file():
        raise DataError(f"no table at {file}")
    for number, (_, record) in enumerate(stream(file)):
        if not isinstance(record, dict):
            raise DataError(f"{file}: record {number} is a {type(record).__name__}, not columns")
        yield record


def _row(record: dict[str, Any], number: int, file: Path) -> dict[str, Any]:
    row = dict(record)
    if isinstance(row.get("options"), str):
        row["options"] = [option.strip() for option in row["options"].split("|")]
    if isinstance(row.get("image"), str):
        row["image"] = image_value(file.parent / row["image"])
    row.setdefault("question_id", f"{file.stem}-{number:06d}-{content_hash(row.get('question'), length=6)}")
    row.setdefault("group", row["question_id"])
    row.setdefault("source", file.stem)
    row["question_id"], row["group"] = str(row["question_id"]), str(row["group"])
    return {**row, **_gold(row)}


def _gold(row: dict[str, Any]) -> dict[str, Any]:
    """answer (the option's text) and answer_index, from either or a letter; what fits none is left to `questions`."""
    options = row.get("options") or []
    answer, index = row.get("answer"), row.get("answer_index")
    if index is None and isinstance(answer, str) and options:
        names = [letter(i) for i in range(len(options))]
        index = options.index(answer) if answer in options else names.index(answer) if answer in names else None
    if index is not None:
        index = int(index)
        answer = options[index] if 0 <= index < len(options) else answer
    return {"answer": answer, "answer_index": index}


if __name__ == "__main__":
    run_script(rows, __doc__)
