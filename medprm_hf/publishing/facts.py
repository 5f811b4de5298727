"""What the card of a dataset says, gathered: figures of the rows, the run that made them, and what people add.

    facts = dataset_facts(plan, tally.summary(), written, said={"contact": "…"}, repo="org/medmm-prm")
    facts["simulated"]      →  ["images and questions", "judge", "experts"]

A default stands only where it is true whatever the data; what nobody knows stays empty, and is a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import medprm_hf
from medprm_hf.publishing.card import cell
from medprm_hf.publishing.configs import CONFIGS, STATES
from medprm_hf.publishing.licences import licence_of
from medprm_hf.publishing.planning import Plan
from medprm_hf.publishing.tables import Written
from medprm_hf.schema import SCHEMA_VERSION

MOTIVATION = (
    "Process reward models score each step of a solution, and learn from solutions whose every step is labelled. "
    "This dataset gives such labels for reasoning about medical questions, together with the signals that each "
    "label was merged from, so that labels can be made anew with other rules."
)
USES = (
    "Training and measuring process reward models for medical reasoning; studying rollouts, judges and experts as "
    "sources of labels. Not for clinical use: neither labels nor models trained on them may guide the care of a "
    "patient."
)
TAGS = ("process-reward-model", "medical", "medprm-hf", "not-for-clinical-use")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

Summary = Mapping[str, Any]


def dataset_facts(
    plan: Plan,
    summary: Summary,
    written: Mapping[str, Mapping[str, Written]],
    said: Mapping[str, Any],
    repo: str | None = None,
    digests: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything that `dataset.md.j2` asks for; `digests` are of each config's files."""
    material = plan.material
    known = {**material.facts.get("published", {}).get("said", {}), **said}
    run, report = material.facts.get("run", {}), material.facts.get("report", {})
    made_up = simulated(plan, summary)
    name = known.get("title") or (repo or material.name).rsplit("/", 1)[-1]
    return {
        "title": name, "repo": repo or name, "version": medprm_hf.__version__,
        "schema": SCHEMA_VERSION, "simulated": made_up,
        "motivation": known.get("motivation") or MOTIVATION, "uses": known.get("uses") or USES,
        "maintainer": known.get("maintainer") or (repo or "").split("/")[0],
        "contact": known.get("contact") or (f"the Community tab of {repo}" if repo else ""),
        "collection": known.get("collection") or _collection(plan, summary),
        "limits": known.get("limits") or "", "citation": known.get("citation") or citation(name, repo),
        "cost": known.get("cost") or _cost(report or run), "summary": summary, "states": STATES,
        "configs": [{"config": CONFIGS[c], "splits": parts, "digest": (digests or {}).get(c)}
                    for c in CONFIGS if (parts := written.get(c))],
        "licences": sorted({licence_of(one["license"]).hub for one in summary["sources"]}),
        "size": next((word for most, word in SIZES if summary["rows"] < most), "n>1M"),
        "tags": [*TAGS, *(["simulated"] if made_up else [])],
        "models": summary["models"], "run": run, "report": report, "recipe": material.facts.get("recipe", {}),
        "agreement": report.get("agreement") or {}, "moved": plan.moved,
        "dropped": dict(sorted(plan.preparer.left_out.items())),
        "benchmark": _benchmark(plan, written), "contributions": material.contributed.count,
    }  # fmt: skip


def simulated(plan: Plan, summary: Summary) -> list[str]:
    """What of the data is no real thing, as far as run or rows tell."""
    found = list((plan.material.facts.get("report") or {}).get("simulated") or [])
    if any(one["source"] == "phantom" for one in summary["sources"]):
        found.append("images and questions")
    if any("simulated" in name for name in summary["models"].get("judge", {})):
        found.append("judge")
    if summary["reviewers"].get("simulated"):
        found.append("experts")
    return [part for part in ("images and questions", "judge", "experts") if part in found]


def citation(name: str, repo: str | None) -> str:
    """BibTeX of a dataset or model on the Hub."""
    key = "".join(c for c in name.lower() if c.isalnum())
    where = f",\n  howpublished = {{Hugging Face Hub, {repo}}}" if repo else ""
    owner = (repo or "").split("/")[0] or "The maintainers of the dataset"
    return f"@misc{{{key},\n  title = {{{name}}},\n  author = {{{owner}}}{where},\n  note = {{made with medprm-hf}}\n}}"


def _collection(plan: Plan, summary: Summary) -> str:
    names = ", ".join(dict.fromkeys(cell(one["source"]) for one in summary["sources"]))
    counts = (plan.material.facts.get("run") or {}).get("counts") or {}
    questions = counts.get("questions_in")
    start = f"Images and questions come from: {names}."
    if questions:
        start += (
            f" Of {questions:,} questions taken in, {counts.get('questions_dropped', 0):,} were dropped with a reason."
        )
    return start + (
        " Images were taken in as PNG or JPEG without metadata; DICOM and NIfTI were rendered and their headers left "
        "behind. Texts were scanned for identifiers before publication."
    )


def _cost(report: Mapping[str, Any]) -> str:
    """What the run cost, in words; empty where nobody knows."""
    money = report.get("money") or {}
    usd = money.get("usd")
    if not isinstance(usd, (int, float)):
        return ""
    accounts = money.get("accounts") or []
    local = bool(accounts) and all(account.get("local") for account in accounts)
    words = f"{usd:,.2f} US dollars for answers of models" + (", all of them run locally" if local else "")
    per = money.get("usd_per_label")
    return words + (f"; {per:.5f} a label" if isinstance(per, (int, float)) and usd else "") + "."


def _benchmark(plan: Plan, written: Mapping[str, Mapping[str, Written]]) -> dict[str, Any]:
    parts = written.get("benchmark") or {}
    rows = sum(one.rows for one in parts.values())
    by = (
        "simulated experts: it measures the pipeline, not medicine"
        if plan.policy.benchmark == "simulated"
        else "experts"
    )
    return {"solutions": rows, "by": by, "limit": plan.policy.benchmark_questions}
