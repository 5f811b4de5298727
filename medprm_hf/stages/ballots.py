"""What one judge says of some solutions: each is asked whole or step by step, `samples` times, and read.

solution of 3 steps, samples 2, per step   ->   3 requests of 2 places   ->   2 ballots of 3 verdicts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from medprm_hf.backends.protocol import Backend, Completion, Failure, Message, Request, Sampling
from medprm_hf.schema import Label
from medprm_hf.specs import JudgeSpec
from medprm_hf.stages.asking_again import Reading, Taken, ask_readable
from medprm_hf.stages.base import Row
from medprm_hf.text.judging import judge_prompt, verdict_schema
from medprm_hf.text.label_probability import p_plus_at
from medprm_hf.text.verdict_fields import Verdict, unread
from medprm_hf.text.verdicts import complaint, label_places, parse_verdicts

NO_ANSWER = "no answer"
"""Why steps are unread whose request failed."""


@dataclass(frozen=True)
class Ballot:
    """One whole answer about one solution; lists are [num_steps]."""

    verdicts: list[Verdict]
    p_plus: list[float | None]
    failures: tuple[Failure, ...] = ()
    """Requests that gave no answer."""
    repaired: int = 0
    """Answers that were read only when they were asked for again."""


@dataclass(frozen=True)
class Seen:
    """What a judge is shown of a row beside its text."""

    images: tuple[bytes, ...] = ()
    """Its image, and those of similar cases."""
    case_images: tuple[int, ...] = ()
    """Numbers (from 1) of the similar cases whose images are among them."""
    premises: tuple[list[dict[str, str]], ...] = ()
    """Claims of each step and what the image said, [num_steps]."""


_Read = tuple[list[Verdict], list[float | None]]


def ballots(
    spec: JudgeSpec, backend: Backend, number: int, rows: Sequence[Row], seen: Sequence[Seen]
) -> list[list[Ballot]]:
    """`samples` ballots for each row by judge `number` (from 0); rows have steps."""
    asked = [(i, only) for i, row in enumerate(rows) for only in _parts(spec, row)]
    requests = [_request(spec, number, rows[i], seen[i], only) for i, only in asked]
    reads = [partial(_read, num_steps=len(rows[i]["steps"]), only=only) for i, only in asked]
    taken = ask_readable(backend, requests, reads, spec.retries)
    found: list[list[tuple[int | None, list[Taken[_Read]]]]] = [[] for _ in rows]
    for (i, only), places in zip(asked, taken, strict=True):
        found[i].append((only, places))
    return [
        [_ballot([(only, places[draw]) for only, places in parts], len(row["steps"])) for draw in range(spec.samples)]
        for row, parts in zip(rows, found, strict=True)
    ]


def _parts(spec: JudgeSpec, row: Row) -> list[int | None]:
    """What is asked about at a time: everything (None), or each step."""
    return [None] if spec.per == "solution" else [n for n, _ in enumerate(row["steps"], start=1)]


def _request(spec: JudgeSpec, number: int, row: Row, seen: Seen, only: int | None) -> Request:
    asked = judge_prompt(
        row["question"],
        row["options"] or [],
        row["steps"],
        evidence=row.get("evidence") or (),
        similar_cases=row.get("similar_cases") or (),
        context=row.get("clinical_context"),
        only=only,
        gold=row["answer"] if spec.show_gold else None,
        turns=row.get("turns") or (),
        premises=seen.premises,
        case_images=seen.case_images,
        criteria=spec.criteria,
    )
    about = {"question_id": row["question_id"], "steps": row["steps"]}
    return Request(
        (Message("user", asked, seen.images),),
        n=spec.samples,
        sampling=Sampling(spec.temperature, max_tokens=spec.max_tokens, seed=spec.seed),
        key=f"{row['solution_id']}/judge{number + 1 if number else ''}{f'/{only}' if only else ''}",
        about=about if only is None else {**about, "only": only},
        schema=verdict_schema(),
        logprobs=spec.logprobs,
    )


def _read(answer: Completion, num_steps: int, only: int | None) -> Reading[_Read]:
    verdicts = parse_verdicts(answer.text, num_steps, only)
    p_plus: list[float | None] = [None] * num_steps
    if answer.top_logprobs is not None:
        places = label_places(answer.text, num_steps, only)
        found = p_plus_at(answer.text, answer.top_logprobs, answer.logprobs, places)
        sided = (Label.RIGHT, Label.WRONG)
        p_plus = [p if v.label in sided else None for p, v in zip(found, verdicts, strict=True)]
    wrong = complaint(verdicts, only, cut=answer.finish_reason == "length")
    missing = sum(verdict.label == Label.UNKNOWN for verdict in verdicts)
    return Reading((verdicts, p_plus), wrong, missing)


def _ballot(parts: Sequence[tuple[int | None, Taken[_Read]]], num_steps: int) -> Ballot:
    """One draw of every part, put together; a part whose request failed leaves its steps unread."""
    verdicts = [unread(NO_ANSWER)] * num_steps
    p_plus: list[float | None] = [None] * num_steps
    for only, taken in parts:
        steps = range(num_steps) if only is None else (only - 1,)
        for step in steps:
            if taken.value is not None:
                verdicts[step], p_plus[step] = taken.value[0][step], taken.value[1][step]
            elif taken.failure is not None:
                verdicts[step] = unread(f"{NO_ANSWER} ({taken.failure.kind})")
    failures = tuple(taken.failure for _, taken in parts if taken.failure is not None)
    return Ballot(verdicts, p_plus, failures, sum(taken.repaired for _, taken in parts))
