"""Pages that must not fall behind the code: data format, troubleshooting, reference."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys

import pytest

import medprm_hf
from medprm_hf import errors
from medprm_hf.labels.selection import DROP_REASONS
from tests.docs.blocks import ROOT
from tests.docs.kinds import found

DOCS = ROOT / "docs"
TROUBLE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
KINDS = found()
_REFERENCE = (DOCS / "reference.md").read_text(encoding="utf-8")
REFERENCED = [
    f"{name}.{member}" if member else name
    for name, member in re.findall(r"^::: (\S+)$(?:\n +options:\n +members: \[(\w+)\])?", _REFERENCE, re.MULTILINE)
]
MEANT = {
    "failures": "Failures of single requests",
    "hub": "The Hub",
    "review": "Review",
    "space": "Review",
    "formats": "Files of other formats",
}


def section(title: str) -> set[str]:
    """Words in backticks of a `##` section."""
    body = re.split(r"^## ", TROUBLE, flags=re.MULTILINE)
    return set(re.findall(r"`([^`]+)`", next(part for part in body if part.startswith(title + "\n"))))


def test_the_data_format_is_the_schema() -> None:
    done = subprocess.run(
        [sys.executable, "docs/make/data_format.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_error_class_is_explained() -> None:
    classes = {name for name, one in inspect.getmembers(errors, inspect.isclass) if one.__module__ == errors.__name__}
    assert len(classes) > 12
    told = set(re.findall(r"^\| `(\w+)` \|", TROUBLE, re.MULTILINE))
    assert classes - told == set()
    assert {name for name in told if name.endswith("Error")} <= classes


@pytest.mark.parametrize("area", sorted(KINDS))
def test_every_kind_is_explained(area: str) -> None:
    told = section(MEANT[area])
    assert KINDS[area] and KINDS[area] - told == set(), f"docs/troubleshooting.md, {MEANT[area]}, does not explain them"


def test_what_is_explained_exists() -> None:
    everything = set().union(*KINDS.values()) | {"conflict", "special_token"}
    for area in ("failures", "hub"):
        body = TROUBLE.split(f"## {MEANT[area]}\n")[1].split("\n## ")[0]
        told = {kind for cell in re.findall(r"^\| (`[^|]+) \|", body, re.M) for kind in re.findall(r"`(\w+)`", cell)}
        assert told - everything == set()


def test_every_reason_is_explained() -> None:
    from medprm_hf.scoring import asked, by_server, results

    unscored = {asked.IMAGE, asked.NO_STEPS, asked.UNREADABLE, by_server.SPECIAL, results.TRUNCATED, results.OUTCOME}
    assert (unscored | {results.NOT_LISTED, results.NO_NUMBER}) - section("Steps without a score") == set()
    assert set(DROP_REASONS) - section("Solutions that are not exported") == set()


def test_the_reference_has_every_public_name() -> None:
    objects = [_resolve(name) for name in REFERENCED]
    missing = [
        name for name in medprm_hf.__all__
        if not any(one is getattr(medprm_hf, name) for one in objects) and name not in ("COLUMNS", "MedPRMError")
    ]  # fmt: skip
    assert not missing, f"docs/reference.md lacks {missing}"


def _resolve(name: str) -> object:
    """The module, class or function of a dotted name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        parent, _, last = name.rpartition(".")
        return getattr(_resolve(parent), last)
