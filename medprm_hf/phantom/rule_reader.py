"""A judge that reads: it checks rule and answer of a phantom solution by what the passages shown to it say.

It is a backend and sees what any judge model is sent, the prompt, and nothing else: no truth, no question id, no image
(`Request.about` is never read). From the passages it takes those whose heading is of the year, organ and patients that
the clinical context names, reads their sentences into rules, and then asks of the rule step: do its conditions agree
with what the steps before claim, and does the guideline give this advice for them? Of the answer: is it the letter of
the advice that holds? Steps that describe the image are taken as read.

    rule-reader:

Without a guideline it still checks the solution against itself, and says + with low confidence to what it cannot
check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medprm_hf.backends.protocol import Completion, Failure, Reply, Request, Usage
from medprm_hf.errors import ConfigError
from medprm_hf.phantom import steps as text
from medprm_hf.phantom.world import OPTIONS

_BLOCK = re.compile(r"<data (\w+) ([^>\n]+)>\n(.*?)\n</data \1 \2>", re.S)
_STEP = re.compile(r"(earlier )?step (\d+)")
_YEAR = re.compile(r"guideline of (\d{4})")
_ORGANS = ("lung", "liver", "thyroid", "kidney", "adrenal gland")
_ADVICE = "|".join(re.escape(option) for option in OPTIONS)
_SEVERAL = re.compile(r"\b(several|multiple|more than one)\b", re.I)
_SINGLE = re.compile(r"\b(single|solitary|only one)\b", re.I)
_SIZES = (
    (re.compile(r"smaller than (\d+) mm"), lambda m: (0.0, float(m[1]))),
    (re.compile(r"of (\d+) to (\d+) mm"), lambda m: (float(m[1]), float(m[2]))),
    (re.compile(r"larger than (\d+) mm"), lambda m: (float(m[1]), float("inf"))),
)
_STEP_SIZES = {"<6 mm": (0.0, 6.0), "6-8 mm": (6.0, 8.0), ">8 mm": (8.0, float("inf"))}


@dataclass(frozen=True)
class ReadRule:
    """One rule as a passage states it."""

    several: bool | None
    """Several nodules or a single one; null: it does not matter."""
    kind: str
    """Type of nodule."""
    size: tuple[float, float] | None
    """Sizes in mm that it speaks of; null: it does not matter."""
    advice: str
    """One of the options."""
    passage: str
    """Id of the passage."""

    def covers(self, several: bool | None, kind: str, size: tuple[float, float] | None) -> bool:
        """Whether it speaks of such nodules."""
        number_fits = self.several is None or self.several == several
        size_fits = self.size is None or (size is not None and self.size[0] <= size[0] and size[1] <= self.size[1])
        return self.kind == kind and number_fits and size_fits


@dataclass
class _Claims:
    """What the steps so far say; null where they have not."""

    several: bool | None = None
    kind: str | None = None
    size: str | None = None
    advice: str | None = None


class RuleReader:
    """Backend that answers judge prompts on phantom solutions from the passages in them."""

    model = "rule-reader"

    def __init__(self) -> None:
        self.usage = Usage()

    @classmethod
    def from_spec(cls, options: str) -> RuleReader:
        """From `rule-reader:`; there is nothing to set."""
        if options:
            raise ConfigError(f"rule-reader takes no options, found {options!r}: write rule-reader:")
        return cls()

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One JSON verdict list a request."""
        replies = [_reply(request.messages[-1].text) for request in requests]
        for reply in replies:
            self.usage.add(reply)
        return replies

    def close(self) -> None:
        """Nothing to give back."""


def _reply(prompt: str) -> Reply:
    blocks = [(name, body) for _, name, body in _BLOCK.findall(prompt)]
    steps = {int(found[2]): (not found[1], body) for name, body in blocks if (found := _STEP.fullmatch(name))}
    if not steps:
        return Reply((Failure("no_steps", "the prompt holds no block of a step"),))
    passages = {name.removeprefix("passage "): body for name, body in blocks if name.startswith("passage ")}
    rules = read_rules(passages, dict(blocks).get("clinical context", ""))
    claims = _Claims()
    read = [(n, asked, _verdict(step.strip(), claims, rules)) for n, (asked, step) in sorted(steps.items())]
    verdicts = [{"step": n, **verdict} for n, asked, verdict in read if asked]
    answer = json.dumps({"steps": verdicts})
    return Reply((Completion(answer, "stop", len(answer.split())),), prompt_tokens=len(prompt.split()))


