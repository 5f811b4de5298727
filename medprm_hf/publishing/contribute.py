"""`medprm contribute FILE --to org/name`: what a file would change, checked, and as a pull request.

    draft = drafted(formats.read("mine.jsonl"), Known.of(repo), author="alice", at="2026-01-02T03:04:05Z")
    draft.lines()       →  ["2 labels that contradict those there", "1 new solution of a known question", …]
    contribute(Path("mine.jsonl"), repo)        opens the pull request, with the check's report in its description

A question is known by its name, or by its words and image; a solution by its name and steps, or by its steps. Labels
that agree with those there are left out unless they are a reviewer's decision: they say nothing new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medprm_hf import formats
from medprm_hf.errors import DataError, HubError, PublishError
from medprm_hf.formats import Problem
from medprm_hf.formats.images import image_parts
from medprm_hf.hub import Commit, HubRepo
from medprm_hf.ids import bytes_hash, content_hash
from medprm_hf.imaging.intake import take_in
from medprm_hf.publishing.checking import check_contribution
from medprm_hf.publishing.contributions import (
    Contribution,
    LabelLine,
    QuestionLine,
    SolutionLine,
    contribution_id,
    text_sha,
)
from medprm_hf.publishing.findings import Finding, refusing
from medprm_hf.publishing.known import Known, asked_hash
from medprm_hf.publishing.privacy import public_name
from medprm_hf.schema import final_labels

AnyLine = LabelLine | SolutionLine | QuestionLine
_WORDS = {
    "questions": "new questions",
    "solutions of known questions": "new solutions of questions that are there",
    "solutions of new questions": "solutions of new questions",
    "labels of unknown steps": "labels of steps that had none",
    "labels that agree": "decisions that agree with the label there",
    "labels that contradict": "labels that contradict the one there: disagreements to adjudicate",
    "adjudications": "adjudications",
    "same": "labels equal to those there, left out",
    "unlabelled": "solutions without any label, left out",
}
"""What a contribution does, in the order in which it is told."""


@dataclass
class Draft:
    """A contribution before it is sent."""

    contribution: Contribution
    images: dict[str, bytes]
    """By their path in the repo."""
    changes: Counter[str]
    findings: list[Finding] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What would change, and what the checks say."""
        said = [f"{self.changes[name]:>7,} {words}" for name, words in _WORDS.items() if self.changes[name]]
        said += [f"        of the file: {problem}" for problem in self.problems[:10]]
        return said + ([one.line() for one in self.findings] or ["every check has passed"])

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self.contribution.lines

    def files(self) -> dict[str, bytes | Path | None]:
        """What the pull request adds."""
        return {self.contribution.path: self.contribution.dumps(), **self.images}


