"""judge: models read image, question, evidence and the steps of a solution, and give a verdict on each step.

Reads question, steps and (where retrieve ran) evidence and similar cases; adds judge_labels … judge. One call a
solution or a step (`per`), answered as JSON; an answer that cannot be read is asked for again, once, with what is
wrong with it. Several judges (`backends`) or answers (`samples`) are put to the vote. A verdict that cannot be read is
`?` with the reason, never `-`; the gold answer is hidden unless the recipe says `show_gold`; citations are checked
against the passages that were shown. docs/judging.md says more.

    steps         "A rim is seen."  "It is malignant."
    judge_labels  "+"               "-"
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from medprm_hf.backends import open_backend
from medprm_hf.errors import ImageError
from medprm_hf.labels.votes import mean_p_plus, vote
from medprm_hf.schema import Label, written_by
from medprm_hf.specs import JudgeSpec
from medprm_hf.stages.asking import image_of
from medprm_hf.stages.ballots import NO_ANSWER, Ballot, Seen, ballots
from medprm_hf.stages.base import Batch, Row, RowErrors, columns_of, rows_of
from medprm_hf.stages.case_images import case_images, case_table
from medprm_hf.stages.image_checks import check_premises
from medprm_hf.text.citing import SOUND, Citation, check_citations
from medprm_hf.text.judging import passage_ids, prompt_fingerprint
from medprm_hf.text.premises import CHECK
from medprm_hf.text.verdict_fields import Verdict

_COUNTS = {"right": Label.RIGHT, "wrong": Label.WRONG, "neutral": Label.NEUTRAL, "unread": Label.UNKNOWN}


@dataclass(frozen=True)
class Judge(JudgeSpec):
    """A verdict on each step; see the module."""

    reads: ClassVar[tuple[str, ...]] = (
        "question_id", "image", "question", "options", "answer", "clinical_context", "solution_id", "steps",
    )  # fmt: skip
    uses: ClassVar[tuple[str, ...]] = ("turns", "evidence", "similar_cases")
    writes: ClassVar[tuple[str, ...]] = written_by("judge")

    def check(self) -> None:
        """Opens the judges, and the table of cases."""
        for name in self.judges():
            open_backend(name)
        if self.cases and self.case_images:
            case_table(self.cases)

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds the judge's columns to each solution of the batch; solutions without steps get empty lists."""
        rows = rows_of(self, batch)
        judges = [open_backend(name) for name in self.judges()]
        errors = [RowErrors(self.name) for _ in rows]
        seen = {i: found for i, row in enumerate(rows) if row["steps"] and (found := self._seen(row, errors[i]))}
        asked, shown = [rows[i] for i in seen], list(seen.values())
        if self.mode == "premise":
            images = [item.images[:1] for item in shown]
            premises = check_premises(self, judges[0], asked, images, [errors[i] for i in seen])
            shown = [replace(item, premises=own) for item, own in zip(shown, premises, strict=True)]
        given = [ballots(self, judge, number, asked, shown) for number, judge in enumerate(judges)]
        voters = [judge.model for judge in judges for _ in range(self.samples)]
        results = [self._result(row, [], Seen(), voters, errors[i]) for i, row in enumerate(rows)]
        for at, i in enumerate(seen):
            own = [ballot for by_judge in given for ballot in by_judge[at]]
            results[i] = self._result(rows[i], own, shown[at], voters, errors[i])
        return columns_of(self, rows, results)

    def _seen(self, row: Row, errors: RowErrors) -> Seen | None:
        """The images that go with a row; None where its own cannot be read: it is not judged blind."""
        try:
            own = image_of(row)
        except ImageError as error:
            errors.add("image", str(error))
            return None
        cases = case_images(self, row, errors) if own and self.case_images else {}
        return Seen((*own, *cases.values()), tuple(cases))

    def _result(self, row: Row, own: Sequence[Ballot], seen: Seen, voters: list[str], errors: RowErrors) -> Row:
        steps = range(len(row["steps"] or []))
        said = [[ballot.verdicts[step] for ballot in own] for step in steps]
        voted = [vote(verdicts) if verdicts else None for verdicts in said]
        verdicts = [each.verdict if each else Verdict(Label.UNKNOWN, reason="unread: not asked") for each in voted]
        _note(own, errors)
        cited = _citations(row, verdicts, errors)
        shares = [each.share if each else None for each in voted]
        return {
            "judge_labels": [str(verdict.label) for verdict in verdicts],
            "judge_confidence": [verdict.confidence for verdict in verdicts],
            "judge_p_plus": [_p_plus(own, step, verdicts[step].label) for step in steps],
            "judge_errors": [verdict.error for verdict in verdicts],
            "judge_reasons": [verdict.reason for verdict in verdicts],
            "judge_citations": [_sound(citations) for citations in cited],
            "judge_checks": [{name: str(value) for name, value in v.checks._asdict().items()} for v in verdicts],
            "judge_corrections": [verdict.correction for verdict in verdicts],
            "judge_citation_checks": [[citation._asdict() for citation in citations] for citations in cited],
            "judge_votes": [_votes(said[step], shares[step]) for step in steps],
            "judge_ballots": [[str(verdict.label) for verdict in said[step]] for step in steps],
            "judge_premises": [list(seen.premises[step]) if seen.premises else [] for step in steps],
            "judge": self._judge(voters, own),
            "errors": errors.entries,
        }

    def _judge(self, voters: list[str], own: Sequence[Ballot]) -> Row:
        prompt = prompt_fingerprint(self.criteria, self.mode, self.per, self._premise_words())
        return {
            "model": ", ".join(dict.fromkeys(voters)),
            "gold_shown": self.show_gold,
            "mode": self.mode,
            "per": self.per,
            "prompt": prompt,
            "voters": voters,
            "repaired": sum(ballot.repaired for ballot in own),
        }

    def _premise_words(self) -> str:
        return (self.premise_criteria or CHECK) if self.mode == "premise" else ""