def read_rules(passages: dict[str, str], context: str) -> list[ReadRule]:
    """The rules of those passages whose heading fits the context: year, organ and patients that it names."""
    year = _YEAR.search(context)
    organ = next((organ for organ in _ORGANS if organ in context.lower()), None)
    patients = "children" if "child" in context.lower() else "adults"
    rules = []
    for name, passage in passages.items():
        heading, _, body = passage.partition(". ")
        found = _YEAR.search(heading)
        if year and found and found[1] == year[1] and f"of the {organ} in {patients}" in heading:
            rules += [rule for sentence in re.split(r"(?<=\.)\s+", body) if (rule := _read(sentence, name))]
    return rules


def _read(sentence: str, passage: str) -> ReadRule | None:
    advice = re.search(_ADVICE, sentence)
    kind = re.search(r"\b(calcified|solid|ground-glass)\b", sentence)
    if not advice or not kind:
        return None
    several = True if _SEVERAL.search(sentence) else False if _SINGLE.search(sentence) else None
    size = next((read(match) for pattern, read in _SIZES if (match := pattern.search(sentence))), None)
    return ReadRule(several, kind[1], size, advice[0], passage)


def _verdict(step: str, claims: _Claims, rules: list[ReadRule]) -> dict[str, Any]:
    """The verdict on one step; the claims learn what it says."""
    if match := text.COUNT.fullmatch(step):
        claims.several = text.COUNTS.index(match[1]) > 0
    elif match := text.KIND.fullmatch(step):
        claims.kind = match[1]
    elif match := text.SIZE.fullmatch(step):
        claims.size = match[1]
    elif rule := text.read_rule(step):
        return _on_rule(rule, claims, rules)
    elif match := text.ANSWER.fullmatch(step):
        return _on_answer(OPTIONS[text.LETTERS.index(match[1])], claims, rules)
    return _said("+", "low", "describes the image: taken as read")


def _on_rule(rule: text.Rule, claims: _Claims, rules: list[ReadRule]) -> dict[str, Any]:
    claims.advice = rule.advice
    stated = ((rule.kind, claims.kind), (rule.several, claims.several), (rule.size, claims.size))
    if any(now is not None and before is not None and now != before for now, before in stated):
        return _said("-", "high", "its conditions are not those of the steps before", "rule")
    found = _advice(rules, rule.several, rule.kind, rule.size)
    if found is None:
        return _said("+", "low", "no passage shown states this rule")
    label = "+" if found.advice == rule.advice else "-"
    return _said(label, "high", f"the guideline gives: {found.advice}", "rule", found.passage)


def _on_answer(answer: str, claims: _Claims, rules: list[ReadRule]) -> dict[str, Any]:
    found = _advice(rules, claims.several, claims.kind, claims.size)
    if found is not None:
        label = "+" if answer == found.advice else "-"
        return _said(label, "high", f"the guideline gives: {found.advice}", "answer", found.passage)
    if claims.advice is None:
        return _said("+", "low", "no advice stands before it")
    label = "+" if answer == claims.advice else "-"
    return _said(label, "medium", "held against the advice of the step before", "answer")


def _advice(rules: list[ReadRule], several: bool | None, kind: str | None, size: str | None) -> ReadRule | None:
    """The rule for such nodules, if the passages state one."""
    if kind is None:
        return None
    extent = _STEP_SIZES.get(size or "")
    return next((rule for rule in rules if rule.covers(several, kind, extent)), None)


def _said(
    label: str, confidence: str, reason: str, error: str | None = None, passage: str | None = None
) -> dict[str, Any]:
    return {
        "label": label,
        "confidence": confidence,
        "error": error if label == "-" else None,
        "reason": reason,
        "citations": [passage] if passage else [],
    }
