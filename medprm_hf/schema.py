"""The canonical table: every column, its type, who writes it and what it means.

This is the one place that names and describes a column; features, cards, docs and help read it from here.
A row only gains columns, and each column is written by exactly one stage. Before `generate` one row is one
question; from `generate` on one row is one solution. Lists marked per step line up by step: shape [num_steps].

    step column      step 1    step 2
    steps            "Look."   "Answer: B"
    rollout_correct  14        16
    rollout_total    16        16
    labels           "+"       "+"
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

SCHEMA_VERSION = 2
"""Of the table below. Files carry it (`arrow_schema`), so that a reader can tell an older table from a newer one."""
SCHEMA_KEY = b"medprm_hf.schema_version"
"""Where it stands in the metadata of a Parquet file."""


class Label(StrEnum):
    """One step's label; the same four strings everywhere."""

    RIGHT = "+"
    """The step is right."""
    WRONG = "-"
    """The step is wrong."""
    NEUTRAL = "0"
    """No reasoning: it adds nothing."""
    UNKNOWN = "?"
    """Not sampled, failed or unparsed; the reason stands in `label_method` or the error column."""


@dataclass(frozen=True)
class Column:
    """One column of the canonical table."""

    name: str
    """Its name in every file."""
    kind: str
    """Type: str, int, float, bool, image, list[…] or a struct {name: type}."""
    stage: str
    """The one stage that writes it."""
    text: str
    """What it means, with unit."""
    per_step: bool = False
    """Whether it is a list with one entry a step."""


def _columns(stage: str, *rows: tuple[str, str, str], per_step: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, kind, stage, text, per_step) for name, kind, text in rows)


_TURN = "{role: str, text: str}"
_GENERATOR = "{model: str, prompt: str, temperature: float, top_p: float, max_tokens: int, seed: int, origin: str}"
_WRITER = "{model: str, prompt: str, tries: int, explanation: str}"
_METHOD = (
    "{estimator: str, completer: str, continuation: str, temperature: float, k: int, seed: int, rounds: int, "
    "options: str, chance: str, empty_correct: int, empty_total: int, learnt: str}"
)
_CHECKS = "{follows: str, medical: str, image: str}"
_CITED = "{id: str, quote: str, status: str}"
_VOTES = "{right: int, wrong: int, neutral: int, unread: int, share: float}"
_JUDGE = "{model: str, gold_shown: bool, mode: str, per: str, prompt: str, voters: list[str], repaired: int}"
_REVIEW = "{reviewer: str, label: str, error_type: str, severity: str, note: str, blind: bool, seconds: float, at: str}"

