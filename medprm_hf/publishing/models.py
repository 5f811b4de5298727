"""A trained process reward model on the Hub: its files looked through, its card written from how it was trained.

    outcome = publish_model(Path("runs/demo/prm"), HubRepo("org/medmm-prm-2b", kind="model"), report=evaluation)
    outcome.published.files    →  [README.md, config.json, medprm.json, model.safetensors, tokenizer.json, …]

What is pushed is a list of what may go: weights as safetensors, configuration, tokenizer, `medprm.json`. Pickles run
code where they are loaded; checkpoints of the trainer are of use to nobody else; both stay.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import medprm_hf
from medprm_hf.hub import HubRepo
from medprm_hf.publishing.card import gaps, read_said, render
from medprm_hf.publishing.facts import citation
from medprm_hf.publishing.findings import Findings, refuse, refusing
from medprm_hf.publishing.folder import Published
from medprm_hf.publishing.licences import licence_of
from medprm_hf.publishing.opening import SETTINGS_FILE, read_json
from medprm_hf.publishing.publish import Outcome, Wish

_MAY_GO = re.compile(
    r"(?:model|adapter_model|towers?|pytorch_model)(?:-\d+-of-\d+)?\.safetensors|.*\.safetensors\.index\.json|"
    r"(?:config|generation_config|adapter_config|medprm|medprm_seen|train|processor_config|preprocessor_config|"
    r"video_preprocessor_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json|"
    r"merges\.txt|vocab\.txt|tokenizer\.model|chat_template\.(?:jinja|json)|LICENSE(?:\.txt|\.md)?"
)
_RUNS_CODE = re.compile(r".*\.(?:bin|pt|pth|pkl|pickle|ckpt|py|so|npy|h5)")
_THIS_MACHINE = re.compile(
    r"(?:/home|/root|/Users|/work|/mnt|/data|/tmp|/opt|[A-Z]:\\\\)[/\w.\\-]+|https?://(?:\d|localhost)\S+"
)
"""Paths and addresses that are nobody's business."""
_NEEDED = ("config.json", SETTINGS_FILE)


def is_model(folder: Path) -> bool:
    """Whether a folder is a trained PRM: it has settings with a layout."""
    return folder.is_dir() and "layout" in read_json(folder / SETTINGS_FILE)


@dataclass(frozen=True)
class Evaluation:
    """What `medprm eval` measured."""

    report: Mapping[str, Any]
    """Its evaluation.json."""
    index: str
    """The Hub's `model-index` block, YAML (evaluation/card.py)."""


def publish_model(
    folder: Path,
    repo: HubRepo | None,
    *,
    evaluation: Evaluation | None = None,
    dry_run: bool = False,
    out: Path | None = None,
    wish: Wish | None = None,
    tell: Callable[[Outcome], Any] | None = None,
) -> Outcome:
    """Checks, writes the card, shows and pushes a checkpoint; raises as `publish` does."""
    wish = wish or Wish(message="Model published by medprm-hf")
    with tempfile.TemporaryDirectory(prefix="medprm-model-") as scratch:
        target = out or Path(scratch) / "model"
        findings = Findings()
        files = _files(folder, findings)
        facts = model_facts(folder, read_said(wish.card), evaluation, repo.name if repo else None)
        for name in gaps(facts):
            findings.add("card", "warning", f"the card says nothing of its {name}", "", f"give {name}: in --card FILE")
        if licence_of(facts["base_license"] or None).kind == "credentialed":
            findings.add("licence", "error", f"{facts['base']} may not be passed on: publish the adapter alone")
        if evaluation is not None:
            _measured(evaluation.report, {folder.name, str(folder), repo.name if repo else folder.name}, findings)
        if not facts["results"]:
            findings.add("card", "warning", "nothing was measured", "", "medprm eval, then --eval its folder")
        outcome = _outcome(folder, files, facts, findings, target, wish)
        if tell:
            tell(outcome)
        if not dry_run:
            refuse(outcome.findings, wish.allow if repo else (*wish.allow, "card"), str(folder))
            if repo is not None and outcome.published is not None:
                if not repo.exists():
                    repo.create(private=wish.private)
                pushed = {file.as_posix(): target / file for file in outcome.published.files}
                outcome.commit, outcome.repo = repo.commit(pushed, wish.message), repo.name
        return outcome


def _outcome(
    folder: Path, files: list[Path], facts: Mapping[str, Any], findings: Findings, target: Path, wish: Wish
) -> Outcome:
    found = findings.list()
    published = None
    if not any(one.severity == "error" for one in found):
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(folder / file, target / file)
        (target / "README.md").write_text(render("model.md.j2", facts), encoding="utf-8")
        published = Published(target, sorted({*files, Path("README.md")}), {}, dict(facts))
    return Outcome(str(folder), found, published, refusing(found, wish.allow))


