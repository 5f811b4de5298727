"""Scores of a whole file: one JSON line a solution, as many as are there already left alone.

    for done in score_file(Path("solutions.jsonl"), Path("solutions.scores.jsonl"), scorer):
        print(done)                                    # rows scored so far

    {"row": 0, "question_id": "q1", "solution_id": "q1/0", "content": "9c1f…", "model": "runs/demo/prm",
     "step_scores": [0.91, null], "step_labels": ["+", "?"], "step_reasons": [null, "truncated"], "score": 0.91,
     "aggregates": {"mean": 0.91, …}, "final_answer": "A", "is_correct": true}

Lines stand in the order of the file's rows. A run that was killed leaves whole lines (a torn last one is cut off), and
the next goes on behind them; `content` says which question and steps a line is about, so that a changed file is
noticed. A `.parquet` output holds the rows themselves with the new columns; its lines are kept in OUT.jsonl meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from medprm_hf.errors import DataError, StoreError
from medprm_hf.formats import read
from medprm_hf.ids import content_hash
from medprm_hf.scoring.asked import References, Row, parts
from medprm_hf.scoring.results import StepScores
from medprm_hf.scoring.settings import PRMSettings

ROWS = 128
"""Rows that are scored and written at once, at least; questions are not cut apart."""
KEPT = ("question_id", "solution_id", "solution_index", "final_answer", "is_correct")
"""Columns of the row that its line repeats, so that it can be joined and voted with."""


class ScoresRows(Protocol):
    """A local scorer or a server's."""

    settings: PRMSettings
    name: str
    messages: dict[int, str]

    def score_rows(
        self, rows: list[Row], batch_tokens: int | None = None, references: References | None = None
    ) -> list[StepScores]:
        """One StepScores a row."""
        ...


def score_file(
    source: Path,
    out: Path,
    scorer: ScoresRows,
    *,
    format: str | None = None,
    batch_tokens: int | None = None,
    fresh: bool = False,
    limit: int | None = None,
    rows_at_once: int = ROWS,
) -> Iterator[int]:
    """Scores the solutions of a file, run or dataset into `out`; gives the number of rows done, part by part.

    Raises StoreError where `out` holds scores of another model or file, DataError where the file has no solutions.
    """
    lines = out.with_name(out.name + ".jsonl") if out.suffix == ".parquet" else out
    if fresh:
        lines.unlink(missing_ok=True)
    rows = _solutions(source, format, limit)
    done = 0
    for found in _kept_lines(lines):
        _same(found, next(rows, None), done, scorer.name, lines)
        done += 1
    if done:
        yield done
    out.parent.mkdir(parents=True, exist_ok=True)
    with lines.open("ab") as file:
        for part in parts(rows, rows_at_once):
            scores = scorer.score_rows(part, batch_tokens)
            for place, (row, one) in enumerate(zip(part, scores, strict=True)):
                file.write(_line(row, one, done + place, scorer, scorer.messages.get(place)))
            file.flush()
            done += len(part)
            yield done
    if not done:
        raise DataError(f"{source} holds no solution with steps: score a file of solutions, not of questions")
    if lines != out:
        _table(_solutions(source, format, limit), lines, out)


def _solutions(source: Path, format: str | None, limit: int | None) -> Iterator[dict[str, Any]]:
    """Rows that have steps, in order."""
    found = 0
    for row in read(source, format, keep=False):
        if row.get("steps"):
            if limit is not None and found >= limit:
                return
            found += 1
            yield row


def content_of(row: Mapping[str, Any]) -> str:
    """Names what of a row decides on its scores, the image by its hash or path."""
    image = row.get("image") or {}
    seen = row.get("image_sha256") or (image.get("path") if isinstance(image, Mapping) else None)
    evidence = [passage.get("text") for passage in row.get("evidence") or ()]
    said = [row.get("question"), row.get("options"), row.get("turns"), row.get("clinical_context"), seen, evidence]
    return content_hash(json.dumps([*said, list(row["steps"])], ensure_ascii=False, default=str))[:16]


def _line(row: Row, scores: StepScores, number: int, scorer: ScoresRows, message: str | None) -> bytes:
    named = {name: row.get(name) for name in KEPT if row.get(name) is not None}
    record = {"row": number, **named, "content": content_of(row), "model": scorer.name, **scores.as_dict()}
    if message:
        record["message"] = message
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _kept_lines(lines: Path) -> Iterator[dict[str, Any]]:
    """Records of an earlier run; what stands behind the last whole line is cut off."""
    if not lines.is_file():
        return
    with lines.open("r+b") as file:
        whole = 0
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            try:
                record = json.loads(raw)
            except ValueError:
                raise StoreError(f"{lines} is no file of scores: name another with --out, or pass --fresh") from None
            whole += len(raw)
            yield record
        file.truncate(whole)


def _same(record: Any, row: Row | None, number: int, model: str, lines: Path) -> None:
    """Refuses to go on behind the scores of something else."""
    out = "name another file with --out, or pass --fresh to score all of it again"
    if not isinstance(record, dict) or "content" not in record:
        raise StoreError(f"{lines} is no file of scores: {out}")
    if record.get("model") != model:
        raise StoreError(f"{lines} holds scores of {record.get('model')!r}, not of {model!r}: {out}")
    if row is None or record["content"] != content_of(row):
        raise StoreError(f"{lines}: line {number + 1} is about another solution than row {number} of the file: {out}")


def _table(rows: Iterator[dict[str, Any]], lines: Path, out: Path) -> None:
    """The rows with step_scores, step_labels, step_reasons and score as one Parquet file."""
    from datasets import Dataset, Features, List, Value

    from medprm_hf.schema import BY_NAME, features

    own = Features({
        "step_scores": List(Value("float64")),
        "step_labels": List(Value("string")),
        "step_reasons": List(Value("string")),
        "score": Value("float64"),
    })  # fmt: skip
    names: dict[str, None] = {}
    table: list[dict[str, Any]] = []
    for row, record in zip(rows, _kept_lines(lines), strict=True):
        known = {name: value for name, value in row.items() if name in BY_NAME}
        names |= dict.fromkeys(known)
        table.append({**known, **{name: record[name] for name in own}})
    full = [{**dict.fromkeys(names), **row} for row in table]
    whole = Features({**features(tuple(names)), **own})
    part = out.with_name(out.name + ".part")
    Dataset.from_list(full, features=whole).to_parquet(str(part))
    part.replace(out)
    lines.unlink()


def summary(lines: Path) -> dict[str, Any]:
    """Counts of a file of scores: solutions, steps, unknown ones by reason, and the mean score."""
    solutions = steps = 0
    reasons: dict[str, int] = {}
    known: list[float] = []
    for record in _kept_lines(lines):
        solutions += 1
        steps += len(record["step_scores"])
        known += [value for value in record["step_scores"] if value is not None]
        for reason in record["step_reasons"]:
            if reason:
                reasons[reason] = reasons.get(reason, 0) + 1
    mean = sum(known) / len(known) if known else None
    return {"solutions": solutions, "steps": steps, "known": len(known), "unknown": reasons, "mean": mean}
