"""Figures of a dataset, counted while its rows pass by: what the card says of itself.

tally = Tally()
tally.add(row)                    a published row: labels final, split known
tally.summary()["labels"]["+"]    →  7005
tally.summary()["sources"]        →  [{"source": "phantom", "license": "CC0-1.0", "rows": 1600, …}]
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from medprm_hf.formats.marks import domain
from medprm_hf.publishing.merging import is_contributed

BINS = 10
"""Of P(right)."""
Row = dict[str, Any]


def _counters() -> defaultdict[str, Counter[str]]:
    return defaultdict(Counter)


@dataclass
class Tally:
    """Counts; nothing of it grows with the rows but the set of questions and images, as hashes."""

    rows: int = 0
    steps: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    by_split: defaultdict[str, Counter[str]] = field(default_factory=_counters)
    """Per split: solutions, questions, steps, and each label."""
    by_modality: defaultdict[str, Counter[str]] = field(default_factory=_counters)
    by_difficulty: defaultdict[str, Counter[str]] = field(default_factory=_counters)
    by_domain: Counter[str] = field(default_factory=Counter)
    """Questions."""
    by_position: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    states: Counter[str] = field(default_factory=Counter)
    sources: defaultdict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    models: defaultdict[str, Counter[str]] = field(default_factory=_counters)
    """Names of generators, completers, judges and their solutions."""
    reviewers: Counter[str] = field(default_factory=Counter)
    """person, simulated or contributor, and decisions."""
    label_p: list[Counter[str]] = field(default_factory=lambda: [Counter() for _ in range(BINS)])
    """Labels by P(right), in ten bins."""
    answers: Counter[str] = field(default_factory=Counter)
    images: set[str] = field(default_factory=set)
    _last: str = ""

    def add(self, row: Row) -> None:
        """One published solution; solutions of a question come together."""
        labels, split = row["labels"], row["split"]
        self.rows += 1
        self.steps += len(labels)
        self.labels.update(labels)
        self.by_split[split].update(labels)
        self.by_split[split].update(solutions=1, steps=len(labels))
        self.by_modality[row["modality"] or "not stated"].update(labels)
        self.by_difficulty[row["difficulty"] or "not stated"].update(labels)
        for place, label in enumerate(labels):
            self.by_position[place][label] += 1
        for p, label in zip(row["label_p"] or (), labels, strict=False):
            if p is not None:
                self.label_p[min(int(p * BINS), BINS - 1)][label] += 1
        self.states.update(row["label_state"])
        right = row["is_correct"]
        self.answers["not known" if right is None else "right" if right else "wrong"] += 1
        self._sources(row)
        self._models(row)

    def _sources(self, row: Row) -> None:
        key = (row["source"] or "not stated", row["license"] or "not stated")
        self.sources[key].update(rows=1, steps=len(row["labels"]))
        if row["question_id"] != self._last:
            self._last = row["question_id"]
            self.by_split[row["split"]]["questions"] += 1
            self.sources[key]["questions"] += 1
            self.by_domain[domain(row["modality"]) or "not known"] += 1
        if row["image_sha256"] and row["image_sha256"] not in self.images:
            self.images.add(row["image_sha256"])
            self.sources[key]["images"] += row["image"] is not None

    def _models(self, row: Row) -> None:
        named = {
            "generator": [(row["generator"] or {}).get("model")],
            "completer": [(row["rollout_method"] or {}).get("completer")],
            "estimator": [(row["rollout_method"] or {}).get("estimator")],
            "judge": (row["judge"] or {}).get("voters") or [(row["judge"] or {}).get("model")],
        }
        for part, names in named.items():
            self.models[part].update(name for name in names if name)
        for step in row["reviews"] or ():
            for decision in step or ():
                who = "contributor" if is_contributed(decision) else (
                    "simulated" if str(decision["reviewer"]).startswith("simulated") else "person")  # fmt: skip
                self.reviewers[who] += 1

    def summary(self) -> dict[str, Any]:
        """All of it as plain values."""
        known = self.labels["+"] + self.labels["-"]
        plain = {
            name: dict(sorted(getattr(self, name).items())) for name in ("labels", "states", "reviewers", "answers")
        }
        nested = {
            name: {key: dict(sorted(counts.items())) for key, counts in sorted(getattr(self, name).items())}
            for name in ("by_split", "by_modality", "by_difficulty", "models")
        }
        return {
            "rows": self.rows, "steps": self.steps, "images": len(self.images), **plain, **nested,
            "questions": sum(counts["questions"] for counts in self.by_split.values()),
            "share_plus": self.labels["+"] / known if known else None,
            "by_domain": dict(sorted(self.by_domain.items())),
            "by_position": [dict(self.by_position[place]) for place in sorted(self.by_position)],
            "label_p": [dict(counts) for counts in self.label_p],
            "sources": [
                {"source": source, "license": license,
                 **{name: counts[name] for name in ("rows", "questions", "steps", "images")}}
                for (source, license), counts in sorted(self.sources.items())
            ],
        }  # fmt: skip
