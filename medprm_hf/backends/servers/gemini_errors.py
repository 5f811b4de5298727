"""What Gemini's errors mean: the same table as in `http_errors.py`, with what only Google says.

error                                             what happens
400 with reason API_KEY_INVALID                   AuthError, as 401 and 403
400 FAILED_PRECONDITION (country, billing)        AuthError: nothing would work until the account is mended
429 with a quota per day                          BudgetError: it will not pass within the hour
429 with RetryInfo                                tried again after as long as it says
400 for too many tokens, an unreadable image      this request fails: context, image
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from medprm_hf.backends.servers.http_errors import Refusal, error_of, scrub
from medprm_hf.backends.servers.limits import span
from medprm_hf.errors import AuthError, BudgetError

_CONTEXT = re.compile(r"exceeds the maximum number of tokens|input token count", re.IGNORECASE)
_IMAGE = re.compile(
    r"(unable to process|process(ing)?|provided|unsupported).{0,20}image|image is not valid", re.IGNORECASE
)


def gemini_error(status: int, body: Any, headers: Mapping[str, str], where: str, key_name: str) -> Exception:
    """The exception that an error response stands for.

    Args:
        body: the parsed JSON: `{"error": {"code", "message", "status", "details"}}`, or a list of one such.
    """
    inner = _inner(body)
    said = scrub(f"HTTP {status} from {where}: {str(inner.get('message') or body)[:300]}")
    reasons = {str(detail.get("reason")) for detail in _details(inner)}
    state = str(inner.get("status") or "")
    if reasons & {"API_KEY_INVALID", "API_KEY_EXPIRED"} or (status == 400 and "API key" in said):
        return AuthError(f"{said}; is the key in {key_name} right?", f"http_{status}")
    if status == 400 and state == "FAILED_PRECONDITION":
        return AuthError(f"{said}; mend the account (billing, country), then go on", "failed_precondition")
    if status == 429 and any("PerDay" in quota for quota in _quotas(inner)):
        return BudgetError(f"{said}; the day's quota is spent", "insufficient_quota")
    if status == 400 and _CONTEXT.search(said):
        return Refusal("context", said, status)
    if status == 400 and _IMAGE.search(said):
        return Refusal("image", said, status)
    asked = _wait(inner)
    hints = headers if asked is None else {"Retry-After": str(asked)}
    text = json.dumps({"error": {"message": str(inner.get("message") or body), "code": state}})
    return error_of(status, text, hints, where, key_name)


def _inner(body: Any) -> Mapping[str, Any]:
    if isinstance(body, list):
        body = body[0] if body else {}
    if not isinstance(body, Mapping):
        return {"message": str(body)}
    inner = body.get("error", body)
    return inner if isinstance(inner, Mapping) else {"message": str(inner)}


def _details(inner: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (detail for detail in inner.get("details") or () if isinstance(detail, Mapping))


def _quotas(inner: Mapping[str, Any]) -> Iterator[str]:
    """Names of the quotas that are spent."""
    for detail in _details(inner):
        yield from (str(each.get("quotaId")) for each in detail.get("violations") or () if isinstance(each, Mapping))


def _wait(inner: Mapping[str, Any]) -> float | None:
    """Seconds that a google.rpc.RetryInfo asks for."""
    waits = [span(str(detail["retryDelay"])) for detail in _details(inner) if "retryDelay" in detail]
    return next((seconds for seconds in waits if seconds is not None), None)
