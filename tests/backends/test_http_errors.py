"""The error table, row by row: what is tried again, what ends one request, and what ends the run."""

from __future__ import annotations

import json

import pytest

from medprm_hf.backends.servers.http_errors import NotFound, Refusal, Retryable, error_of
from medprm_hf.errors import AuthError, BudgetError

ROWS: list[tuple[int, str, str, type[Exception], str]] = [
    *((status, "slow down", "", Retryable, f"http_{status}") for status in (408, 409, 425, 429, 500, 502, 503, 504)),
    *((status, "odd", "", Retryable, f"http_{status}") for status in (507, 520, 529)),
    *((status, "bad request", "", Refusal, f"http_{status}") for status in (400, 405, 413, 415, 422)),
    (400, "flagged", "content_policy_violation", Refusal, "content_filter"),
    (400, "rejected by our safety system", "", Refusal, "content_filter"),
    (400, "This model's maximum context length is 10 tokens", "", Refusal, "context"),
    (400, "no", "context_length_exceeded", Refusal, "context"),
    (401, "Incorrect API key", "invalid_api_key", AuthError, "http_401"),
    (403, "not allowed", "", AuthError, "http_403"),
    (404, "no such model", "", NotFound, ""),
    (429, "You exceeded your current quota", "insufficient_quota", BudgetError, "insufficient_quota"),
]


@pytest.mark.parametrize(("status", "message", "code", "kind", "name"), ROWS)
def test_each_row(status: int, message: str, code: str, kind: type[Exception], name: str) -> None:
    body = json.dumps({"error": {"message": message, "code": code}})
    error = error_of(status, body, {"Retry-After": "2"}, "host:1", "THE_KEY")
    assert type(error) is kind
    assert getattr(error, "kind", "") == name
    said = getattr(error, "message", str(error))
    assert str(status) in said and "host:1" in said and message in said
    if isinstance(error, Retryable):
        assert error.wait == 2.0
    if isinstance(error, AuthError):
        assert "THE_KEY" in said


@pytest.mark.parametrize("body", ["", "<html>Bad gateway</html>", "[1]", '{"detail": "no"}', '{"error": "no"}', "null"])
def test_any_body_is_read(body: str) -> None:
    assert isinstance(error_of(502, body, {}, "host:1", "THE_KEY"), Retryable)
