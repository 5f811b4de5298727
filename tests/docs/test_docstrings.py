"""Every public name has a docstring: 100 % by interrogate, over the package and the converters.

Not counted: names that begin with an underscore, magic methods, `__init__` (its class speaks), and functions inside
functions (nobody can call them).
"""

from __future__ import annotations

import inspect
import typing

import pytest
from interrogate import config, coverage

import medprm_hf
from tests.docs.blocks import ROOT

COUNTED = {"app", "hub", "publishing", "review", "runs", "backends", "formats", "labels", "scoring", "stages"}
RULES = config.InterrogateConfig(
    ignore_init_method=True,
    ignore_magic=True,
    ignore_private=True,
    ignore_semiprivate=True,
    ignore_nested_functions=True,
    ignore_overloaded_functions=True,
    ignore_property_setters=True,
)


def test_every_public_name_has_a_docstring() -> None:
    places = [str(ROOT / name) for name in ("medprm_hf", "loading_scripts", "docs")]
    results = coverage.InterrogateCoverage(places, conf=RULES, excluded=()).get_coverage()
    lacking = [
        f"{one.filename}:{node.lineno} {node.name}"
        for one in results.file_results
        for node in one.nodes
        if not node.covered and not _inside_a_function(node)
    ]
    assert results.total > 2500 and not lacking, "\n".join(lacking)
    rooms = {one.filename.rpartition("medprm_hf/")[2].split("/")[0] for one in results.file_results}
    assert rooms >= COUNTED


def _inside_a_function(node: typing.Any) -> bool:
    while node.parent is not None:
        node = node.parent
        if node.node_type.endswith("FunctionDef"):
            return True
    return False


@pytest.mark.parametrize("name", medprm_hf.__all__)
def test_names_of_the_front_door_say_what_they_take(name: str) -> None:
    """Functions and classes that users call name their arguments and what they raise, or are data."""
    found = getattr(medprm_hf, name)
    if not callable(found) or inspect.isclass(found):
        assert name == "COLUMNS" or inspect.getdoc(found)
        return
    text = inspect.getdoc(found) or ""
    assert len(text) > 100, f"medprm_hf.{name} says too little: {text!r}"
