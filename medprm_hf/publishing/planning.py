"""First pass over the rows: every check, and where each question goes; then nothing is left to decide.

    plan = survey(material, policy)
    plan.findings, plan.split["q1"], plan.benchmark     →  Findings, "train", {"q7-s0", …}

A benchmark is made of solutions whose every step an expert has labelled; all that shares its question, image or group
leaves the training split and stands in test, so nothing of it is ever trained on. Only names and hashes are held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from medprm_hf.formats.marks import domain
from medprm_hf.ids import content_hash
from medprm_hf.publishing.components import SHARES, SPLITS, Components
from medprm_hf.publishing.findings import Findings
from medprm_hf.publishing.merging import is_contributed
from medprm_hf.publishing.opening import Material, Row
from medprm_hf.publishing.pictures import PERSONAL, Looker
from medprm_hf.publishing.policy import Policy, Preparer, is_bare
from medprm_hf.publishing.rows import RowCheck
from medprm_hf.text.duplicates import twins
from medprm_hf.together import split_by_hash

MIX = {"radiology": 4, "pathology": 3, "clinical": 3}
"""Shares of the benchmark's domains (M15)."""
_NAMES = {"train": ("train", "training"), "development": ("development", "dev", "validation", "valid", "val"),
          "test": ("test", "testing")}  # fmt: skip
_NEW_SPLIT = "split anew (--resplit), or with questions.splits in the recipe"


@dataclass
class Asked:
    """What is kept of one question."""

    split: str | None
    group: str
    sha: str | None
    text: str
    domain: str | None
    verified: list[str] = field(default_factory=list)
    """Solutions whose every step an expert has labelled."""


@dataclass
class Plan:
    """What the first pass has decided."""

    material: Material
    policy: Policy
    findings: Findings
    preparer: Preparer
    looker: Looker
    split: dict[str, str] = field(default_factory=dict)
    """Split of each question."""
    phash: dict[str, str] = field(default_factory=dict)
    """Perceptual hash of each image by its SHA-256, 16 hex digits."""
    benchmark: set[str] = field(default_factory=set)
    """Names of the benchmark's solutions."""
    moved: int = 0
    """Questions that left training because of it."""

    def rows(self) -> Iterable[Row]:
        """The rows as they are published, with their final split; the second pass."""
        self.preparer.again()
        for row in self.material.rows():
            prepared = self.preparer.prepared(row)
            if prepared is not None:
                prepared["split"] = self.split[prepared["question_id"]]
                yield prepared


def survey(material: Material, policy: Policy) -> Plan:
    """Looks at every row once."""
    findings = Findings()
    preparer = Preparer(policy, findings)
    drop, checked = policy.identifiers == "drop", policy.identifiers == "checked"
    plan = Plan(material, policy, findings, preparer, Looker(findings, policy.cleared, checked=checked, drop=drop))
    check, asked = RowCheck(findings), dict[str, Asked]()
    strict, loose = Components(None), Components(policy.image_distance)
    for row in material.rows():
        prepared = preparer.prepared(row)
        if prepared is None or not check.good(prepared):
            continue
        look = plan.looker.look(prepared)
        if drop and look.bad & PERSONAL:
            preparer.bad_image()
            preparer.left_out["its image may name a patient"] += 1
            continue
        known = asked.get(prepared["question_id"])
        if known is None:
            known = asked[prepared["question_id"]] = _asked(prepared)
            if prepared["split"] and known.split is None:
                what = f"a split is called {prepared['split']!r}, which is none of {', '.join(SPLITS)}"
                way_out = "rename it, or its rows are split anew"
                findings.add("schema", "warning", what, prepared["question_id"], way_out)
            for together in (strict, loose):
                together.add(prepared["question_id"], group=known.group, sha=known.sha, look=look.phash,
                             asked=known.text)  # fmt: skip
            if known.sha and look.phash is not None:
                plan.phash[known.sha] = f"{look.phash:016x}"
        if is_verified(prepared, policy.benchmark == "simulated") and not is_bare(prepared):
            known.verified.append(prepared["solution_id"])
    _report(material, check, findings)
    _decide(plan, asked, strict, loose)
    return plan


def is_verified(row: Row, simulated: bool = False) -> bool:
    """Whether every step has an expert's label (+ - or 0) with the decision of a person (or a simulated one) behind."""
    labels, reviews = row["review_labels"], row["reviews"]
    if not labels or not reviews or "?" in labels:
        return False
    return all(any(_expert(decision, simulated) for decision in step or []) for step in reviews)


def _expert(decision: Row, simulated: bool) -> bool:
    return not is_contributed(decision) and (simulated or not str(decision["reviewer"]).startswith("simulated"))


