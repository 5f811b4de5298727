"""What the run cost by stage and by label, beside rollouts of every step and an expert on every step (M17).

    {"stages": [{"stage": "judge", "usd": 0.42, "usd_per_label": 0.0003, "said": "$0.42"}, …], "labels": 1440,
     "expert_steps": {"review": 144},
     "compared": [{"what": "this run", "usd": 72.42, "usd_per_label": 0.05, "why": "…"}, …]}

A cost that is not known is null with its reason; a model on one's own machine costs 0 and is said to be local.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def costs(money: Mapping[str, Any], labels: int, expert_steps: Mapping[str, int]) -> dict[str, Any]:
    """The figures from `money.summary`, the number of labels, and of steps that experts looked at, by stage."""
    known = not money["unknown"]
    models = money["usd"] if known else None
    expert_step = money["all_expert_usd"] / labels if labels else None
    looked_at = sum(expert_steps.values())
    people = looked_at * expert_step if expert_step is not None else None
    stages = [_stage(name, money["accounts"], labels) for name in _names(money["accounts"])]
    stages += [_experts(name, n, expert_step, labels) for name, n in expert_steps.items()]
    whole = models + people if models is not None and people is not None else None
    at = f"${expert_step:.2f} a step" if expert_step is not None else "no labels"
    lacks = f"no price is known for {', '.join(money['unknown'])} (give one with --prices)"
    everyone = money["all_expert_usd"] if labels else None
    local = all(line["cost"] == "local" for line in money["accounts"] if line["stage"] == "rollout")
    ran = any(line["stage"] == "rollout" for line in money["accounts"])
    unpriced = "the rollouts ran on your own machine" if local else lacks
    compared = [
        _line("this run: models", models, labels, _paid(money) if known else lacks),
        _line("this run: experts", people, labels, f"{looked_at} steps at {at}"),
        _line("this run", whole, labels, "models and experts" if known else lacks),
        _line("rollouts of every step", money["all_rollout_usd"], labels,
              "at what a rollout cost here" if money["all_rollout_usd"] is not None
              else unpriced if ran else "no rollouts here to price them by"),
        _line("an expert on every step", everyone, labels, f"{labels} steps at {at}"),
    ]  # fmt: skip
    return {"labels": labels, "expert_steps": dict(expert_steps), "stages": stages, "compared": compared}


def _names(accounts: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(line["stage"] for line in accounts))


def _stage(name: str, accounts: Sequence[Row], labels: int) -> Row:
    own = [line["cost"] for line in accounts if line["stage"] == name]
    usd = None if None in own else float(sum(cost for cost in own if cost != "local"))
    said = "unknown" if usd is None else "local" if set(own) == {"local"} else f"${usd:,.4g}"
    return {"stage": name, "usd": usd, "usd_per_label": _each(usd, labels), "said": said}


def _experts(name: str, steps: int, each: float | None, labels: int) -> Row:
    usd = None if each is None else steps * each
    said = "unknown" if usd is None else f"${usd:,.2f}"
    return {"stage": name, "usd": usd, "usd_per_label": _each(usd, labels), "said": said}


def _paid(money: Mapping[str, Any]) -> str:
    local = money["accounts"] and all(line["cost"] == "local" for line in money["accounts"])
    return "all ran on your own machines" if local else "what was paid"


def _line(what: str, usd: float | None, labels: int, why: str) -> Row:
    return {"what": what, "usd": usd, "usd_per_label": _each(usd, labels), "why": why}


def _each(usd: float | None, labels: int) -> float | None:
    return usd / labels if usd is not None and labels else None
