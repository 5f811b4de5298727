"""Which HTTP errors are tried again, which end one request, and which end the run: one table.

status or event                      what happens
408 409 425 429 5xx, timeout,        tried again: exponential back-off with jitter, Retry-After obeyed
broken connection, broken JSON,
no choices
400 413 422 and other 4xx            this request fails (kinds: content_filter, context, http_400, …)
401 403, quota spent (429)           AuthError, BudgetError: nothing would work, the run stops
404                                  NotFound: no such model or path; the backend says which there are (ConfigError)
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from medprm_hf.backends.protocol import Completion, Failure
from medprm_hf.errors import AuthError, BudgetError

RETRIED = frozenset({408, 409, 425, 429})
UNREACHED = frozenset({"connection", "timeout"})
"""Kinds of failure that say that a server may not be there."""
LONGEST_WAIT = 60.0
"""Seconds between two attempts at most, unless the server asks for more."""
LONGEST_OBEYED = 600.0
"""Seconds that a Retry-After is obeyed at most."""

_POLICY = re.compile(r"content[_ ](policy|filter)|safety system", re.IGNORECASE)
_CONTEXT = re.compile(r"context[_ ]length|maximum (context|model) length|max_model_len|too long", re.IGNORECASE)
_KEY_LIKE = re.compile(r"\b(sk|key|Bearer)[-_ ][\w*.-]{6,}|\bAIza[\w-]{20,}")

_SECRET = ("_KEY", "_TOKEN")
"""How the names of environment variables end whose values are never shown."""
_SHORTEST = 8
"""Characters; what is shorter is no key, and may stand in any text."""


@dataclass
class Retryable(Exception):
    """A failure that may pass: its kind, what was said, and how long the server asks to wait."""

    kind: str
    message: str
    wait: float | None = None
    pause: bool = True
    """Whether to wait at all: not where another endpoint is at hand."""

    def failure(self, attempts: int) -> Failure:
        """What stands in the places once the attempts are used up."""
        return Failure(self.kind, self.message, attempts)


@dataclass
class Refusal(Exception):
    """A request that will fail however often it is sent."""

    kind: str
    message: str
    status: int = 400


@dataclass
class NotFound(Exception):
    """No such model or path."""

    message: str


def error_of(status: int, body: str, headers: Mapping[str, str], where: str, key_name: str) -> Exception:
    """The exception that an HTTP error stands for; `where` is the server, `key_name` the key's variable."""
    code, message = _read(body)
    said = f"HTTP {status} from {where}: {message}"
    if status in (401, 403):
        return AuthError(f"{said}; is the key in {key_name} right, and allowed to use this model?", f"http_{status}")
    if status == 404:
        return NotFound(said)
    if status == 429 and code == "insufficient_quota":
        return BudgetError(f"{said}; the account's quota is spent", "insufficient_quota")
    if status in RETRIED or status >= 500:
        return Retryable(f"http_{status}", said, retry_after(headers))
    if _POLICY.search(code) or _POLICY.search(message):
        return Refusal("content_filter", said, status)
    if _CONTEXT.search(code) or _CONTEXT.search(message):
        return Refusal("context", said, status)
    return Refusal(f"http_{status}", said, status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait (a number or an HTTP date); None where it says nothing."""
    said = headers.get("Retry-After")
    if said is None:
        return None
    try:
        return min(max(float(said), 0.0), LONGEST_OBEYED)
    except ValueError:
        pass
    try:
        return min(max(parsedate_to_datetime(said).timestamp() - time.time(), 0.0), LONGEST_OBEYED)
    except (ValueError, TypeError):
        return None


def pause(attempt: int, asked: float | None, first: float) -> float:
    """Seconds to wait after failed attempt 1, 2, …: the server's wish, else doubling from `first` with jitter."""
    if asked is not None:
        return asked + random.uniform(0, 0.1 * first)
    return min(first * 2.0 ** (attempt - 1), LONGEST_WAIT) * random.uniform(0.5, 1.0)


def scrub(text: str, key: str = "") -> str:
    """The text without the key, and without anything that looks like one."""
    for secret in {key, *(value for name, value in os.environ.items() if name.endswith(_SECRET))}:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, "[key]")
    return _KEY_LIKE.sub("[key]", text)


def clean(answer: Completion | Failure) -> Completion | Failure:
    """A failure without keys in its message: a server may repeat what it was sent; an answer as it is."""
    return answer if isinstance(answer, Completion) else replace(answer, message=scrub(answer.message))


def _read(body: str) -> tuple[str, str]:
    """Code and message of an error body; many servers nest them in `error`."""
    try:
        found: Any = json.loads(body)
    except json.JSONDecodeError:
        return "", scrub(body[:300])
    inner = found.get("error", found) if isinstance(found, dict) else found
    if not isinstance(inner, dict):
        return "", scrub(str(inner)[:300])
    said = inner.get("message") or inner.get("detail") or body
    return str(inner.get("code") or inner.get("type") or ""), scrub(str(said)[:300])
