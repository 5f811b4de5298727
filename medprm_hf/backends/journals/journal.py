"""The journal: every answer that was ever paid for, found again by what was asked; and what failed, with its reason.

    journal = Journal(Path("runs/demo/journal.sqlite"))
    names = place_names("openai:gpt-4o-mini", request)      # one a place, by content
    known = journal.answers(names)                          # {name: Completion}: never asked for again
    journal.record([Entry(names[0], "openai:gpt-4o-mini", request, 0, Completion("Left.", "stop", 3))])

One SQLite file in WAL mode; threads and processes may read and write it at once. What `record` was given is on file
when it returns: a process that is killed a moment later has lost nothing. An answer is never overwritten: where two
processes asked the same at the same time, the first stays. Images are kept as their SHA-256 alone, keys not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from medprm_hf.backends.journals.journal_file import open_journal, store_error
from medprm_hf.backends.protocol import Completion, Continuation, Failure, Request
from medprm_hf.backends.servers.http_errors import scrub

_AT_ONCE = 250
"""Requests looked up by one statement (SQLite takes 999 values or more)."""


class Recorded(NamedTuple):
    """An answer as the journal holds it."""

    completion: Completion
    prompt_tokens: int
    continuation: Continuation


@dataclass(frozen=True)
class Entry:
    """One place of a request and what came of it."""

    name: str
    """The place's own of `place_names`."""
    identity: str
    """Provider and model, as in `openai:gpt-4o-mini`; never a URL, never a key."""
    request: Request
    place: int
    """0 … request.n - 1."""
    outcome: Completion | Failure
    prompt_tokens: int = 0
    """Tokens of prompt that were paid for. Of places that one response answered the first carries them all, so
    that their sum is what was paid."""
    continuation: Continuation = "none"
    at: float = field(default_factory=time.time)
    """Seconds since 1970."""


def place_names(identity: str, request: Request) -> list[str]:
    """A name for each of the n places: a hash of everything that the answer depends on, and the draw's number.

    Hashed are identity, roles and texts, SHA-256 of each image, prefix, sampling, schema, how many log-probabilities
    are asked for, and the request's key. At temperature 0 neither key nor seed nor number changes the answer: all
    places have one name.
    """
    digest = hashlib.sha256(copy_of(identity, request).encode()).hexdigest()[:32]
    if request.sampling.temperature <= 0:
        return [f"{digest}:0"] * request.n
    return [f"{digest}:{request.first + place}" for place in range(request.n)]


def copy_of(identity: str, request: Request) -> str:
    """What is hashed, as JSON: also the readable copy that the journal keeps, with no image in it and no key."""
    sampling = request.sampling
    greedy = sampling.temperature <= 0
    copy = {
        "identity": identity,
        "messages": [[message.role, message.text, message.image_hashes] for message in request.messages],
        "prefix": request.prefix,
        "temperature": 0.0 if greedy else float(sampling.temperature),
        "top_p": None if greedy else float(sampling.top_p),
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop),
        "schema": request.schema,
        "logprobs": request.logprobs,
        "seed": None if greedy else sampling.seed,
        "key": None if greedy else request.key,
    }
    return _encoded(copy, plain=request.schema is None)


def _encoded(copy: dict[str, Any], plain: bool) -> str:
    """ASCII: a model's broken half-characters pass too. The hash hangs on every character: orjson writes what it
    writes as the standard library does, which is everything but control characters, letters beyond ASCII, and
    numbers with an exponent."""
    if plain and 1e-4 <= (copy["temperature"] or 1.0) < 1e15 and 1e-4 <= (copy["top_p"] or 1.0) < 1e15:
        try:
            found = orjson.dumps(copy)
        except TypeError:
            return _encode(copy)
        if found.isascii() and b"\x7f" not in found:
            return found.decode()
    return _encode(copy)


_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: dumps makes one a call