class _Drafter:
    """Compares rows with what is there, one by one."""

    def __init__(self, known: Known, adjudicate: bool) -> None:
        self.known, self.adjudicate = known, adjudicate
        self.lines: list[AnyLine] = []
        self.changes: Counter[str] = Counter()
        self.images: dict[str, bytes] = {}
        """By the SHA-256 of each, 64 hex digits."""
        self._questions: dict[str, str] = {}
        """New questions by what they ask."""
        self._solutions: set[str] = set()

    def take(self, row: dict[str, Any]) -> None:
        """One solution of the file."""
        if not row.get("steps"):
            return
        data = image_parts(row["image"])[0] if row.get("image") is not None else None
        taken = take_in({"bytes": data, "path": None}) if data else None
        sha = row.get("image_sha256") or (bytes_hash(data) if data else None)
        asked = asked_hash(row["question"], row.get("options"), sha)
        cleaned = asked_hash(row["question"], row.get("options"), taken.sha256) if taken else asked
        named = row.get("question_id")
        labels = _said(row)
        known = named if self._is(named, row, sha) else self.known.by_asked.get(asked, self.known.by_asked.get(cleaned))
        if known is not None:
            self._of_known(known, row, labels)
        elif set(labels) == {"?"}:
            self.changes["unlabelled"] += 1
        else:
            self._of_new(row, labels, taken, cleaned)

    def _is(self, named: str | None, row: dict[str, Any], sha: str | None) -> bool:
        """Whether the question's name means the same question there."""
        found = self.known.questions.get(named or "")
        solution = self.known.solutions.get(row.get("solution_id") or "")
        if found is None:
            return False
        if solution is not None and solution.question == named:
            return True
        return found.asked == asked_hash(row["question"], row.get("options"), sha) or (
            sha is None and found.asked == asked_hash(row["question"], row.get("options"), found.sha)
        )

    def _of_known(self, question: str, row: dict[str, Any], labels: list[str]) -> None:
        hashes = [text_sha(step) for step in row["steps"]]
        name = str(row.get("solution_id") or "")
        found = self.known.solutions.get(name)
        if found is None or found.steps != hashes or found.question != question:
            name = self.known.by_text.get((question, content_hash(hashes)), "")
            found = self.known.solutions.get(name)
        if found is None:
            if set(labels) == {"?"}:
                self.changes["unlabelled"] += 1
            else:
                self._solution(question, row, labels, "solutions of known questions")
            return
        # Decisions in a row of the published table are other people's.
        reviews = None if "label_state" in row else row.get("reviews")
        decided = [_own_words(step) for step in reviews or [[]] * len(hashes)]
        for place, (label, there) in enumerate(zip(labels, found.labels, strict=True)):
            self._label(name, place, hashes[place], label, there, decided[place])

    def _label(self, solution: str, place: int, sha: str, label: str, there: str, words: dict[str, Any]) -> None:
        if label == "?":
            return
        if label == there and not words:
            self.changes["same"] += 1
            return
        kind = "adjudications" if self.adjudicate else "labels of unknown steps" if there == "?" else (
            "labels that agree" if label == there else "labels that contradict")  # fmt: skip
        self.changes[kind] += 1
        said = {"solution_id": solution, "step": place, "text_sha": sha, "label": label, **words}
        self.lines.append(LabelLine.model_validate({"kind": "adjudication" if self.adjudicate else "label", **said}))

    def _of_new(self, row: dict[str, Any], labels: list[str], taken: Any, asked: str) -> None:
        if asked not in self._questions:
            name = row.get("question_id") or f"n-{asked}"
            name = f"{name}-{asked[:8]}" if name in self.known.questions else name
            self._questions[asked] = name
            image = None
            if taken is not None and taken.cell is not None and taken.cell["bytes"]:
                self.images[taken.sha256] = taken.cell["bytes"]
                image = taken.sha256
            self.lines.append(_question(name, row, image))
            self.changes["questions"] += 1
        self._solution(self._questions[asked], row, labels, "solutions of new questions")

    def _solution(self, question: str, row: dict[str, Any], labels: list[str], kind: str) -> None:
        name = f"{question}-c{content_hash(question, row['steps'])[:12]}"
        if name in self._solutions:
            return
        self._solutions.add(name)
        self.changes[kind] += 1
        optional = ("label_p", "expected_accuracy", "rollout_correct", "rollout_total", "step_titles", "solution",
                    "final_answer", "is_correct")  # fmt: skip
        given = {key: row[key] for key in optional if row.get(key) is not None}
        model = public_name((row.get("generator") or {}).get("model"))
        named = {"question_id": question, "solution_id": name, "model": model}
        said = {"steps": list(row["steps"]), "labels": labels, **given}
        self.lines.append(SolutionLine.model_validate({**named, **said}))


def _said(row: dict[str, Any]) -> list[str]:
    """The labels that a row says: in one of the published table `labels` are final, and what a contributor changes."""
    labels = list(row.get("labels") or ["?"] * len(row["steps"]))
    return labels if "label_state" in row else final_labels(labels, row.get("review_labels"))