def _note(own: Sequence[Ballot], errors: RowErrors) -> None:
    """What failed, and how much of an answer could not be read."""
    for ballot in own:
        for failure in ballot.failures:
            errors.add(failure.kind, failure.message)
        unread = [verdict for verdict in ballot.verdicts if verdict.label == Label.UNKNOWN]
        unread = [verdict for verdict in unread if not verdict.reason.startswith(f"unread: {NO_ANSWER}")]
        if unread:
            errors.add("unparsed", f"{len(unread)} of {len(ballot.verdicts)} verdicts cannot be read")


def _p_plus(own: Sequence[Ballot], step: int, label: str) -> float | None:
    """Mean P(+) of all ballots; null for a label that takes no side."""
    if label not in (Label.RIGHT, Label.WRONG):
        return None
    return mean_p_plus([ballot.p_plus[step] for ballot in own])


def _votes(verdicts: Sequence[Verdict], share: float | None) -> Row:
    counts = Counter(verdict.label for verdict in verdicts)
    return {**{name: counts[label] for name, label in _COUNTS.items()}, "share": share}


def _citations(row: Row, verdicts: Sequence[Verdict], errors: RowErrors) -> list[list[Citation]]:
    """What each step's verdict cites, checked; [num_steps] lists."""
    evidence = row.get("evidence") or ()
    texts = {str(passage["id"]): str(passage["text"]) for passage in evidence}
    shown = passage_ids(evidence)
    names = {alias: name for look, name in reversed(shown.items()) for alias in (f"passage {look}", look.strip(" []"))}
    names |= shown
    checked = []
    for number, verdict in enumerate(verdicts, start=1):
        quoted = {name for name, _ in verdict.quotes}
        said: list[tuple[str, str | None]] = [(name, None) for name in verdict.citations if name not in quoted]
        said += verdict.quotes
        checked.append(check_citations([(names.get(name, name), quote) for name, quote in said], texts))
        for citation in checked[-1]:
            if citation.status not in SOUND:
                errors.add("citation", f"step {number} cites {citation.id[:80]!r}: {citation.status}")
    return checked


def _sound(citations: Sequence[Citation]) -> list[str]:
    return list(dict.fromkeys(citation.id for citation in citations if citation.status in SOUND))
