"""The file of a contribution: append-only rows in `contributions/<author>/<id>.jsonl`, its images beside it.

    {"kind": "contribution", "version": 1, "schema": 2, "id": "9f…", "author": "alice", "at": "2026-01-02T03:04:05Z"}
    {"kind": "label", "solution_id": "q1-s0", "step": 2, "text_sha": "3b…", "label": "-", "note": "No such nodule."}
    {"kind": "solution", "question_id": "q1", "solution_id": "q1-c9f…", "steps": ["…"], "labels": ["+"], …}
    {"kind": "question", "question_id": "n1", "image": "contributions/alice/9f…/3f1c….png", "license": "CC0-1.0", …}

A label names the text it is about by its hash, so that it never lands on another step. `id` is the hash of the rows:
the same contribution has the same name. Everything is read strictly: an unknown key is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from medprm_hf.errors import FormatError
from medprm_hf.ids import bytes_hash, content_hash
from medprm_hf.schema import SCHEMA_VERSION

VERSION = 1
FOLDER = "contributions"
PLACE = re.compile(r"contributions/(?P<author>[A-Za-z0-9][\w.-]{0,95})/(?P<id>[0-9a-f]{16})"
                   r"(?:\.jsonl|/(?P<image>[0-9a-f]{16})\.(?:png|jpg))")  # fmt: skip
"""Paths that a contribution may have."""
MAX_BYTES = 32 << 20
"""Of one JSONL file."""
MAX_LINE = 1 << 20
MAX_LINES = 100_000

Name = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]+$")]
Text = Annotated[str, Field(max_length=20_000)]
Said = Annotated[str, Field(max_length=2_000)]
Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
LabelWord = Literal["+", "-", "0", "?"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Header(_Line):
    """First line of a contribution."""

    kind: Literal["contribution"] = "contribution"
    version: Annotated[int, Field(ge=1, le=VERSION)] = VERSION
    schema_version: Annotated[int, Field(alias="schema", ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    id: Sha
    author: Name
    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class LabelLine(_Line):
    """Somebody's label of a step that is there already; an adjudication settles a disagreement."""

    kind: Literal["label", "adjudication"] = "label"
    solution_id: Name
    step: Annotated[int, Field(ge=0, le=999)]
    text_sha: Sha
    label: Literal["+", "-", "0"]
    error_type: Said | None = None
    severity: Said | None = None
    note: Said | None = None


class SolutionLine(_Line):
    """A new solution of a question, known or new."""

    kind: Literal["solution"] = "solution"
    question_id: Name
    solution_id: Name
    model: Said | None = None
    """Who wrote it."""
    solution: Text | None = None
    final_answer: Said | None = None
    is_correct: bool | None = None
    steps: Annotated[list[Text], Field(min_length=1, max_length=100)]
    step_titles: Annotated[list[Said], Field(max_length=100)] | None = None
    labels: Annotated[list[LabelWord], Field(max_length=100)]
    label_p: list[Share | None] | None = None
    expected_accuracy: list[Share | None] | None = None
    rollout_correct: list[int | None] | None = None
    rollout_total: list[int | None] | None = None


class QuestionLine(_Line):
    """A new question."""

    kind: Literal["question"] = "question"
    question_id: Name
    question: Text
    options: Annotated[list[Said], Field(max_length=26)] = []
    answer: Said | None = None
    answer_index: Annotated[int, Field(ge=0, le=25)] | None = None
    modality: Name | None = None
    difficulty: Literal["easy", "medium", "hard"] | None = None
    clinical_context: Text | None = None
    group: Name | None = None
    source: Name
    license: Name
    image: Said | None = None
    """Path of its image in the repo."""
    image_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


Line = Annotated[LabelLine | SolutionLine | QuestionLine, Field(discriminator="kind")]
_LINE: TypeAdapter[LabelLine | SolutionLine | QuestionLine] = TypeAdapter(Line)
_PER_STEP = ("step_titles", "labels", "label_p", "expected_accuracy", "rollout_correct", "rollout_total")


@dataclass(frozen=True)
class Contribution:
    """One contribution, read."""

    author: str
    id: str
    at: str
    lines: tuple[LabelLine | SolutionLine | QuestionLine, ...]

    @property
    def path(self) -> str:
        """Where it stands in the repo."""
        return f"{FOLDER}/{self.author}/{self.id}.jsonl"

    def image_path(self, data: bytes) -> str:
        """Where an image of it stands."""
        suffix = "jpg" if data.startswith(b"\xff\xd8") else "png"
        return f"{FOLDER}/{self.author}/{self.id}/{bytes_hash(data)[:16]}.{suffix}"

    def dumps(self) -> bytes:
        """The file."""
        header = Header(id=self.id, author=self.author, at=self.at)
        first = header.model_dump(by_alias=True)
        lines = [line.model_dump(exclude_none=True) for line in self.lines]
        return b"".join(orjson.dumps(one) + b"\n" for one in [first, *lines])


def contribution_id(lines: Iterable[LabelLine | SolutionLine | QuestionLine]) -> str:
    """Hash of the rows, 16 hex digits; the folder that images stand in does not count."""
    plain = [line.model_dump(exclude_none=True, exclude={"image"}) for line in lines]
    return content_hash(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode())


def text_sha(step: str) -> str:
    """The name of a step's text, 16 hex digits."""
    return content_hash("step", step)


def parse(data: bytes, where: str) -> Contribution:
    """Reads a contribution's file strictly; FormatError names line and reason."""
    if len(data) > MAX_BYTES:
        raise FormatError(f"{where}: {len(data)} bytes, at most {MAX_BYTES}: split it into several contributions")
    raw = data.splitlines()
    if len(raw) > MAX_LINES:
        raise FormatError(f"{where}: {len(raw)} lines, at most {MAX_LINES}: split it into several contributions")
    if not raw:
        raise FormatError(f"{where}: the file is empty")
    header = _validated(Header.model_validate, raw[0], where, 1)
    lines = tuple(_line(one, where, number) for number, one in enumerate(raw[1:], start=2))
    if not lines:
        raise FormatError(f"{where}: there is nothing below the first line")
    if contribution_id(lines) != header.id:
        raise FormatError(f"{where}: its id is not the hash of its rows: make it with `medprm contribute`")
    return Contribution(header.author, header.id, header.at, lines)


def _line(data: bytes, where: str, number: int) -> LabelLine | SolutionLine | QuestionLine:
    line: LabelLine | SolutionLine | QuestionLine = _validated(_LINE.validate_python, data, where, number)
    if isinstance(line, SolutionLine):
        for name in _PER_STEP:
            values: Sequence[Any] | None = getattr(line, name)
            if values is not None and len(values) != len(line.steps):
                raise FormatError(
                    f"{where}, line {number}: {name} has {len(values)} entries for {len(line.steps)} steps"
                )
    return line


def _validated(validate: Any, data: bytes, where: str, number: int) -> Any:
    if len(data) > MAX_LINE:
        raise FormatError(f"{where}, line {number}: {len(data)} bytes, at most {MAX_LINE}")
    try:
        return validate(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise FormatError(f"{where}, line {number}: not JSON: {error.msg}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])[:80]
        raise FormatError(f"{where}, line {number}: {key or 'row'}: {first['msg']}") from None
