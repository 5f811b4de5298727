"""The visual-premise mode of the judge: what each step claims to see, each claim alone against the image.

First one call a solution lists the claims (the image is not shown); then one call a claim shows the image and the
claim, and nothing else. Equal claims on one image are asked once. Rows without an image have no premises.

    steps ["A nodule lies in the left lung.", "It is benign."]
    ->    [[{"claim": "a nodule in the left lung", "seen": "+"}], []]
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from medprm_hf.backends.protocol import Backend, Completion, Message, Request, Sampling
from medprm_hf.ids import bytes_hash, content_hash
from medprm_hf.specs import JudgeSpec
from medprm_hf.stages.asking_again import Reading, ask_readable
from medprm_hf.stages.base import Row, RowErrors
from medprm_hf.text.premises import claim_prompt, claims_prompt, claims_schema, parse_claims, parse_seen, seen_schema

Premises = tuple[list[dict[str, str]], ...]
"""Of each step, [num_steps]: claims, and + (seen), - (not) or ? (unclear, unread or failed)."""


def check_premises(
    spec: JudgeSpec, backend: Backend, rows: Sequence[Row], images: Sequence[tuple[bytes, ...]],
    errors: Sequence[RowErrors],
) -> list[Premises]:  # fmt: skip
    """Claims and what the image says of them, for each row; rows without an image have none."""
    sighted = [i for i, shown in enumerate(images) if shown]
    claims = _claims(spec, backend, rows, sighted, errors)
    asked: dict[tuple[str, str], Request] = {}
    for i, steps in claims.items():
        for claim in (claim for step in steps for claim in step):
            name = (bytes_hash(images[i][0]), claim.casefold())
            asked.setdefault(name, _claim_request(spec, images[i][0], name, claim))
    names = list(asked)
    taken = ask_readable(backend, list(asked.values()), [_read_seen] * len(asked), spec.retries)
    seen = {name: places[0].value or "?" for name, places in zip(names, taken, strict=True)}
    failed = {name: places[0].failure for name, places in zip(names, taken, strict=True) if places[0].failure}
    found: list[Premises] = [tuple([] for _ in row["steps"]) for row in rows]
    for i, steps in claims.items():
        sha = bytes_hash(images[i][0])
        found[i] = tuple([{"claim": c, "seen": seen[sha, c.casefold()]} for c in step] for step in steps)
        for failure in (failed.get((sha, c.casefold())) for step in steps for c in step):
            if failure is not None:
                errors[i].add(failure.kind, f"image check: {failure.message}")
    return found


def _claims(
    spec: JudgeSpec, backend: Backend, rows: Sequence[Row], sighted: Sequence[int], errors: Sequence[RowErrors]
) -> dict[int, list[list[str]]]:
    """Claims of each step, by row; rows whose list failed or cannot be read are left out, with the reason."""
    requests = [
        Request(
            (Message("user", claims_prompt(rows[i]["steps"])),),
            sampling=_sampling(spec),
            key=f"{rows[i]['solution_id']}/judge/claims",
            about={"question_id": rows[i]["question_id"], "steps": rows[i]["steps"], "asks": "claims"},
            schema=claims_schema(),
        )
        for i in sighted
    ]
    reads = [partial(_read_claims, num_steps=len(rows[i]["steps"])) for i in sighted]
    found = {}
    for i, (taken,) in zip(sighted, ask_readable(backend, requests, reads, spec.retries), strict=True):
        if taken.failure is not None:
            errors[i].add(taken.failure.kind, f"claims: {taken.failure.message}")
        elif isinstance(taken.value, str):
            errors[i].add("unparsed", f"claims: {taken.value}")
        elif taken.value is not None:
            found[i] = taken.value
    return found


def _sampling(spec: JudgeSpec) -> Sampling:
    """Premises are drawn once, so greedily, whatever the verdicts are drawn with."""
    return Sampling(0.0, max_tokens=spec.max_tokens, seed=spec.seed)


def _claim_request(spec: JudgeSpec, image: bytes, name: tuple[str, str], claim: str) -> Request:
    return Request(
        (Message("user", claim_prompt(claim, spec.premise_criteria), (image,)),),
        sampling=_sampling(spec),
        key=f"{content_hash(*name)}/judge/seen",
        about={"asks": "seen"},
        schema=seen_schema(),
    )


def _read_claims(answer: Completion, num_steps: int) -> Reading[list[list[str]] | str]:
    claims = parse_claims(answer.text, num_steps)
    return Reading(claims, claims, 1) if isinstance(claims, str) else Reading(claims)


def _read_seen(answer: Completion) -> Reading[str]:
    seen = parse_seen(answer.text)
    return Reading("?", 'no "seen" of yes, no or unclear in JSON', 1) if seen is None else Reading(seen)
