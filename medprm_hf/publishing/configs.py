"""The configs of a published dataset: what each is for, its columns, and how the rows of one question become its rows.

    config     one row is      image                        for
    solutions  a solution      embedded                     training and everything else (default)
    steps      a step          by image_sha256              looking at steps, filtering, contributions
    questions  a question      embedded                     asking other models
    visualprm  a conversation  embedded                     VisualPRM's own trainer
    medprm     a question      by image_sha256 (text only)  Med-PRM's own trainer
    stepwise   a solution      embedded                     trainers of TRL's stepwise form
    benchmark  a solution      embedded                     measuring, never training

Labels are strings (+ - 0 ?), not ClassLabel: a viewer shows them as they are, and `?` is no class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medprm_hf.formats import open_format
from medprm_hf.formats.base import Refused
from medprm_hf.formats.images import image_parts
from medprm_hf.formats.writing import FileWriting
from medprm_hf.publishing.policy import is_bare
from medprm_hf.schema import COLUMNS, features

if TYPE_CHECKING:
    from datasets import Features

Row = dict[str, Any]

FIRST = ("image", "question", "options", "answer", "answer_index", "steps", "labels", "label_p", "label_state",
         "final_answer", "is_correct", "modality", "difficulty", "source", "license")  # fmt: skip
"""Columns that a viewer shows first."""
_LEFT_OUT = ("extra", "errors", "rollout_solutions", "keep", "drop_reason", "question_status", "question_reason")
"""Columns of the run that say nothing of a kept solution."""
_STATES = ("label_state", "merged_labels")
"""Per step, beyond the canonical columns: where the label comes from; the label before experts and contributors."""
STATES = {
    "merged": "rollouts and judges, merged",
    "expert": "an expert of the run",
    "contributed": "a contributor, where nothing was known",
    "disputed": "contributors and the label there was disagree: it stays until somebody adjudicates",
    "adjudicated": "an adjudicator of this dataset",
}
"""Words of `label_state`."""
PUBLISHED: tuple[str, ...] = (
    *FIRST,
    *(column.name for column in COLUMNS if column.name not in (*FIRST, *_LEFT_OUT)),
    "merged_labels",
)
"""Columns of `solutions` and `benchmark`, in order."""
_OWN = ("question_id", "solution_id", "image_sha256", "source", "license")
_QUESTION = ("image", "question", "options", "answer", "answer_index", "modality", "difficulty", "clinical_context",
             "turns", "source", "license", "question_id", "image_sha256", "group", "question_writer")  # fmt: skip
_DECISION = "{reviewer: str, label: str, error_type: str, severity: str, note: str, at: str}"


@dataclass(frozen=True)
class Config:
    """One config."""

    name: str
    text: str
    """One line for the card."""
    row: str
    """What one row is."""
    image: str
    """embedded, or referenced by image_sha256."""
    columns: Callable[[], Features]
    records: Callable[[list[Row], dict[str, str]], Iterator[Row]]
    """Rows of one question (and the perceptual hash by image) → rows of this config."""


@lru_cache(maxsize=1)
def solution_features() -> Features:
    """Columns of `solutions`, the same for every dataset; null where nothing is known."""
    from datasets import Features, List, Value

    canonical = features(tuple(name for name in PUBLISHED if name not in _STATES))
    own = {name: List(Value("string")) for name in _STATES}
    return Features({name: own.get(name) or canonical[name] for name in PUBLISHED})


def _solutions(rows: list[Row], _: dict[str, str]) -> Iterator[Row]:
    for row in rows:
        yield {name: row[name] for name in PUBLISHED}


def _question_features() -> Features:
    from datasets import Features, Value

    more = {"num_solutions": Value("int64"), "num_right": Value("int64"), "image_phash": Value("string")}
    return Features({**features(_QUESTION), **more})


def _questions(rows: list[Row], phash: dict[str, str]) -> Iterator[Row]:
    first = rows[0]
    known = [row["is_correct"] for row in rows if row["is_correct"] is not None]
    yield {
        **{name: first[name] for name in _QUESTION},
        "num_solutions": len(rows),
        "num_right": sum(known) if known else None,
        "image_phash": phash.get(first["image_sha256"] or ""),
    }


def _step_features() -> Features:
    from datasets import Features, List, Value

    def texts(*names: str) -> dict[str, Any]:
        return {name: Value("string") for name in names}

    decision = {name.split(":")[0]: Value("string") for name in _DECISION.strip("{}").split(", ")}
    return Features(
        {
            **texts("question"), "options": List(Value("string")), "prefix": List(Value("string")),
            **texts("step"), **texts("label"), "label_p": Value("float64"), **texts("label_state", "merged_label"),
            "step_index": Value("int64"), "num_steps": Value("int64"), **texts("step_title"),
            "rollout_correct": Value("int64"), "rollout_total": Value("int64"),
            "expected_accuracy": Value("float64"), **texts("judge_label", "judge_confidence", "judge_reason"),
            "needs_review": Value("bool"), "decisions": List(decision), **texts("modality", "difficulty"),
            **texts(*_OWN, "group", "image_phash"),
        }
    )  # fmt: skip


def _steps(rows: list[Row], phash: dict[str, str]) -> Iterator[Row]:
    for row in rows:
        for place, text in enumerate(row["steps"]):

            def at(name: str, row: Row = row, place: int = place) -> Any:
                return row[name][place] if row[name] else None

            yield {
                **{name: row[name] for name in (*_OWN, "question", "options", "modality", "difficulty", "group")},
                "prefix": row["steps"][:place], "step": text, "step_index": place, "num_steps": len(row["steps"]),
                "step_title": at("step_titles"), "label": at("labels"), "label_p": at("label_p"),
                "label_state": at("label_state"), "merged_label": at("merged_labels"),
                "rollout_correct": at("rollout_correct"), "rollout_total": at("rollout_total"),
                "expected_accuracy": at("expected_accuracy"), "judge_label": at("judge_labels"),
                "judge_confidence": at("judge_confidence"), "judge_reason": at("judge_reasons"),
                "needs_review": at("needs_review"), "decisions": [_decision(one) for one in at("reviews") or []],
                "image_phash": phash.get(row["image_sha256"] or ""),
            }  # fmt: skip


def _decision(one: Row) -> Row:
    return {name.split(":")[0]: one[name.split(":")[0]] for name in _DECISION.strip("{}").split(", ")}


class _TableWriting(FileWriting):
    """What a format is given when its records go into a table: images are named, not written."""

    def __init__(self, name: str) -> None:
        super().__init__(open_format(name), Path(f"{name}.parquet"), "as found")

    def image(self, row: Any) -> str | None:
        """A name; the bytes stand in the same row of the table."""
        return None if row.get("image") is None else f"{(row['image_sha256'] or '')[:16]}.png"


def encoded(name: str, rows: Sequence[Row]) -> list[Row]:
    """Records of a format; none for rows that it cannot hold, or that have no texts."""
    shown = [row for row in rows if not is_bare(row)]
    if not shown:
        return []
    try:
        return list(open_format(name).encode(shown, _TableWriting(name)))
    except Refused:
        return [] if len(shown) == 1 or name == "medprm" else [r for row in shown for r in encoded(name, [row])]


def _named(row: Row) -> Row:
    return {name: row[name] for name in _OWN}


def _picture(row: Row) -> Row | None:
    if row["image"] is None:
        return None
    return {"bytes": image_parts(row["image"])[0], "path": f"{(row['image_sha256'] or '')[:16]}.png"}


def _visualprm_features() -> Features:
    from datasets import Features, Image, List, Value

    turn = {"from": Value("string"), "value": Value("string")}
    own = {name: Value("string") for name in _OWN}
    return Features({"id": Value("int64"), "image": Image(), "conversations": List(turn), **own})


def _visualprm(rows: list[Row], _: dict[str, str]) -> Iterator[Row]:
    for row in rows:
        for record in encoded("visualprm", [row]):
            talk = record["conversations"]
            yield {"id": record["id"], "image": _picture(row), "conversations": talk, **_named(row)}


def _stepwise_features() -> Features:
    from datasets import Features, Image, List, Value

    own = {name: Value("string") for name in _OWN}
    return Features(
        {"prompt": Value("string"), "completions": List(Value("string")), "labels": List(Value("bool")),
         "images": List(Image()), **own}
    )  # fmt: skip


def _stepwise(rows: list[Row], _: dict[str, str]) -> Iterator[Row]:
    for row in rows:
        for record in encoded("stepwise", [row]):
            picture = _picture(row)
            yield {**record, "images": [picture] if picture else [], **_named(row)}


_SOLUTION_KEYS: dict[str, Any] = {
    "solution": "string", "prm_processed_solution": "string", "orm_processed_solution": "string", "answer": "string",
    "score": "int64", "prm_gemini_label": ["int64"], "prm_llama_label": ["int64"], "prm_soft_label": ["float64"],
    "prm_hard_label": ["int64"], "orm_label": "int64",
}  # fmt: skip


def _medprm_features() -> Features:
    from datasets import Features, List, Value

    inner = {k: List(Value(v[0])) if isinstance(v, list) else Value(v) for k, v in _SOLUTION_KEYS.items()}
    texts = {name: Value("string") for name in ("question_id", "data_source", "question", "correct_answer")}
    lists = {name: List(Value("string")) for name in ("options", "related_docs")}
    own = {name: Value("string") for name in ("image_sha256", "license")}
    return Features({**texts, **lists, "solutions": List(inner), **own})


def _medprm(rows: list[Row], _: dict[str, str]) -> Iterator[Row]:
    good = [row for row in rows if encoded("medprm", [row])]  # one solution with a marker in it costs not the others
    for record in encoded("medprm", good):
        solutions = [
            {key: None if one.get(key) == "None" else one.get(key) for key in _SOLUTION_KEYS}
            for one in record["solutions"]
        ]
        yield {**record, "solutions": solutions, "image_sha256": rows[0]["image_sha256"], "license": rows[0]["license"]}


_HERE, _BY_HASH = "embedded", "referenced by `image_sha256`"
CONFIGS: dict[str, Config] = {
    config.name: config
    for config in (
        Config("solutions", "the whole table, ready to train on (default)", "solution", _HERE, solution_features,
               _solutions),
        Config("steps", "every step with its label, signals and decisions", "step", _BY_HASH, _step_features, _steps),
        Config("questions", "the questions alone", "question", _HERE, _question_features, _questions),
        Config("visualprm", "VisualPRM conversations", "conversation", _HERE, _visualprm_features, _visualprm),
        Config("medprm", "Med-PRM training records (text only)", "question", _BY_HASH, _medprm_features, _medprm),
        Config("stepwise", "TRL stepwise supervision", "solution", _HERE, _stepwise_features, _stepwise),
        Config("benchmark", "every step labelled by experts; never in training", "solution", _HERE,
               solution_features, _solutions),
    )
}  # fmt: skip
"""Every config by name, the default first."""
