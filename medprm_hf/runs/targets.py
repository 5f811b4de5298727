"""Every target of the recipe's `report` section, held against the run: met, missed or not measurable, and why.

    {"name": "kappa judge-expert", "value": 0.71, "interval": [0.66, 0.76], "target": "> 0.8", "state": "missed",
     "note": "on 160 solutions drawn blindly"}

What was not measured is never 0 and never "missed": its state is "not measurable", and the note says what lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from medprm_hf.specs_report import ReportSpec

MET, MISSED, UNMEASURED = "met", "missed", "not measurable"
Found = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """One line of the table."""

    name: str
    value: float | None
    interval: list[float] | None
    low: float | None
    """The value is to be at least (kappa: above) this; None for no lower end."""
    high: float | None
    note: str

    def row(self) -> dict[str, Any]:
        """Plain values, with state and target in words."""
        plain = {**asdict(self), "target": self._target(), "state": self._state()}
        plain["note"] = "; ".join(filter(None, (self.note, self._doubt())))
        return plain

    def _met(self, value: float) -> bool:
        if self.high is None or self.low is None:  # one end: strictly beyond it
            return (self.low is None or value > self.low) and (self.high is None or value < self.high)
        return self.low <= value <= self.high

    def _state(self) -> str:
        return UNMEASURED if self.value is None else MET if self._met(self.value) else MISSED

    def _target(self) -> str:
        if self.low is None or self.high is None:
            return f"> {self.low:g}" if self.high is None else f"< {self.high:g}"
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"

    def _doubt(self) -> str:
        if self.value is None or not self.interval:
            return ""
        inside = [self._met(end) for end in self.interval]
        met = self._met(self.value)
        if met and not all(inside):
            return "the interval reaches outside: not certain"
        return "the interval reaches the target: not certain" if not met and any(inside) else ""


def targets(spec: ReportSpec, agreement: Found | None, shares: Found, limits: Found) -> list[dict[str, Any]]:
    """The table; `agreement` of quality_sample.py (None without a sample), `shares` of shares.py, `limits`: the
    steps that generate takes {"min_steps", "max_steps"}."""
    lines = [*_agreement(spec, agreement), *_plus(spec, shares), *_steps(spec, shares["steps"], limits)]
    for name in ("difficulty", "modality"):
        mix = getattr(spec, f"{name}_mix")
        lines += _mix(name, mix, shares["questions"][name], spec.mix_tolerance) if mix else []
    return [line.row() for line in lines]


NO_SAMPLE = "no blind sample of experts: run the calibrate stage before merge"


def _agreement(spec: ReportSpec, found: Found | None) -> list[Target]:
    lines = []
    names = {"judge": "judge stage", "rollout": "rollout stage", "label": "merge stage"}
    for name, stage in names.items() if spec.kappa is not None else ():
        one = (found or {}).get(name) or {}
        value = one.get("kappa")
        if not found:
            note = NO_SAMPLE
        elif not one:
            note = f"the {stage} did not run"
        elif value is None:
            note = f"{one['n_steps']} steps that both labelled, all alike or none: kappa says nothing"
        else:
            note = f"{one['n_steps']} steps, {one['skipped']} left out (unknown)"
        lines.append(Target(f"Cohen's kappa, {name} and expert", value, one.get("interval"), spec.kappa, None, note))
    if spec.ece is not None:
        ece = (found or {}).get("ece")
        lacks = "no label_p on the sample: this merge policy gives none" if found else NO_SAMPLE
        note = lacks if ece is None else "label_p against the experts, ten bins"
        interval = (found or {}).get("ece_interval")
        lines.append(Target("calibration error of label_p", ece, interval, None, spec.ece, note))
    return lines


def _plus(spec: ReportSpec, shares: Found) -> list[Target]:
    parts = {
        "all": (spec.share_plus, shares["plus"]),
        "easy": (spec.share_plus_easy, shares["by_difficulty"].get("easy")),
        "hard": (spec.share_plus_hard, shares["by_difficulty"].get("hard")),
    }
    lines = []
    for name, (ends, found) in parts.items():
        if ends is None:
            continue
        value = (found or {}).get("share")
        if found is None:
            note = f"no solution of a question that is marked {name}"
        elif value is None:
            note = f"{found['unknown']} labels, none + or -"
        else:
            note = f"{found['known']} labels + or -" + (f", {found['unknown']} unknown" if found["unknown"] else "")
        lines.append(Target(f"share of +, {name} questions", value, None, *ends, note))
    return lines


def _steps(spec: ReportSpec, found: Found, limits: Found) -> list[Target]:
    if spec.steps is None:
        return []
    flagged = f"{found['few']} below {spec.few_steps}, {found['many']} above {spec.many_steps} of {found['solutions']}"
    note = flagged if found["solutions"] else "no solutions"
    if found["mean"] is not None and limits["max_steps"] < spec.steps[1]:
        note += f"; generate takes {limits['min_steps']} to {limits['max_steps']} steps, so longer ones are not seen"
    return [Target("steps per solution before selection, mean", found["mean"], None, *spec.steps, note)]


def _mix(name: str, mix: Mapping[str, float], counts: Mapping[str, int], tolerance: float) -> list[Target]:
    total = sum(counts.values())
    known = total - counts.get("unknown", 0)
    lines = []
    for kind, wanted in mix.items():
        value = counts.get(kind, 0) / total if known else None
        ends = (max(0.0, round(wanted - tolerance, 6)), min(1.0, round(wanted + tolerance, 6)))
        note = f"{counts.get(kind, 0)} of {total} questions" if known else f"no question says its {name}"
        lines.append(Target(f"share of questions, {name} {kind}", value, None, *ends, note))
    return lines