def split_named(word: str | None) -> str | None:
    """Our name of a split; None where the row names none, or by a word that nobody knows."""
    return next((split for split, words in _NAMES.items() if (word or "").lower() in words), None)


def _asked(row: Row) -> Asked:
    shown = " ".join([row["question"], *row["options"], row["clinical_context"] or "",
                      *(turn["text"] for turn in row["turns"] or [])])  # fmt: skip
    text = shown if not is_bare(row) else str(row["question_id"])
    return Asked(
        split_named(row["split"]),
        row["group"] or row["question_id"],
        row["image_sha256"],
        text,
        domain(row["modality"]),
    )


def _report(material: Material, check: RowCheck, findings: Findings) -> None:
    for problem in material.problems:
        severity = "note" if problem.kept else "warning"
        findings.add("schema", severity, f"the source: {problem.reason}", f"row {problem.line}", "mend or convert it")  # type: ignore[arg-type]
    check.finish()


def _decide(plan: Plan, asked: dict[str, Asked], strict: Components, loose: Components) -> None:
    """Splits, leaks, then the benchmark."""
    for one, other in _near_texts(asked):
        loose.join(one, other)
    parts = _parts(loose)
    for names in parts.values():
        wishes = {asked[name].split for name in names} - {None}
        fallback = split_by_hash(SHARES, "published split", min(names))
        for name in names:
            own = None if plan.policy.resplit else asked[name].split
            plan.split[name] = own or (fallback if plan.policy.resplit or not wishes else sorted(map(str, wishes))[0])
    _leaks(plan, strict, "error", "questions share group, image or text with one of another split")
    alike = "questions have an image that looks like, or a text that nearly repeats, one of another split"
    _leaks(plan, loose, "warning", alike, _parts(strict))
    _choose(plan, asked, loose, parts)


def _parts(together: Components) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = defaultdict(list)
    for name, root in together.members():
        parts[root].append(name)
    return parts


def _leaks(
    plan: Plan, together: Components, severity: str, what: str, known: dict[str, list[str]] | None = None
) -> None:
    leaky = {root for root, names in (known or {}).items() if len({plan.split[name] for name in names}) > 1}
    skip = {name for root in leaky for name in (known or {})[root]}
    for names in _parts(together).values():
        if len({plan.split[name] for name in names}) > 1 and not skip.intersection(names):
            for name in names:
                plan.findings.add("leakage", severity, what, name, _NEW_SPLIT)  # type: ignore[arg-type]


def _near_texts(asked: dict[str, Asked]) -> Iterator[tuple[str, str]]:
    """Text-only questions, each with an earlier one that it nearly repeats (MinHash, Jaccard 0.85)."""
    names = [name for name, one in asked.items() if one.sha is None]
    for later, first in twins([asked[name].text for name in names]).items():
        yield names[later], names[first]


def _choose(plan: Plan, asked: dict[str, Asked], loose: Components, parts: dict[str, list[str]]) -> None:
    """The benchmark's questions, held-out ones first, in the mix as far as can be; their components leave train."""
    if plan.policy.benchmark == "none":
        return
    # What was published before has its benchmark: a later version takes no more questions out of training.
    held_out = plan.policy.benchmark == "held-out" or plan.material.kind == "published"
    able = [n for n, one in asked.items() if one.verified and not (held_out and plan.split[n] == "train")]
    able.sort(key=lambda name: (-SPLITS.index(plan.split[name]), content_hash("benchmark", name)))
    training = [name for name in able if plan.split[name] == "train"]
    few = max(1, round(plan.policy.benchmark_share * len(asked)))
    able = able[: len(able) - len(training)] + _mixed(training, asked, few)
    for name in _mixed(able, asked, plan.policy.benchmark_questions):
        plan.benchmark.update(asked[name].verified)
        for other in parts[loose.root(name)]:
            if plan.split[other] == "train":
                plan.split[other] = "test"
                plan.moved += 1


def _mixed(names: list[str], asked: dict[str, Asked], most: int) -> list[str]:
    """At most so many, by `MIX` among the domains that there are; questions of no known domain fill what is left."""
    if len(names) <= most:
        return names
    by_domain = {kind: [n for n in names if asked[n].domain == kind] for kind in MIX}
    there = {kind: share for kind, share in MIX.items() if by_domain[kind]}
    chosen: list[str] = []
    for kind, share in there.items():
        chosen += by_domain[kind][: most * share // sum(there.values())]
    rest = [name for name in names if name not in set(chosen)]
    return chosen + rest[: most - len(chosen)]
