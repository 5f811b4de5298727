"""Medical Best-of-N suites by name: files of solutions in the columns that each dataset publishes.

    loaded = load_suite("medqa.solutions.jsonl", "medqa")

    {"question": "…", "options": {"A": "…", …}, "answer_idx": "B", "solutions": ["Step 1: … Answer: B", …]}

`SUITES` names the columns. `solutions` is a list of texts, or of objects with `solution` (or `text`) and, where there
are scores already, `step_scores`; texts are cut into steps and their answers read as everywhere else. Files in a format
that `convert` reads (Med-PRM's JSON, our own table) are taken as they are. What does not fit the suite (another number
of options, no answer) is a problem, and the row is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.evaluation.scores import Loaded, load
from medprm_hf.formats import Problem
from medprm_hf.formats.images import load_image
from medprm_hf.formats.records import scan
from medprm_hf.ids import bytes_hash, content_hash
from medprm_hf.registry import near
from medprm_hf.text.answers import letter_index, matches, normalise, read_answer
from medprm_hf.text.steps import split_steps


@dataclass(frozen=True)
class Suite:
    """One dataset's columns."""

    text: str
    question: str = "question"
    """Column of the question."""
    context: str | None = None
    """Column of what is known beforehand (an abstract, a case)."""
    options: str | tuple[str, ...] | None = "options"
    """Column of the options (a list, or an object by letter), one column each, or none: an open question."""
    answer: str = "answer"
    """Column of the answer: a letter, an option's text, its number from 0, or free text."""
    count: int | None = None
    """How many options there must be."""
    fixed: tuple[str, ...] = ()
    """Options that are always the same."""
    image: str | None = None
    """Column of the image's path."""


SUITES: dict[str, Suite] = {
    "medqa": Suite("MedQA, four options", answer="answer_idx", count=4),
    "medqa5": Suite("MedQA, five options", answer="answer_idx", count=5),
    "medmcqa": Suite("MedMCQA", options=("opa", "opb", "opc", "opd"), answer="cop", count=4),
    "pubmedqa": Suite(
        "PubMedQA", context="context", options=None, answer="final_decision", fixed=("yes", "no", "maybe")
    ),
    "mmlu-med": Suite("MMLU, medical subjects", options="choices", count=4),
    "ddxplus": Suite("DDXPlus", answer="PATHOLOGY"),
    "agentclinic": Suite("AgentClinic", answer="Correct_Diagnosis", options=None),
    "vqa-rad": Suite("VQA-RAD", options=None, image="image"),
    "slake": Suite("SLAKE", options=None, image="img_name"),
    "pathvqa": Suite("PathVQA", options=None, image="image"),
    "own": Suite("your own: question, options, answer, image, solutions", image="image"),
}
"""By name. DDXPlus takes `options` too where they are given."""


def suite_named(name: str) -> Suite:
    """The suite; ConfigError with near names for an unknown one."""
    if name not in SUITES:
        raise ConfigError(f"unknown suite {name!r}{near(name, SUITES)}")
    return SUITES[name]


def load_suite(path: Path, name: str, limit: int | None = None) -> Loaded:
    """Solutions of a suite's file; raises DataError where none can be used."""
    suite = suite_named(name)
    if not path.exists():
        raise ConfigError(f"there is no {path}: name the suite's file of solutions with --data")
    if path.is_dir() or not _plain(path):
        return _fitting(load(path, None, limit), suite, name)
    found = Loaded([], format=f"suite {name}")
    for number, item in enumerate(scan(path), start=1):
        if isinstance(item, Problem):
            found.problems.append(item)
            continue
        try:
            found.rows += _rows(item.record, suite, name, number, path.parent)
        except _BAD as error:
            found.problems.append(_problem(error, item.line))
        if limit is not None and len(found.rows) >= limit:
            del found.rows[limit:]
            break
    if not found.rows:
        first = f" (first: {found.problems[0]})" if found.problems else ""
        raise DataError(f"{path} holds no solution that fits the suite {name}{first}")
    return found


_BAD = (KeyError, TypeError, ValueError, AttributeError, IndexError, DataError)


def _problem(error: Exception, line: int | None) -> Problem:
    if isinstance(error, KeyError):
        return Problem(line, str(error.args[0]), "missing_key", f"{error} is missing", "")
    return Problem(line, None, "unfit", str(error), "")


