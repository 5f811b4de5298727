"""DDXPlus: 1.3 million synthetic patients with symptoms, history, one of 49 diseases and a differential (Tchango 2022).

Licence: CC BY 4.0
Redistribution: yes, with attribution
Needs: the English release of figshare (release_{train,validate,test}_patients, release_evidences.json); its authors
    asked that the copy on the Hub be taken down, so none is read by default
Columns: AGE, SEX, PATHOLOGY, EVIDENCES, INITIAL_EVIDENCE, DIFFERENTIAL_DIAGNOSIS; of release_evidences.json
    question_en, value_meaning, possible-values
Checked: the authors' README and converter (mila-iqia/ddxplus), and the English release_evidences.json

The evidences are put into words by release_evidences.json. form=case gives them as the clinical context, form=turns
as a consultation. The options are the right disease and the likeliest others of the patient's differential
(options=0: an open question). Every patient is synthetic, and its own group; patients of one disease read alike, so
the questions stage may take some for duplicates.

    python loading_scripts/ddxplus.py --path copy/of/ddxplus --split test --limit 3
"""

from __future__ import annotations

import ast
import csv
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.ids import content_hash
from medprm_hf.sources import choice, run_script, split_name, text

LICENSE = "CC BY 4.0"
QUESTION = "What is the most likely diagnosis?"
_SEXES = {"M": "male", "F": "female"}
Evidences = dict[str, dict[str, Any]]


def rows(
    path: str, split: str | None = None, limit: int | None = None, options: int = 5, form: str = "case"
) -> Iterator[dict[str, Any]]:
    """Question rows of the patients, split by split; `options` counts the right one."""
    if form not in ("case", "turns"):
        raise ConfigError(f"ddxplus: form={form!r} is none of case, turns")
    folder = Path(path)
    told = folder / "release_evidences.json"
    if not told.is_file():
        raise DataError(f"no {told}: the evidences of a patient are codes that it puts into words")
    evidences: Evidences = json.loads(told.read_text(encoding="utf-8"))
    yield from islice(_rows(folder, split_name(split), evidences, options, form), limit)


def _rows(folder: Path, wanted: str | None, evidences: Evidences, options: int, form: str) -> Iterator[dict[str, Any]]:
    found = False
    for word in ("train", "validate", "test"):
        file = _patients(folder, word)
        if file is None or wanted not in (None, split_name(word)):
            continue
        found = True
        with _opened(file) as lines:
            for number, record in enumerate(csv.DictReader(lines)):
                yield _row(record, f"ddxplus-{word}-{number:07d}", split_name(word), evidences, options, form)
    if not found:
        raise DataError(f"{folder} holds no release_{wanted or 'train'}_patients (.csv or .zip)")


def _patients(folder: Path, word: str) -> Path | None:
    """figshare's files have no suffix when they are unpacked."""
    names = (f"release_{word}_patients.csv", f"release_{word}_patients", f"release_{word}_patients.zip", f"{word}.csv")
    return next((folder / name for name in names if (folder / name).is_file()), None)


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive, archive.open(archive.namelist()[0]) as member:
            yield io.TextIOWrapper(member, encoding="utf-8", newline="")
    else:
        with file.open(encoding="utf-8", newline="") as lines:
            yield lines


def _row(
    record: dict[str, Any], name: str, split: str | None, evidences: Evidences, options: int, form: str
) -> dict[str, Any]:
    first = text(record.get("INITIAL_EVIDENCE"))
    codes = [str(code) for code in _list(record.get("EVIDENCES"))]
    if codes and not any(code.partition("_@_")[0] in evidences for code in codes):
        raise DataError(f"release_evidences.json knows none of {', '.join(codes[:3])}: take it from the same release")
    said = [_said(code, evidences) for code in codes if code != first]
    who = f"Age {text(record.get('AGE'))}, {_SEXES.get(text(record.get('SEX')), 'sex not given')}."
    opening = " ".join([who, "First complaint:", *_said(first, evidences)]) if first else who
    told: dict[str, Any] = {"turns": _turns(opening, said)}
    if form == "case":
        told = {"clinical_context": "\n".join([opening, *(f"{asked} {answer}" for asked, answer in said)])}
    return {
        "question_id": name,
        "question": QUESTION,
        **told,
        **_gold(record, name, options),
        "modality": "text",
        "group": name,
        "split": split,
        "source": "ddxplus",
        "license": LICENSE,
    }


def _gold(record: dict[str, Any], name: str, options: int) -> dict[str, Any]:
    right = text(record.get("PATHOLOGY"))
    if not options:
        return {"options": [], "answer": right or None, "answer_index": None}
    ranked = [str(pair[0]) for pair in _list(record.get("DIFFERENTIAL_DIAGNOSIS")) if pair]
    shown = [right, *[one for one in ranked if one != right][: options - 1]] if right else ranked[:options]
    return choice(sorted(shown, key=lambda one: content_hash(name, one)), answer=right)


def _list(cell: Any) -> list[Any]:
    """A cell that holds a Python list as text."""
    try:
        value = ast.literal_eval(cell) if isinstance(cell, str) else cell
    except (SyntaxError, ValueError):
        return []
    return list(value) if isinstance(value, list | tuple) else []


def _said(code: str, evidences: Evidences) -> tuple[str, str]:
    """(the doctor's question, the patient's answer) of one code, `E_55_@_V_89`; an unknown one is said as it is."""
    name, _, value = code.partition("_@_")
    known = evidences.get(name)
    if known is None:
        return "A finding without a description:", code
    meanings = known.get("value_meaning") or {}
    if not value:
        answer = "Yes."
    elif value in meanings:
        answer = f"{text(meanings[value].get('en')).capitalize()}."
    else:
        answer = (
            f"{value} (of {min(scale)} to {max(scale)})." if (scale := known.get("possible-values")) else f"{value}."
        )
    return text(known.get("question_en")), answer


def _turns(opening: str, said: list[tuple[str, str]]) -> list[dict[str, str]]:
    """A consultation: the model is the doctor."""
    turns = [{"role": "user", "text": opening}]
    for asked, answer in said:
        turns += [{"role": "assistant", "text": asked}, {"role": "user", "text": answer}]
    return turns


if __name__ == "__main__":
    run_script(rows, __doc__)
