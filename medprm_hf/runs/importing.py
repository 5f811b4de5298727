"""`medprm import`: a source becomes a question table on disk, and what cannot be used is said, row by row.

    import_source("vqa_rad", {"path": "copy/of/vqa-rad"}, Path("questions.parquet"), limit=100)
    →  Imported(kept=98, reasons={"image: …": 2}, …)      questions.parquet, questions.skipped.jsonl

The table is what `source: {name: table, path: questions.parquet}` reads. Rows without a question but with an image are
kept: a model can write one (questions.write). Nothing holds the whole dataset, and no half-written file is left.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError
from medprm_hf.loading import QUESTION_COLUMNS, open_source
from medprm_hf.schema import features
from medprm_hf.specs import QuestionsSpec
from medprm_hf.stages.question_checks import drop_reason, image_reason

COLUMNS = (*QUESTION_COLUMNS, "split")
BATCH = 64
"""Rows, with their images, that are held before they are written."""
_CHECKS = QuestionsSpec(needs_answer=False)
_COUNTED = ("split", "modality", "license")
Row = dict[str, Any]


@dataclass
class Imported:
    """What came of an import."""

    source: str
    out: Path
    kept: int = 0
    without_question: int = 0
    """Kept rows for which a model is to write a question."""
    without_answer: int = 0
    """Kept rows with a question and no gold answer: a judge can use them, rollouts cannot."""
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {n: Counter() for n in _COUNTED})
    """Kept rows by split, modality and licence."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Skipped rows by reason."""
    skipped: Path | None = None
    """Where each skipped row stands with its reason; null where none was."""

    def lines(self) -> list[str]:
        """The summary that is printed."""
        said = [f"{self.source}: {self.kept} rows → {self.out}"]
        for name, counter in self.counts.items():
            shown = ", ".join(f"{value} {number}" for value, number in counter.most_common(12))
            said.append(f"  {name}: {shown or 'none'}")
        if self.without_question:
            said.append(
                f"  {self.without_question} images without a question: see questions.write in docs/questions.md"
            )
        if self.without_answer:
            said.append(
                f"  {self.without_answer} without a gold answer: for a judge alone (questions.needs_answer=false)"
            )
        if self.skipped:
            said.append(f"  skipped {self.reasons.total()}, each with its reason in {self.skipped}:")
            said += [f"    {number} × {reason}" for reason, number in self.reasons.most_common(8)]
        return said


def import_words(name: str, options: dict[str, Any], out: Path, limit: int | None, force: bool) -> Imported:
    """`medprm import SOURCE`: shows how far it is, and replaces no table unless it is told to."""
    from rich.console import Console

    if out.exists() and not force:
        raise ConfigError(f"{out} is there already: name another file with --out, or say --force")
    with Console(stderr=True).status(f"reading {name}") as status:

        def tell(count: int) -> None:
            status.update(f"reading {name}: {count:,} rows")

        return import_source(name, options, out, limit, tell)


def import_source(
    name: str,
    options: dict[str, Any],
    out: Path,
    limit: int | None = None,
    tell: Callable[[int], None] = lambda count: None,
) -> Imported:
    """Writes the rows of a source to `out` (.parquet or .jsonl); `limit` takes the first that many.

    `tell` hears now and then how many rows were read.

    Raises ConfigError for an unknown source, option or suffix, DataError where the source cannot be read.
    """
    if out.suffix not in (".parquet", ".jsonl"):
        raise ConfigError(f"--out {out}: write questions.parquet or questions.jsonl")
    rows = _told(islice(open_source(name, **options), limit), tell)
    report = Imported(name, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(out.stem + ".skipped.jsonl")
    with _replacing(aside) as skipped, _replacing(out) as written, skipped.open("w", encoding="utf-8") as lines:
        with (_parquet if out.suffix == ".parquet" else _jsonl)(written, out) as write:
            for row in _usable(rows, report, lambda said: print(json.dumps(said, ensure_ascii=False), file=lines)):
                write(row)
    if report.reasons:
        report.skipped = aside
    else:
        aside.unlink()
    return report


def _told(rows: Iterator[Row], tell: Callable[[int], None]) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if number % 200 == 0:
            tell(number)
        yield row


def _usable(rows: Iterator[Row], report: Imported, skip: Callable[[Row], None]) -> Iterator[Row]:
    """The rows that can be used; the others go to `skip` with their reason, and all are counted."""
    seen = set[int]()
    for number, row in enumerate(rows):
        name = hash(row["question_id"])  # 8 bytes a row, not its text
        reason = "duplicate: an earlier row has this question_id" if name in seen else _reason(row)
        seen.add(name)
        if reason:
            report.reasons[_short(reason)] += 1
            skip({"row": number, "question_id": row["question_id"], "reason": reason})
            continue
        report.kept += 1
        report.without_question += not (row["question"] or "").strip()
        report.without_answer += bool(row["question"]) and row["answer"] is None
        for column, counter in report.counts.items():
            counter[str(row[column] or "not said")] += 1
        yield row


def _reason(row: Row) -> str | None:
    if not (row["question"] or "").strip() and row["image"] is not None:
        return image_reason(row)
    return drop_reason(_CHECKS, row)


def _short(reason: str) -> str:
    """A reason without what is said of this row alone, so that equal ones are counted together."""
    if reason.startswith("answer: ") and "none of the" in reason:
        return "answer: none of the options"
    return reason


@contextmanager
def _replacing(file: Path) -> Iterator[Path]:
    """A file to write that takes the place of `file` when all went well, and is gone when it did not."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _parquet(written: Path, _out: Path) -> Iterator[Callable[[Row], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = features(COLUMNS).arrow_schema
    held: list[Row] = []
    with pq.ParquetWriter(written, schema, compression="zstd") as table:

        def flush() -> None:
            table.write_table(pa.Table.from_pylist(held, schema=schema))
            held.clear()

        def write(row: Row) -> None:
            held.append({name: row[name] for name in COLUMNS})
            if len(held) == BATCH:
                flush()

        yield write
        if held:
            flush()


@contextmanager
def _jsonl(written: Path, out: Path) -> Iterator[Callable[[Row], None]]:
    """One row a line; images lie in a folder beside it, named by their hash."""
    images = out.with_name(f"{out.stem}_images")
    with written.open("w", encoding="utf-8") as lines:

        def write(row: Row) -> None:
            told = {name: row[name] for name in COLUMNS if row[name] is not None}
            if row["image"] is not None:
                images.mkdir(exist_ok=True)
                file = images / row["image"]["path"]
                if not file.exists():
                    file.write_bytes(row["image"]["bytes"])
                told["image"] = f"{images.name}/{file.name}"
            print(json.dumps(told, ensure_ascii=False), file=lines)

        yield write
