"""Writes a question for each image that has none: structured output, repaired by its own validator's message.

Each round asks all images at once that still lack a question; an answer that cannot be used goes back with what is
wrong with it, `write.retries` times. What still cannot be used leaves the row without a question, and its errors say
why, so that the stage drops it with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from medprm_hf.backends import open_backend
from medprm_hf.backends.protocol import Message, Request, Sampling
from medprm_hf.errors import ImageError, ParseError
from medprm_hf.specs import WriteSpec
from medprm_hf.stages.asking import answers_in, ask, image_of
from medprm_hf.stages.base import Row, RowErrors
from medprm_hf.stages.question_checks import image_reason
from medprm_hf.text.question_writing import WRITTEN_SCHEMA, Written, read_written, repair_prompt, write_prompt


@dataclass
class _Open:
    row: Row
    messages: tuple[Message, ...]
    errors: RowErrors = field(default_factory=lambda: RowErrors("questions"))
    tries: int = 0
    problem: str = "no answer came"


def lacks_question(row: Row) -> bool:
    """Whether a question can be written: an image that can be shown, and no text."""
    return not (row["question"] or "").strip() and row["image"] is not None and image_reason(row) is None


def write_questions(spec: WriteSpec, rows: Sequence[Row]) -> list[Row]:
    """The rows, those that lacked a question with one (`written` true in them), or with `write_problem`."""
    backend = open_backend(str(spec.backend))
    out = list(rows)
    asked: dict[int, _Open] = {}
    for index, row in enumerate(rows):
        if lacks_question(row):
            try:
                images = image_of(row)
            except ImageError:
                continue  # dropped by the stage with this very reason
            asked[index] = _Open(row, (Message("user", write_prompt(spec.prompt, row.get("modality")), images),))
    left = dict(asked)
    for attempt in range(spec.retries + 1):
        if not left:
            break
        requests = [_request(spec, one, attempt) for one in left.values()]
        for (index, one), reply in zip(list(left.items()), ask(backend, requests), strict=True):
            one.tries = attempt + 1
            for completion in answers_in(reply, one.errors):
                try:
                    out[index] = _filled(one, read_written(completion.text), backend.model, spec)
                    del left[index]
                except ParseError as error:
                    one.problem = str(error)
                    turns = (Message("assistant", completion.text[:4000]), Message("user", repair_prompt(str(error))))
                    one.messages = (*one.messages[:1], *turns)
    for index, one in left.items():
        one.errors.add("unwritten", f"no usable question in {one.tries} answers; the last: {one.problem}")
        out[index] = {**one.row, "write_problem": one.problem, "write_errors": one.errors.entries}
    return out


def _request(spec: WriteSpec, one: _Open, attempt: int) -> Request:
    return Request(
        one.messages,
        sampling=Sampling(spec.temperature, max_tokens=spec.max_tokens, seed=spec.seed),
        key=f"{one.row['question_id']}/write/{attempt}",
        about={"question_id": one.row["question_id"]},
        schema=WRITTEN_SCHEMA,
    )


def _filled(one: _Open, written: Written, model: str, spec: WriteSpec) -> Row:
    return {
        **one.row,
        "question": written.question,
        "clinical_context": written.clinical_context,
        "options": list(written.options),
        "answer": written.options[written.answer_index],
        "answer_index": written.answer_index,
        "difficulty": written.difficulty,
        "question_writer": {
            "model": model, "prompt": spec.prompt, "tries": one.tries, "explanation": written.explanation,
        },
        "write_errors": one.errors.entries,
    }  # fmt: skip
