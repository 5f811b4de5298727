"""`medprm doctor`: what is installed, which keys are there (never what they are), which backends answer and what they
can do.

    report = examine(["openai:gpt-4o-mini"])
    report["keys"]        {"OPENAI_API_KEY": True, …}
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table

from medprm_hf.backends.keys import has_key, load_keys
from medprm_hf.recipe import Recipe
from medprm_hf.runs.probing import Probed, probe
from medprm_hf.specs import backends_of

console = Console(soft_wrap=True, highlight=False)

NEEDED_FOR = {
    "openai": "the tests that drive OpenAI's own SDK (the openai backend brings its client along)",
    "gemini": "gemini: backends",
    "vllm": "vllm: backends in this process (a vLLM server needs no extra)",
    "train": "medprm demo, phantom: and transformers: backends, train, score",
    "retrieval": "the retrieve stage",
    "space": "medprm space and review",
    "ray": "runs on several machines",
    "dicom": "DICOM and NIfTI folders, look-alike images",
}
"""What each extra is needed for: the words that a missing one costs."""
KEYS = {
    "OPENAI_API_KEY": "openai: backends at api.openai.com",
    "GEMINI_API_KEY": "gemini: backends",
    "GOOGLE_API_KEY": "gemini: backends, where GEMINI_API_KEY is not set",
    "HF_TOKEN": "publishing, gated datasets",
}
_LOCAL = ("127.0.0.1", 8000)
"""Where `vllm serve` and `transformers serve` listen if nothing else is said."""
_ABILITIES = ("images", "n", "logprobs", "continuation", "response_format")


def examine(backends: Sequence[str] = (), recipe: Recipe | None = None) -> dict[str, Any]:
    """Everything that is found, as plain values.

    Args:
        backends: specs to ask; without any (and no recipe) those whose key is there, and a server on port 8000.
        recipe: its models are asked too.
    """
    taken = load_keys()
    specs = list(dict.fromkeys((*backends, *_models(recipe)))) or _defaults()
    return {
        "versions": {"python": platform.python_version(), "medprm-hf": version("medprm-hf")},
        "extras": {name: _extra(name) for name in NEEDED_FOR},
        "keys": {name: bool(os.environ.get(name)) for name in KEYS},
        "from_dotenv": taken,
        "backends": [probe(spec).as_dict() for spec in specs],
    }


def show(report: dict[str, Any], as_json: bool = False) -> bool:
    """Prints what `examine` found; gives whether every backend that was asked answers."""
    good = all(backend["answers"] for backend in report["backends"])
    if as_json:
        print(json.dumps(report, indent=1))
        return good
    found = report["versions"]
    console.print(f"medprm-hf {found['medprm-hf']}, Python {found['python']}")
    _show_extras(report["extras"])
    for name, there in report["keys"].items():
        where = " (from .env)" if name in report["from_dotenv"] else ""
        console.print(f"{'[green]yes[/green]' if there else 'no '} {name}{where}: {KEYS[name]}")
    if not report["backends"]:
        console.print("no backend asked: name one with --backend SPEC, as in openai:gpt-4o-mini")
    for backend in report["backends"]:
        _show_backend(Probed(**backend))
    return good


def _show_extras(extras: dict[str, Any]) -> None:
    table = Table("extra", "installed", "needed for", title="optional packages")
    lacking = [name for name, extra in extras.items() if extra["missing"]]
    for name, extra in extras.items():
        there = ", ".join(f"{package} {number}" for package, number in extra["versions"].items())
        missing = f"missing: {', '.join(extra['missing'])}" if extra["missing"] else ""
        table.add_row(name, "; ".join(filter(None, (missing, there))), extra["needed_for"])
    console.print(table)
    if lacking:
        console.print(f"to install what is missing: pip install 'medprm-hf[{','.join(lacking)}]'", markup=False)


def _show_backend(found: Probed) -> None:
    if not found.answers:
        console.print(f"[red]no answer[/red] {found.spec}")
        console.print(f"  {found.problem}", markup=False)
        return
    console.print(f"[green]answers[/green] {found.spec} ({found.seconds:.2f} s; price: {found.price})")
    facts = [f"serves {', '.join(found.serves[:5])}"] if found.serves else []
    facts += [f"server: {found.owner}"] if found.owner else []
    facts += [f"context {found.context:,} tokens"] if found.context else []
    facts += [f"{name.replace('_', ' ')}: {_word(getattr(found, name))}" for name in _ABILITIES]
    console.print(f"  {'; '.join(facts)}", markup=False)
    for name, said in found.refused.items():
        console.print(f"  {name.replace('_', ' ')}: {said}", markup=False)
    for words in found.learnt:
        console.print(f"  in a run: {words}", markup=False)


def _word(value: bool | str | None) -> str:
    return value if isinstance(value, str) else {True: "yes", False: "no", None: "not known"}[value]


def _extra(name: str) -> dict[str, Any]:
    """Installed and missing packages of one extra."""
    installed: dict[str, str] = {}
    missing = []
    for package in _packages(name):
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            missing.append(package)
    return {
        "versions": installed,
        "missing": missing,
        "needed_for": NEEDED_FOR[name],
        "install": f"pip install 'medprm-hf[{name}]'",
    }


def _packages(extra: str) -> list[str]:
    """What an extra asks for, by the package's own metadata."""
    asked = [Requirement(text) for text in requires("medprm-hf") or []]
    return [each.name for each in asked if each.marker is not None and each.marker.evaluate({"extra": extra})]


def _models(recipe: Recipe | None) -> list[str]:
    if recipe is None:
        return []
    sections = (getattr(recipe, name) for name in recipe.stages)
    return [name for section in sections for name in backends_of(section)]


def _defaults() -> list[str]:
    """Backends worth asking when none is named: those with a key, and a server of one's own on port 8000."""
    found = ["openai:gpt-4o-mini"] if has_key("OPENAI_API_KEY") else []
    found += ["gemini:gemini-2.5-flash"] if has_key("GEMINI_API_KEY", "GOOGLE_API_KEY") else []
    model = _local_model()
    return [*found, f"openai:{model}?base_url=http://{_LOCAL[0]}:{_LOCAL[1]}/v1"] if model else found


def _local_model() -> str | None:
    """The first model that a server on port 8000 lists."""
    import urllib.error
    import urllib.request

    try:
        with socket.create_connection(_LOCAL, timeout=0.3):
            pass
        with urllib.request.urlopen(f"http://{_LOCAL[0]}:{_LOCAL[1]}/v1/models", timeout=3) as answer:
            listed = json.load(answer)["data"]
        name = str(listed[0]["id"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, urllib.error.URLError):
        return None
    return name if re.fullmatch(r"[\w./:@+-]+", name) and not Path(name).is_absolute() else None
