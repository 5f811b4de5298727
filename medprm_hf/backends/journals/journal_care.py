"""Looking into a journal, taking its content elsewhere, and making it smaller.

for kept in stats(journal): …                             one line a model
export(journal, Path("answers.jsonl"))                    one JSON object a request, with its answers and failures
prune(journal, Filter(older_than=30 * DAY), carry_out=False)   what would go; with carry_out=True it goes
"""

from __future__ import annotations

import json
import sqlite3
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medprm_hf.backends.journals.journal import Journal, text_of
from medprm_hf.errors import ConfigError, StoreError
from medprm_hf.registry import near

DAY = 86_400.0
"""Seconds."""
_PAGE = 500
"""Requests that an export holds in memory at once."""


@dataclass(frozen=True)
class Kept:
    """What a journal holds of one model."""

    identity: str
    requests: int
    answers: int
    failures: int
    """Draws that failed, each time they did."""
    lacking: int
    """Draws that failed and have not been answered since."""
    prompt_tokens: int
    completion_tokens: int
    first: float | None
    """Seconds since 1970 of the oldest answer or failure; None where there is none."""
    last: float | None


@dataclass(frozen=True)
class Filter:
    """What to take out: all that is given must hold."""

    older_than: float | None = None
    """Seconds of age."""
    identity: str | None = None
    failures_only: bool = False
    """Answers stay."""


@dataclass(frozen=True)
class Pruned:
    """What a prune took out, or would."""

    requests: int
    """Requests of which nothing is left."""
    answers: int
    failures: int
    completion_tokens: int
    """Tokens that would have to be paid for again."""


_STATS = """
SELECT identity, count(*), sum(a), sum(f), sum(lacking), sum(p), sum(c), min(first), max(last) FROM (
    SELECT identity,
        (SELECT count(*) FROM answers WHERE request = r.id) AS a,
        (SELECT count(*) FROM failures WHERE request = r.id) AS f,
        (SELECT count(DISTINCT number) FROM failures WHERE request = r.id
            AND number NOT IN (SELECT number FROM answers WHERE request = r.id)) AS lacking,
        (SELECT coalesce(sum(prompt_tokens), 0) FROM answers WHERE request = r.id) AS p,
        (SELECT coalesce(sum(tokens), 0) FROM answers WHERE request = r.id) AS c,
        (SELECT min(at) FROM (SELECT at FROM answers WHERE request = r.id
            UNION ALL SELECT at FROM failures WHERE request = r.id)) AS first,
        (SELECT max(at) FROM (SELECT at FROM answers WHERE request = r.id
            UNION ALL SELECT at FROM failures WHERE request = r.id)) AS last
    FROM requests AS r)
GROUP BY identity ORDER BY identity
"""


def stats(journal: Journal) -> list[Kept]:
    """One entry a model, in order of their names."""
    return [Kept(*row) for row in journal.query(_STATS)]


def export(journal: Journal, out: Path, identity: str | None = None) -> int:
    """Writes one JSON line a request, in the order they were first asked; gives the number of lines.

    Raises ConfigError for a model that the journal does not know, StoreError where the file cannot be written.
    """
    _check_identity(journal, identity)
    count = 0
    try:
        with out.open("w", encoding="utf-8") as file:
            for line in _lines(journal, identity):
                file.write(line + "\n")
                count += 1
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from error
    return count


def _lines(journal: Journal, identity: str | None) -> Iterator[str]:
    last = 0
    while rows := journal.query(
        "SELECT id, hash, copy FROM requests WHERE id > ? AND (? IS NULL OR identity = ?) ORDER BY id LIMIT ?",
        (last, identity, identity, _PAGE),
    ):
        last = rows[-1][0]
        span = (rows[0][0], last)
        answers = _by_request(journal.query(_ANSWERS, span))
        failures = _by_request(journal.query(_FAILURES, span))
        for number, digest, copy in rows:
            yield json.dumps(
                {
                    "hash": digest,
                    **json.loads(copy),
                    "answers": [_answer(row) for row in answers.get(number, ())],
                    "failures": [_failure(row) for row in failures.get(number, ())],
                }
            )


