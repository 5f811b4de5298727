"""The house: whoever lacks an optional package is told an extra that has it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from medprm_hf.errors import MissingExtraError
from medprm_hf.publishing.publish import publish
from tests.publishing.tables import rows, table, wish

ROOT = Path(__file__).parents[2]


def told() -> list[tuple[str, str, str]]:
    """(file, extra, package) of every place that names both."""
    found = []
    for path in sorted((ROOT / "medprm_hf").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MissingExtraError":
                extra, package = node.args[1:]
                if isinstance(extra, ast.Constant) and isinstance(package, ast.Constant):
                    found.append((path.name, str(extra.value), str(package.value)))
    return found


def test_every_extra_that_is_named_has_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    calls = told()
    assert len(calls) > 5
    for file, extra, package in calls:
        assert package in {re.split(r"[\[><=~! ]", one)[0] for one in extras[extra]}, (file, extra, package)


def test_publishing_without_imagehash_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagehash", None)
    with pytest.raises(MissingExtraError, match=r"needs imagehash: pip install 'medprm-hf\[dicom\]'"):
        publish(table(tmp_path, rows(2)), None, out=tmp_path / "out", wish=wish(tmp_path))
