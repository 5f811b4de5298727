"""What a published dataset holds, small enough to compare a contribution with: names, texts as hashes, labels.

    known = Known.of(repo)                      fetches data/steps only, which has no images
    known.question("q1")                        →  KnownQuestion(split="train", asked="9f…", sha="ab…", …)
    known.solutions["q1-s0"].labels             →  "++-"

A solution takes some 200 bytes, so 200,000 fit in 40 MB.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.formats.parquet import batches
from medprm_hf.hub import HubRepo
from medprm_hf.ids import content_hash
from medprm_hf.imaging.perceptual import PerceptualIndex
from medprm_hf.publishing.components import normal
from medprm_hf.publishing.contributions import text_sha
from medprm_hf.publishing.opening import SETTINGS_FILE, check_version

STEPS = "data/steps"
_COLUMNS = ["question_id", "solution_id", "question", "options", "step", "label", "label_state", "image_sha256",
            "image_phash"]  # fmt: skip


@dataclass(frozen=True)
class KnownQuestion:
    """A question that is there."""

    split: str
    asked: str
    """Hash of question, options and image."""
    sha: str | None


@dataclass
class KnownSolution:
    """A solution that is there."""

    question: str
    steps: list[str] = field(default_factory=list)
    """`text_sha` of each."""
    labels: str = ""
    """Final label of each step, one character."""
    states: list[str] = field(default_factory=list)


@dataclass
class Known:
    """A published dataset as contributors compare with it."""

    name: str
    adjudicators: frozenset[str]
    questions: dict[str, KnownQuestion] = field(default_factory=dict)
    solutions: dict[str, KnownSolution] = field(default_factory=dict)
    by_asked: dict[str, str] = field(default_factory=dict)
    """Question by what is asked."""
    by_text: dict[tuple[str, str], str] = field(default_factory=dict)
    """Solution by its question and the hash of its steps."""
    looks: PerceptualIndex = field(default_factory=lambda: PerceptualIndex(2))
    """Its images, to find look-alikes."""

    @classmethod
    def of(cls, repo: HubRepo, revision: str = "main") -> Known:
        """What stands on the Hub; DataError where it is no dataset of ours."""
        with tempfile.TemporaryDirectory(prefix="medprm-known-") as folder:
            root = Path(folder)
            if SETTINGS_FILE in repo.files(revision):
                repo.fetch(SETTINGS_FILE, root / SETTINGS_FILE, revision)
                repo.snapshot(root, revision, under=STEPS)
            return cls.at(root, repo.name)

    @classmethod
    def at(cls, folder: Path, name: str) -> Known:
        """The same of a folder."""
        file = folder / SETTINGS_FILE
        settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if settings.get("kind") != "dataset":
            raise DataError(f"{name} was not published by medprm-hf: it has no {SETTINGS_FILE} that says dataset")
        check_version(settings.get("schema"), name)
        known = cls(name, frozenset(map(str, settings.get("adjudicators") or ())))
        seen: set[str] = set()
        for split, row in _step_rows(folder / STEPS):
            known._take(split, row, seen)
        for solution, found in known.solutions.items():
            known.by_text[found.question, content_hash(found.steps)] = solution
        return known

    def _take(self, split: str, row: dict[str, Any], seen: set[str]) -> None:
        question = row["question_id"]
        if question not in self.questions:
            asked = asked_hash(row["question"], row["options"], row["image_sha256"])
            self.questions[question] = KnownQuestion(split, asked, row["image_sha256"])
            self.by_asked.setdefault(asked, question)
            if row["image_phash"] and row["image_sha256"] not in seen:
                seen.add(row["image_sha256"])
                self.looks.twin(question, int(row["image_phash"], 16))
        found = self.solutions.setdefault(row["solution_id"], KnownSolution(question))
        found.steps.append(text_sha(row["step"]))
        found.labels += row["label"]
        found.states.append(row["label_state"])


def asked_hash(question: str, options: list[str] | None, sha: str | None) -> str:
    """What makes two questions the same: their words, options in order, and image."""
    return content_hash(normal(question), [normal(option) for option in options or []], sha)


def _step_rows(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow.parquet as pq

    for file in sorted(folder.glob("*.parquet")):
        split = file.name.partition("-")[0]
        with pq.ParquetFile(file) as table:
            for batch in batches(table, 2000, _COLUMNS):
                for row in batch.to_pylist():
                    yield split, row
