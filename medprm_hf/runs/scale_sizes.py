"""What one row of a run costs in bytes, seconds and memory: measured on small runs, the ground of `scale.py`.

measured(Path("runs/demo")).columns_bytes      443 bytes of a solution in the shards of all stages
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

GB = 1e9


@dataclass(frozen=True)
class Measured:
    """What one row costs, by a real run."""

    how: str
    columns_bytes: float
    """Of a solution in the shards of all stages but the source, compressed."""
    question_bytes: float
    """Of a question in the source's shards, without its image."""
    marker_bytes: float
    """Of the markers of one shard, all stages together."""
    dataset_bytes: float
    """Of a solution in dataset/, without images."""
    export_bytes: float
    """Of a solution in each export (a line of JSON)."""
    journal_answer: float = 600.0
    """Of one answer in the journal, its share of the request included (384 in a run of 40-token answers, 2,500 where
    an answer has 2 KB)."""
    shard_seconds: float = 0.15
    """Of one shard in one stage, beside asking: read, write, mark."""
    base_memory: float = 0.35 * GB
    """Of a process with nothing in hand."""
    row_memory: float = 12_000.0
    """Of a solution of the shard in hand, without its image: as plain values, twice."""
    learnt_memory: float = 870.0
    """Of a step while the label model learns: it holds every solution of the run (traced, 576 to 2,304 solutions)."""
    learnt_seconds: float = 0.00027
    """Of a step, one process alone."""


MEASURED = Measured(
    "medprm demo, seed 0: 400 questions x 4 solutions x 6 steps, 10 shards, 8 stages; memory: tests/benchmarks/runs.py",
    columns_bytes=443.0,
    question_bytes=60.0,
    marker_bytes=14_300.0,
    dataset_bytes=620.0,
    export_bytes=1900.0,
)


def measured(run: Path) -> Measured:
    """Bytes of a row in a finished run; what cannot be read from its files stays as in `MEASURED`."""
    counts = json.loads((run / "run.json").read_text(encoding="utf-8"))["counts"]
    made, questions = max(1, counts["solutions"]), max(1, counts["questions_in"])
    folders = [folder for folder in (run / "shards").iterdir() if folder.is_dir()]
    shards = max(1, len(list((run / "shards" / "source").glob("0*.parquet"))))
    columns = sum(_sum(folder, "0*.parquet") for folder in folders if folder.name != "source")
    journal, answers = _journal(run / "journal.sqlite")
    exports = [file for file in run.glob("*.json*") if file.suffix == ".jsonl" or file.name == "medprm.json"]
    lines = [file.stat().st_size for file in exports if file.name not in ("spent.jsonl", "dropped.jsonl")]
    return replace(
        MEASURED,
        how=f"{run}: {questions} questions, {made} solutions",
        columns_bytes=columns / made,
        question_bytes=60.0,
        marker_bytes=sum(_sum(folder, "0*.json") for folder in folders) / shards,
        export_bytes=sum(lines) / len(lines) / made if lines else MEASURED.export_bytes,
        journal_answer=journal / answers if answers else MEASURED.journal_answer,
    )


def _sum(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.glob(pattern))


def _journal(file: Path) -> tuple[int, int]:
    """Bytes and answers of a journal; zeros where there is none."""
    if not file.is_file():
        return 0, 0
    from medprm_hf.backends.journals.journal import Journal

    with Journal(file, readonly=True) as journal:
        return file.stat().st_size, int(journal.query("SELECT count(*) FROM answers")[0][0])