class Journal:
    """One journal file, opened when first used; also in a forked child, which gets a connection of its own."""

    def __init__(self, path: Path, readonly: bool = False) -> None:
        self.path = Path(path)
        self.readonly = readonly
        self._lock = threading.RLock()
        self._link: sqlite3.Connection | None = None
        self._owner = 0

    def answers(self, names: Sequence[str]) -> dict[str, Completion]:
        """Those of the named places that were answered, in one go; failures are not among them."""
        return {name: found.completion for name, found in self.recall(names).items()}

    def recall(self, names: Sequence[str]) -> dict[str, Recorded]:
        """The same with prompt tokens and continuation."""
        return {name: _recorded(row) for name, row in self._rows(_LOOKUP, names)}

    def failures(self, names: Sequence[str]) -> dict[str, Failure]:
        """The latest failure of each named place that has one, answered since or not."""
        return {name: Failure(*row) for name, row in self._rows(_FAILED, names)}

    def record(self, entries: Sequence[Entry]) -> None:
        """Writes answers and failures, all or none; they are on file when it returns. Safe from any thread.

        Raises StoreError where the file cannot be written: an answer that is not on file must not be used.
        """
        self.write(rows_of(entries))

    def write(self, rows: Rows) -> None:
        """The same with rows that were made elsewhere, perhaps on another machine."""
        with self.writing() as link:
            link.executemany(_REQUEST, rows.requests)
            link.executemany(_ANSWER, rows.answers)
            link.executemany(_FAILURE, rows.failures)

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a reading statement."""
        with self._lock:
            try:
                return self._open().execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise store_error(self.path, error) from error

    def _rows(self, statement: str, names: Sequence[str]) -> Iterator[tuple[str, list[Any]]]:
        """Name and row of what a statement finds for the named places."""
        ranges, wanted = _ranges(names), set(names)
        for start in range(0, len(ranges), _AT_ONCE):
            some = ranges[start : start + _AT_ONCE]
            values = [value for item in some for value in item]
            for digest, number, *row in self.query(statement.format(", ".join(["(?, ?, ?)"] * len(some))), values):
                if (name := f"{digest}:{number}") in wanted:
                    yield name, row

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all that is done inside is kept, or nothing."""
        with self._lock:
            link = self._open()
            try:
                link.execute("BEGIN IMMEDIATE")  # takes its turn now: a lock that is asked for later may be refused
                try:
                    yield link
                    link.execute("COMMIT")
                except BaseException:
                    if link.in_transaction:
                        link.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise store_error(self.path, error) from error

    def close(self) -> None:
        """Closes the file; used again, it is opened again."""
        with self._lock:
            if self._link is not None and self._owner == os.getpid():
                self._link.close()
            self._link = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        if self._link is not None and self._owner != os.getpid():
            _inherited.append(self._link)  # SQLite forbids using, even closing, what came over a fork
            self._link = None
        if self._link is None:
            self._link, self._owner = open_journal(self.path, self.readonly), os.getpid()
        return self._link


_inherited: list[sqlite3.Connection] = []

_LOOKUP = """
WITH wanted(hash, low, high) AS (VALUES {})
SELECT hash, number, text, finish, tokens, logprobs, top_logprobs, prompt_tokens, continuation
FROM wanted JOIN requests USING (hash) JOIN answers ON answers.request = requests.id AND number BETWEEN low AND high
"""
_FAILED = """
WITH wanted(hash, low, high) AS (VALUES {})
SELECT hash, number, kind, message, attempts
FROM wanted JOIN requests USING (hash) JOIN failures ON failures.request = requests.id AND number BETWEEN low AND high
ORDER BY failures.rowid
"""
_REQUEST = "INSERT INTO requests (hash, identity, copy) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_ANSWER = """
INSERT INTO answers VALUES ((SELECT id FROM requests WHERE hash = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_FAILURE = "INSERT INTO failures VALUES ((SELECT id FROM requests WHERE hash = ?), ?, ?, ?, ?, ?, ?)"


class Rows(NamedTuple):
    """Entries as the tables take them; no image is in them, only its hash."""

    requests: list[tuple[Any, ...]]
    answers: list[tuple[Any, ...]]
    failures: list[tuple[Any, ...]]


def rows_of(entries: Sequence[Entry]) -> Rows:
    """Rows of the three tables; one a distinct request."""
    copies: dict[str, tuple[Any, ...]] = {}
    for entry in entries:
        digest = entry.name.partition(":")[0]
        if digest not in copies:
            copies[digest] = (digest, entry.identity, copy_of(entry.identity, entry.request))
    return Rows(
        list(copies.values()),
        [_answer_row(e) for e in entries if isinstance(e.outcome, Completion)],
        [_failure_row(e) for e in entries if isinstance(e.outcome, Failure)],
    )


def _ranges(names: Iterable[str]) -> list[tuple[str, int, int]]:
    """Hash, lowest and highest number of each request among the names."""
    numbers: dict[str, list[int]] = {}
    for name in names:
        digest, _, number = name.partition(":")
        numbers.setdefault(digest, []).append(int(number))
    return [(digest, min(found), max(found)) for digest, found in numbers.items()]


def _answer_row(entry: Entry) -> tuple[Any, ...]:
    digest, _, number = entry.name.partition(":")
    done = entry.outcome
    assert isinstance(done, Completion)
    logprobs = None if done.logprobs is None else array("d", done.logprobs).tobytes()
    candidates = None if done.top_logprobs is None else json.dumps(done.top_logprobs, separators=(",", ":"))
    paid = (entry.prompt_tokens, entry.continuation, entry.at)
    return digest, int(number), _stored(done.text), done.finish_reason, done.tokens, logprobs, candidates, *paid


def _failure_row(entry: Entry) -> tuple[Any, ...]:
    digest, _, number = entry.name.partition(":")
    failed = entry.outcome
    assert isinstance(failed, Failure)
    message = scrub(failed.message).encode("utf-8", "replace").decode()
    return digest, int(number), failed.kind, message, failed.attempts, entry.prompt_tokens, entry.at


def _stored(text: str) -> str | bytes:
    """Text as SQLite takes it: half of a surrogate pair, which a cut answer may end in, goes in as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def text_of(stored: str | bytes) -> str:
    """A stored text as it arrived."""
    return stored.decode("utf-8", "surrogatepass") if isinstance(stored, bytes) else stored


def _recorded(row: Sequence[Any]) -> Recorded:
    text, finish, tokens, logprobs, candidates, prompt_tokens, continuation = row
    drawn = None if logprobs is None else tuple(array("d", logprobs))
    listed = None if candidates is None else tuple(json.loads(candidates))
    return Recorded(Completion(text_of(text), finish, tokens, drawn, listed), prompt_tokens, continuation)