def _own_words(decisions: list[dict[str, Any]] | None) -> dict[str, Any]:
    """What the last reviewer of a step said beside the label; `note` at least, so that it counts as a decision."""
    if not decisions:
        return {}
    last = decisions[-1]
    return {"error_type": last.get("error_type"), "severity": last.get("severity"), "note": last.get("note")}


def _question(name: str, row: dict[str, Any], image: str | None) -> QuestionLine:
    return QuestionLine(
        question_id=name, question=row["question"], options=list(row.get("options") or []), answer=row.get("answer"),
        answer_index=row.get("answer_index"), modality=row.get("modality") or None, difficulty=row.get("difficulty"),
        clinical_context=row.get("clinical_context"), group=row.get("group") or None,
        source=row.get("source") or "contribution", license=row.get("license") or "unknown",
        image=image, image_sha256=image,
    )  # fmt: skip


def drafted(rows: Iterable[dict[str, Any]], known: Known, author: str, at: str, adjudicate: bool = False) -> Draft:
    """A contribution of the rows; DataError names the row that cannot be one."""
    drafter = _Drafter(known, adjudicate)
    for number, row in enumerate(rows, start=1):
        try:
            drafter.take(row)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            raise DataError(
                f"row {number} ({row.get('solution_id')}) cannot be contributed: {key}: {first['msg']}"
            ) from None
    contribution = Contribution(author, contribution_id(drafter.lines), at, tuple(drafter.lines))
    images: dict[str, bytes] = {}
    placed: list[AnyLine] = []
    for line in drafter.lines:
        if isinstance(line, QuestionLine) and line.image is not None:
            data = drafter.images[line.image]
            path = contribution.image_path(data)
            images[path] = data
            line = line.model_copy(update={"image": path})
        placed.append(line)
    return Draft(Contribution(author, contribution.id, at, tuple(placed)), images, drafter.changes)


def contribute(
    file: Path,
    repo: HubRepo,
    *,
    dry_run: bool = False,
    adjudicate: bool = False,
    note: str = "",
    format: str | None = None,
    tell: Callable[[Draft], Any] | None = None,
) -> tuple[Draft, Commit | None]:
    """Reads, compares, checks, shows (`tell`) and opens the pull request.

    Raises:
        PublishError: a check fails, or there is nothing new, and it is no dry run.
        HubError: no token, or the Hub refused.
    """
    author = repo.whoami()
    if author is None:
        raise HubError("a contribution has an author: hf auth login, or set HF_TOKEN", "login")
    known = Known.of(repo)
    problems: list[Problem] = []
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    draft = drafted(formats.read(file, format, problems=problems), known, author, at, adjudicate)
    draft.problems = problems
    if not draft.empty:
        draft.findings = check_contribution(draft.contribution, draft.images, known)
    if tell:
        tell(draft)
    if dry_run:
        return draft, None
    if draft.empty:
        raise PublishError(f"{file} says nothing that {repo.name} does not hold already: nothing is sent")
    stopping = refusing(draft.findings)
    if stopping:
        lines = "\n".join(f"  {one.line()}" for one in stopping)
        raise PublishError(f"{file} is not sent, {len(stopping)} findings forbid it:\n{lines}")
    title = f"Contribution of {author}: {_title(draft)}"
    return draft, repo.commit(draft.files(), title, description=description(draft, note), pull_request=True)


def _title(draft: Draft) -> str:
    kinds = Counter(line.kind for line in draft.contribution.lines)
    return ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items())


def description(draft: Draft, note: str = "") -> str:
    """Opening words of the pull request: what changes, and the check's report."""
    said = [f"- {draft.changes[name]:,} {words}" for name, words in _WORDS.items() if draft.changes[name]]
    report = [f"- {one.severity} · {one.check} · {one.message}" for one in draft.findings] or [
        "- every check has passed"
    ]
    own = [note, ""] if note else []
    return "\n".join(
        [*own, "**What it changes**", *said, "", "**Checks** (`medprm contribute`)", *report, "",
         "I may pass this on under the licences that its rows name, and nothing in it identifies a patient."]
    )  # fmt: skip