def _files(folder: Path, findings: Findings) -> list[Path]:
    """What may go, by name; what runs code or names this machine is a finding."""
    found = sorted(path.name for path in folder.iterdir() if path.is_file())
    for name in _NEEDED:
        if name not in found:
            findings.add("files", "error", f"{name} is missing: name the folder that `medprm train` wrote")
    if not any(name.endswith(".safetensors") for name in found):
        findings.add("files", "error", "there are no weights (*.safetensors)")
    going = [name for name in found if _MAY_GO.fullmatch(name)]
    for name in found:
        if _RUNS_CODE.fullmatch(name):
            findings.add("files", "note", "files that run code, or hold pickles, stay", name)
        elif name not in going and name != "README.md":
            findings.add("files", "note", "files that are no part of a model stay", name)
    for name in going:
        if name.endswith((".json", ".txt", ".jinja")) and name not in ("tokenizer.json", "vocab.json"):
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
            if _THIS_MACHINE.search(text):
                findings.add("files", "error", f"{name} names a path or address of this machine", "", "take it out")
    return [Path(name) for name in going]


def model_facts(
    folder: Path, said: Mapping[str, Any], evaluation: Evaluation | None, repo: str | None
) -> dict[str, Any]:
    """Everything that `model.md.j2` asks for."""
    settings, training = read_json(folder / SETTINGS_FILE), read_json(folder / "train.json")
    layout, trained = settings.get("layout") or {}, settings.get("trained_on") or {}
    base = str(settings.get("base") or "")
    base = base if not base.startswith(("/", ".", "~")) else Path(base).name
    name = said.get("title") or (repo or folder.name).rsplit("/", 1)[-1]
    own = base.startswith("phantom:")
    return {
        "title": name, "repo": repo or name, "version": medprm_hf.__version__, "base": base,
        "base_id": base if re.fullmatch(r"[\w.-]+/[\w.-]+", base) else "", "form": layout.get("form", ""),
        "base_license": said.get("base_license") or ("apache-2.0" if own else ""),
        "simulated": bool(trained.get("simulated")), "trained": trained, "layout": layout, "training": training,
        "spec": training.get("spec") or {"form": layout.get("form")}, "temperature": settings.get("temperature", 1.0),
        "threshold": settings.get("threshold", 0.5), "aggregator": settings.get("aggregator", "mean"),
        "seen": len(read_json(folder / "medprm_seen.json").get("questions", [])),
        "motivation": said.get("motivation") or "It scores each step of a solution: P(the step is right).",
        "uses": said.get("uses") or "Research on process reward models: choosing among solutions, weighing answers, "
        "finding steps that a person should read. Not for clinical use.",
        "limits": said.get("limits") or "", "maintainer": said.get("maintainer") or (repo or "").split("/")[0],
        "contact": said.get("contact") or (f"the Community tab of {repo}" if repo else ""),
        "citation": said.get("citation") or citation(name, repo),
        "results": _results(evaluation), "index": evaluation.index if evaluation else "",
    }  # fmt: skip


def _measured(report: Mapping[str, Any], names: set[str], findings: Findings) -> None:
    """Whether the figures are this model's, and say something about questions that it has not seen."""
    measured = str(report.get("name"))
    if measured not in names and Path(measured).name not in {Path(name).name for name in names}:
        findings.add("card", "warning", f"the evaluation is of {measured}", "", "measure the model that is published")
    for note in report.get("notes") or ():
        findings.add("card", "warning", f"the evaluation says: {note}")


def _results(evaluation: Evaluation | None) -> dict[str, Any]:
    """Figures of the report that a reader wants first; empty where nothing was measured."""
    if evaluation is None:
        return {}
    report = evaluation.report
    steps = report["model"]["steps"]
    rows = [
        (words, steps[key], steps.get(spread))
        for words, key, spread in (
            ("Step macro-F1", "macro_f1", "interval"),
            ("F1 of +", "f1_right", ""),
            ("F1 of -", "f1_wrong", ""),
            ("Expected calibration error", "ece", "ece_interval"),
            ("Cohen's kappa", "kappa", "kappa_interval"),
        )
        if steps.get(key) is not None
    ]
    data = report["data"]
    return {
        "data": data["name"], "truth": data.get("truth", ""), "counts": report["counts"], "rows": rows,
        "notes": list(report.get("notes") or ()),
    }  # fmt: skip


def read_report(file: Path) -> dict[str, Any]:
    """A report of `medprm eval`, by the name of its file or folder."""
    found: dict[str, Any] = json.loads(
        (file / "evaluation.json" if file.is_dir() else file).read_text(encoding="utf-8")
    )
    return found
