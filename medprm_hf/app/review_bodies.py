"""What the review page may send: one model a request, with the limits of the store; read with a limit on its bytes.

POST /review/api/save {"key": "…", "item_id": "q1-s0", "version": 1, "step": 2, "label": "-"}   ->  SaveBody
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medprm_hf.app.routing import Refusal

if TYPE_CHECKING:
    from fastapi import Request

MOST_BYTES = 65_536
"""Bytes of a request's body."""
Key = Annotated[str, Field(min_length=8, max_length=100)]
Name = Annotated[str, Field(min_length=1, max_length=300)]
Note = Annotated[str, Field(max_length=4000)]
Share = Annotated[float, Field(ge=0, le=1)]


class Body(BaseModel):
    """Base: unknown fields are refused, numbers must be numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LoginBody(Body):
    """A typed name."""

    name: str


class NextBody(Body):
    """What to look at next."""

    item: Name | None = None
    skip: bool = False
    specialty: Annotated[str, Field(max_length=100)] | None = None


class ItemBody(Body):
    """An item: to finish, release or hold on to."""

    item_id: Name


class SaveBody(Body):
    """One label."""

    key: Key
    item_id: Name
    version: int
    step: int
    label: Literal["+", "-", "0", "?"]
    error_type: Annotated[str, Field(max_length=100)] | None = None
    severity: Annotated[str, Field(max_length=40)] | None = None
    note: Note | None = None
    box: Annotated[list[Share], Field(min_length=4, max_length=4)] | None = None
    seconds: Annotated[float, Field(ge=0, le=86_400)] | None = None


class UndoBody(Body):
    """A label taken back."""

    key: Key
    item_id: Name
    step: int


class QuestionBody(Body):
    """A verdict on the question."""

    key: Key
    item_id: Name
    verdict: Literal["keep", "correct", "reject"]
    answer: Note | None = None
    difficulty: Literal["easy", "medium", "hard"] | None = None
    feedback: Note | None = None
    question: Note | None = None


class AdjudicateBody(Body):
    """The word that counts."""

    key: Key
    item_id: Name
    step: int
    label: Literal["+", "-", "0"]
    note: Note | None = None


class RejectBody(Body):
    """A batch that goes back whole."""

    key: Key
    batch: Annotated[str, Field(max_length=300)] | None = None
    reason: Annotated[str, Field(min_length=1, max_length=4000)]


B = TypeVar("B", bound=Body)


async def read_body(request: Request, kind: type[B]) -> B:
    """The body as that model. Refusal 413 over the limit, 400 where it is no JSON object, 422 for wrong values."""
    if "json" not in request.headers.get("content-type", ""):
        raise Refusal(400, "request", "send JSON with content-type: application/json")  # no other site's form can
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise Refusal(413, "too_large", f"the body is over the limit of {MOST_BYTES} bytes: shorten the texts")
        parts.append(part)
    try:
        return kind.model_validate_json(b"".join(parts) or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        status = 400 if first["type"] == "json_invalid" else 422
        raise Refusal(status, "request", f"{where}: {first['msg']}" if where else first["msg"]) from None
