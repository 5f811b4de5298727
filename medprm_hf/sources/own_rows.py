"""A row of one's own as a row of the question table: from a table's record, or from a row handed over in Python.

    own_row({"question": "Next?", "options": "CT|none", "answer": "B"}, 0, "mine")
    →  {"question_id": "mine-000000-…", "options": ["CT", "none"], "answer": "none", "answer_index": 1, …}

Empty cells count as absent; a gold answer may be the option's text, its letter or its index.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medprm_hf.ids import content_hash
from medprm_hf.loading import image_value
from medprm_hf.text.prompts import letter


def own_row(record: Mapping[str, Any], number: int, name: str, folder: Path | None = None) -> dict[str, Any]:
    """Canonical columns of record `number` of the table `name`; paths of images are relative to its folder.

    What fits no option keeps its text and has no index; the questions stage drops it with the reason.
    """
    row = {key: value for key, value in record.items() if not _empty(value)}
    if isinstance(row.get("options"), str):
        row["options"] = [option.strip() for option in row["options"].split("|")]
    if isinstance(row.get("image"), str):
        row["image"] = image_value((folder or Path()) / row["image"])
    row.setdefault("question_id", f"{name}-{number:06d}-{content_hash(row.get('question'), length=6)}")
    row.setdefault("group", row["question_id"])
    row.setdefault("source", name)
    row["question_id"], row["group"] = str(row["question_id"]), str(row["group"])
    return {**row, **_gold(row)}


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | float) and (value == "" or value != value))  # CSV readers give NaN


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