def _plain(path: Path) -> bool:
    """Whether the file holds plain solutions under a question: texts, or objects without labels."""
    for item in scan(path):
        if not isinstance(item, Problem):
            solutions = item.record.get("solutions") if isinstance(item.record, dict) else None
            if not isinstance(solutions, list):
                return False
            own = {"solution", "text", "step_scores", "is_correct"}
            return not solutions or isinstance(solutions[0], str) or own >= set(solutions[0])
    return False


def _fitting(loaded: Loaded, suite: Suite, name: str) -> Loaded:
    """Rows of another format that fit the suite."""
    kept = []
    for row in loaded.rows:
        options = row.get("options") or []
        if suite.count is not None and len(options) != suite.count:
            message = f"{row.get('question_id')}: {len(options)} options where {name} has {suite.count}"
            loaded.problems.append(Problem(None, "options", "unfit", message, ""))
        else:
            kept.append({**row, "source": row.get("source") or name})
    if not kept:
        raise DataError(f"no row fits the suite {name} (first: {loaded.problems[0]})")
    loaded.rows = kept
    return loaded


def _rows(record: Mapping[str, Any], suite: Suite, name: str, number: int, root: Path) -> list[dict[str, Any]]:
    options = _options(record, suite)
    if suite.count is not None and len(options) != suite.count:
        raise DataError(f"{len(options)} options where {name} has {suite.count}")
    answer, index = _answer(record[suite.answer], options)
    asked = str(record[suite.question])
    own = record.get("question_id") or record.get("id") or f"{name}-{content_hash(asked, *options, str(number))}"
    image = _image(record.get(suite.image), root) if suite.image else None
    question = {
        "question_id": str(own),
        "question": asked,
        "clinical_context": _text(record.get(suite.context)) if suite.context else record.get("clinical_context"),
        "options": options,
        "answer": answer,
        "answer_index": index,
        "image": image,
        "image_sha256": bytes_hash(image["bytes"]) if image else None,
        "source": name,
        "modality": record.get("modality"),
        "difficulty": record.get("difficulty"),
        "evidence": None,
    }
    return [_solution(question, said, place) for place, said in enumerate(record["solutions"])]


def _solution(question: dict[str, Any], said: Any, place: int) -> dict[str, Any]:
    text = said if isinstance(said, str) else str(said.get("solution") or said["text"])
    steps = split_steps(text)
    options = question["options"]
    read = read_answer(text, options)
    row = {
        **question,
        "solution_id": f"{question['question_id']}/{place}",
        "solution_index": place,
        "solution": text,
        "steps": [step.text for step in steps] or [text],
        "final_answer": read,
        "is_correct": matches(read, options, question["answer"], question["answer_index"]),
        "labels": None,
    }
    if isinstance(said, Mapping) and said.get("step_scores") is not None:
        row["step_scores"] = said["step_scores"]
    return row


def _options(record: Mapping[str, Any], suite: Suite) -> list[str]:
    if suite.fixed:
        return list(suite.fixed)
    if isinstance(suite.options, tuple):
        return [str(record[name]) for name in suite.options]
    column = suite.options or "options"
    given = record[column] if suite.count else record.get(column) or []
    values: Sequence[Any] = [given[key] for key in sorted(given)] if isinstance(given, Mapping) else given
    return [str(value) for value in values]


def _answer(given: Any, options: Sequence[str]) -> tuple[str, int | None]:
    """(text of the answer, its place among the options); raises DataError for one that is none of them."""
    if given is None or given == "":
        raise DataError("no answer: nothing can be told right or wrong")
    if not options:
        return str(given), None
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise DataError(f"the answer {given!r} is neither a letter, a text nor a number")
    if isinstance(given, int):
        place: int | None = given
    else:
        plain = [normalise(option) for option in options]
        place = plain.index(normalise(given)) if normalise(given) in plain else letter_index(given.strip())
    if place is None or not 0 <= place < len(options):
        raise DataError(f"the answer {given!r} is none of the {len(options)} options")
    return options[place], place


def _image(path: Any, root: Path) -> dict[str, Any] | None:
    return {"bytes": load_image(str(path), root), "path": str(path)} if path else None


def _text(value: Any) -> str | None:
    if isinstance(value, Mapping):  # PubMedQA keeps its abstract as {"contexts": [...]}
        value = value.get("contexts")
    return "\n".join(map(str, value)) if isinstance(value, list) else None if value is None else str(value)
