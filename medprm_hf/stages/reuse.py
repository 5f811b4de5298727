"""Rollouts that become solutions: the completions that rollout keeps, and how a second run's generate finds them.

    first.yaml     rollout: {keep_solutions: 4}                          4 new solutions a question at most
    second.yaml    generate: {reuse_rollouts: runs/first, solutions: 8}

A completion continues its prefix to a whole solution that was paid for already. Kept are those that ended by
themselves, saw the question as it stands (options shown, in their order), have 3 to 9 steps and an answer that can
be read, and repeat no other solution of their question; short prefixes first, for they leave most to be new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from medprm_hf.errors import ConfigError
from medprm_hf.specs import GenerateSpec
from medprm_hf.stages.base import Row, by_question
from medprm_hf.stages.prefixes import Prefix, PrefixPool
from medprm_hf.text.answers import read_answer
from medprm_hf.text.steps import split_steps

_NEEDED = ("question_id", "solution_id", "solution", "generator", "rollout_solutions", "rollout_method")
_SAMPLED = ("temperature", "seed")


class Candidate(NamedTuple):
    """A whole solution that an earlier run holds."""

    text: str
    generator: dict[str, Any]
    """As in the column: its origin is `model`, or `rollout:SOLUTION:STEPS`."""


def words(text: str) -> str:
    """The text with white space evened out: by it solutions are the same or not."""
    return " ".join(text.split())


def kept_solutions(pool: PrefixPool, most: int) -> list[list[Row] | None]:
    """What `rollout_solutions` holds of each row: at most `most` a question, at the row whose prefix came first.

    None where nothing is to be kept. The order hangs on what was drawn alone, not on when it came.
    """
    if not most:
        return [None] * len(pool.rows)
    kept: list[list[Row] | None] = [[] for _ in pool.rows]
    for rows in by_question(pool.rows):
        seen = {words(pool.rows[row]["solution"]) for row in rows}
        for row, steps, text in _texts(pool, rows):
            if len(seen) - len(rows) < most and words(text) not in seen and _usable(text, pool.rows[row]):
                seen.add(words(text))
                kept[row].append({"text": text, "steps": steps})  # type: ignore[union-attr]
    return kept


def _texts(pool: PrefixPool, rows: Sequence[int]) -> Iterator[tuple[int, int, str]]:
    """(row, steps of the prefix, text) of all whole solutions that rollouts of a question gave."""
    done: set[int] = set()
    empty = pool.empty.get(pool.rows[rows[0]]["question_id"])
    yield from ((rows[0], 0, text.strip()) for text in (empty.texts if empty else ()))
    for step in range(max(len(pool.prefixes[row]) for row in rows)):
        for row in rows:
            prefix: Prefix | None = pool.prefixes[row][step] if step < len(pool.prefixes[row]) else None
            if prefix is not None and id(prefix) not in done:
                done.add(id(prefix))
                yield from ((row, step + 1, text.strip()) for text in prefix.texts)


def _usable(text: str, row: Row) -> bool:
    steps = len(split_steps(text))
    within = GenerateSpec.min_steps <= steps <= GenerateSpec.max_steps
    return within and read_answer(text, row["options"] or []) is not None


def candidates(run: str, question_ids: Sequence[str]) -> Mapping[str, list[Candidate]]:
    """What a finished run holds for these questions: its solutions in order, then the rollouts it kept.

    Raises ConfigError where there is no finished run, or one that kept nothing.
    """
    found: dict[str, list[tuple[int, Candidate]]] = {name: [] for name in question_ids}
    for row in _read(run, question_ids):
        mine = found[row["question_id"]]
        mine.append((0, Candidate(row["solution"], row["generator"])))
        mine += [(1, Candidate(kept["text"], _generator(row, kept))) for kept in row["rollout_solutions"] or ()]
    return {name: [c for _, c in sorted(mine, key=lambda pair: pair[0])] for name, mine in found.items()}


def _generator(row: Row, kept: Row) -> dict[str, Any]:
    method, own = row["rollout_method"], row["generator"] or {}
    sampled = {name: method.get(name) for name in _SAMPLED}
    return {**own, **sampled, "model": method["completer"], "origin": f"rollout:{row['solution_id']}:{kept['steps']}"}


def check_reusable(run: str) -> None:
    """Raises ConfigError where `candidates` would, before anything is asked."""
    _files(run)


@lru_cache
def _files(run: str) -> tuple[str, ...]:
    """Files of the run's table, which has what is needed; looked at once."""
    import pyarrow.parquet as pq

    files = sorted(str(file) for file in (Path(run) / "dataset" / "data").glob("*.parquet"))
    if not files:
        raise ConfigError(f"generate.reuse_rollouts={run}: no finished run there (no dataset/data): build it first")
    lacking = [name for name in _NEEDED if name not in pq.read_schema(files[0]).names]
    if lacking:
        raise ConfigError(
            f"generate.reuse_rollouts={run}: its table lacks {', '.join(lacking)}: build it with a rollout stage and "
            "rollout.keep_solutions=4"
        )
    return tuple(files)


def _read(run: str, question_ids: Sequence[str]) -> list[Row]:
    import pyarrow.parquet as pq

    found: list[Row] = []
    for file in _files(run):
        table = pq.read_table(file, columns=list(_NEEDED), filters=[("question_id", "in", list(question_ids))])
        found += table.to_pylist()
    return found