_ANSWERS = """
SELECT request, number, text, finish, tokens, logprobs, top_logprobs, prompt_tokens, continuation, at FROM answers
WHERE request BETWEEN ? AND ? ORDER BY request, number
"""
_FAILURES = """
SELECT request, number, kind, message, attempts, at FROM failures
WHERE request BETWEEN ? AND ? ORDER BY rowid
"""


def _by_request(rows: list[tuple[Any, ...]]) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for request, *row in rows:
        found.setdefault(request, []).append(tuple(row))
    return found


def _answer(row: tuple[Any, ...]) -> dict[str, Any]:
    draw, text, finish, tokens, logprobs, candidates, prompt_tokens, continuation, at = row
    return {
        "draw": draw,
        "text": text_of(text),
        "finish_reason": finish,
        "tokens": tokens,
        "logprobs": None if logprobs is None else array("d", logprobs).tolist(),
        "top_logprobs": None if candidates is None else json.loads(candidates),
        "prompt_tokens": prompt_tokens,
        "continuation": continuation,
        "at": at,
    }


def _failure(row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(("draw", "kind", "message", "attempts", "at"), row, strict=True))


def prune(journal: Journal, wanted: Filter, carry_out: bool) -> Pruned:
    """Takes out what the filter names, and requests of which nothing is left; the file then gives its space back.

    Args:
        wanted: at least one of its conditions is given; ConfigError otherwise: a whole journal is deleted by hand.
        carry_out: False only counts.
    """
    if wanted == Filter():
        raise ConfigError("nothing says what to prune: give --older-than DAYS, --model IDENTITY or --failures")
    _check_identity(journal, wanted.identity)
    before = time.time() - (wanted.older_than or 0.0)
    where = "at <= ? AND (? IS NULL OR request IN (SELECT id FROM requests WHERE identity = ?))"
    values = (before, wanted.identity, wanted.identity)
    tables = ("failures",) if wanted.failures_only else ("failures", "answers")
    with journal.writing() as link:
        tokens = 0
        if "answers" in tables:
            tokens = link.execute(f"SELECT coalesce(sum(tokens), 0) FROM answers WHERE {where}", values).fetchone()[0]
        gone = {table: link.execute(f"DELETE FROM {table} WHERE {where}", values).rowcount for table in tables}
        requests = link.execute(_EMPTY, (wanted.identity, wanted.identity)).rowcount
        if not carry_out:
            link.execute("ROLLBACK")  # counted by doing it: the figures are those of the real thing
            link.execute("BEGIN")
    if carry_out:
        _shrink(journal)
    return Pruned(requests, gone.get("answers", 0), gone["failures"], tokens)


_EMPTY = """
DELETE FROM requests WHERE (? IS NULL OR identity = ?)
AND NOT EXISTS (SELECT 1 FROM answers WHERE request = requests.id)
AND NOT EXISTS (SELECT 1 FROM failures WHERE request = requests.id)
"""


def _shrink(journal: Journal) -> None:
    try:
        journal.query("VACUUM")
        journal.query("PRAGMA wal_checkpoint(TRUNCATE)")
    except StoreError as error:
        cause = error.__cause__
        if not isinstance(cause, sqlite3.Error) or "locked" not in str(cause):
            raise  # while a run writes the file stays as large as it is; its free pages are used again


def _check_identity(journal: Journal, identity: str | None) -> None:
    there = [row[0] for row in journal.query("SELECT DISTINCT identity FROM requests ORDER BY identity")]
    if identity is not None and identity not in there:
        raise ConfigError(f"the journal {journal.path} holds nothing of {identity!r}{near(identity, there)}")