COLUMNS: tuple[Column, ...] = (
    *_columns(
        "sources",
        ("question_id", "str", "Unique name of the question."),
        ("image", "image", "The image, or null for a text-only question."),
        ("image_sha256", "str", "SHA-256 of the image's bytes as they are kept; null without an image."),
        ("image_notes", "list[str]", "What was decided when it was taken in: window, slice, metadata; or its refusal."),
        ("question", "str", "The question; for a consultation its last turn."),
        ("turns", f"list[{_TURN}]", "Turns of a consultation; null for a plain question."),
        ("options", "list[str]", "Answer options in order; empty for an open question."),
        ("answer", "str", "Gold answer: the option's text, or free text; null if unknown."),
        ("answer_index", "int", "Index of the gold option from 0; null for an open question."),
        ("modality", "str", "What made the image: chest_xray, ct_scan, pathology, phantom_axial, …"),
        ("difficulty", "str", "easy, medium or hard; null if unknown."),
        ("clinical_context", "str", "What is known of the patient; no identifiers."),
        ("group", "str", "Patient or study: a group never stands in two splits."),
        ("source", "str", "Where the question comes from."),
        ("license", "str", "Licence of the source."),
    ),
    *_columns(
        "questions",
        ("question_status", "str", "kept, dropped, written or needs_review."),
        ("question_reason", "str", "Why it was dropped or needs review; null if kept."),
        ("split", "str", "train, development or test."),
        ("question_writer", _WRITER, "Model that wrote the question, its tries and explanation; null for a source's."),
    ),
    *_columns(
        "generate",
        ("solution_id", "str", "Unique name of the solution."),
        ("solution_index", "int", "Which of the question's solutions, from 0."),
        ("solution", "str", "The solution as the model wrote it."),
        ("final_answer", "str", "The answer it gives (option letter or text); null if it cannot be read."),
        ("is_correct", "bool", "Whether that answer is the gold one; null if either is unknown."),
        ("generator", _GENERATOR, "Model and sampling; origin: model, or rollout:SOLUTION:STEPS it continued."),
    ),
    *_columns(
        "generate",
        ("step_titles", "list[str]", "Title of each step; empty string where it has none."),
        ("steps", "list[str]", "Text of each step."),
        per_step=True,
    ),
    *_columns(
        "rollout",
        ("rollout_correct", "list[int]", "Rollouts from this prefix whose answer is right."),
        ("rollout_total", "list[int]", "Rollouts from this prefix whose answer can be read."),
        ("rollout_unreadable", "list[int]", "Rollouts whose answer cannot be read; not in total."),
        ("rollout_failed", "list[int]", "Rollouts whose request failed; not in total."),
        ("expected_accuracy", "list[float]", "mc, 0..1: correct / total; null where nothing was read."),
        ("accuracy_low", "list[float]", "Lower end of its 95 % interval."),
        ("accuracy_high", "list[float]", "Upper end of its 95 % interval."),
        ("p_right", "list[float]", "P(the step is right) as the estimator sees it; null if it gives none."),
        per_step=True,
    ),
    *_columns(
        "rollout",
        ("chance", "float", "Baseline, 0..1: guessing (null for an open question), or rollouts of no prefix."),
        ("rollout_solutions", "list[{text: str, steps: int}]", "Rollouts kept as new solutions; first steps reused."),
        ("rollout_method", _METHOD, "Estimator and what it learnt (JSON), completer, sampling, baseline's counts."),
    ),
    *_columns(
        "retrieve",
        (
            "evidence",
            "list[{id: str, text: str, source: str, license: str, score: float}]",
            "Passages shown.",
        ),
        (
            "similar_cases",
            "list[{question_id: str, diagnosis: str, similarity: float}]",
            "Similar cases shown.",
        ),
    ),
    *_columns(
        "judge",
        ("judge_labels", "list[str]", "The judge's label: + - 0 or ? (unparsed or failed)."),
        ("judge_confidence", "list[str]", "high, medium or low; null where it gave none."),
        ("judge_p_plus", "list[float]", "P(+) of the judge, 0..1; null where the backend gives none."),
        ("judge_errors", "list[str]", "Kind of error it names; null for none."),
        ("judge_reasons", "list[str]", "Its reason."),
        ("judge_citations", "list[list[str]]", "Ids of given passages it relied on, with no quote that is not there."),
        ("judge_checks", f"list[{_CHECKS}]", "Sub-verdicts: + yes, - no, 0 does not apply, ? not answered."),
        ("judge_corrections", "list[str]", "The step as the judge would have it; null for none."),
        ("judge_citation_checks", f"list[list[{_CITED}]]", "All it cited: cited, quoted, not_in_passage, not_given."),
        ("judge_votes", f"list[{_VOTES}]", "Ballots for each label, and the label's share of all, 0..1."),
        ("judge_ballots", "list[list[str]]", "Label of each ballot, in the order of judge.voters."),
        ("judge_premises", "list[list[{claim: str, seen: str}]]", "Claims on the image: + seen, - not, ? unclear."),
        per_step=True,
    ),
    *_columns(
        "judge",
        ("judge", _JUDGE, "Which judges, how they were asked, whether they saw the gold answer."),
    ),
    *_columns(
        "calibrate",
        ("calibration_reviews", f"list[list[{_REVIEW}]]", "Decisions on the quality-control sample, drawn blindly."),
        ("calibration_labels", "list[str]", "The experts' label: + - 0, or ? outside the sample."),
        per_step=True,
    ),
    *_columns(
        "merge",
        ("labels", "list[str]", "Merged label: + - 0 or ?."),
        ("label_p", "list[float]", "P(the step is right), 0..1; null where unknown."),
        ("label_method", "list[str]", "How the label came about."),
        ("needs_review", "list[bool]", "Whether an expert should look at the step."),
        per_step=True,
    ),
    *_columns(
        "review",
        ("reviews", f"list[list[{_REVIEW}]]", "Every decision of every reviewer."),
        ("review_labels", "list[str]", "The experts' label: + - 0, or ? where nobody looked."),
        per_step=True,
    ),
    *_columns(
        "select",
        ("keep", "bool", "Whether the solution is exported."),
        ("drop_reason", "str", "Why not; null if kept."),
        ("flags", "list[str]", "What a reader should look at: contradicts_evidence."),
    ),
    *_columns(
        "any",
        ("errors", "list[{stage: str, kind: str, message: str}]", "What went wrong in this row."),
        ("extra", "str", "JSON of what an imported file held beyond these columns, by format; else null."),
    ),
)

BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}


def written_by(stage: str) -> tuple[str, ...]:
    """Names of the columns that a stage writes, in table order (`errors` belongs to all and is left out)."""
    return tuple(column.name for column in COLUMNS if column.stage == stage)


def final_labels(labels: list[str], review_labels: list[str] | None) -> list[str]:
    """The labels that count, [num_steps]: the review's where there is one, else merge's."""
    if review_labels is None:
        return list(labels)
    return [ours if theirs == Label.UNKNOWN else theirs for ours, theirs in zip(labels, review_labels, strict=True)]


def features(names: tuple[str, ...]) -> Features:
    """The `datasets.Features` of the named columns, so that a first row of nulls cannot mislead."""
    from datasets import Features

    return Features({name: _feature(BY_NAME[name].kind) for name in names})


def arrow_schema(names: tuple[str, ...]) -> pa.Schema:
    """The Arrow schema of the named columns; its metadata hold their features, as `datasets` reads them, and the
    table's version."""
    schema = features(names).arrow_schema
    return schema.with_metadata({**(schema.metadata or {}), SCHEMA_KEY: str(SCHEMA_VERSION).encode()})


def _feature(kind: str) -> Any:
    from datasets import Image, List, Value

    scalars = {"str": "string", "int": "int64", "float": "float64", "bool": "bool"}
    if kind in scalars:
        return Value(scalars[kind])
    if kind == "image":
        return Image()
    if kind.startswith("list["):
        return List(_feature(kind[5:-1]))
    return {name: _feature(inner) for name, inner in (field.split(": ", 1) for field in kind.strip("{}").split(", "))}
