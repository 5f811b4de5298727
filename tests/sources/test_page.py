"""docs/sources.md: its table is what the converters' headers say, its commands name real sources, its example works."""

from __future__ import annotations

import re
from pathlib import Path

from medprm_hf.loading import source_names
from medprm_hf.sources.page import renewed
from tests.sources.making import lines

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"


def test_the_table_is_current() -> None:
    page = PAGE.read_text()
    assert page == renewed(page), "python -m medprm_hf.sources.page docs/sources.md"


def test_every_source_is_there_and_every_named_one_exists() -> None:
    page = PAGE.read_text()
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert set(source_names()) - {"phantom"} <= listed
    assert set(re.findall(r"medprm import (\w+)", page)) <= set(source_names())
    assert set(re.findall(r"loading_scripts/(\w+)\.py", page)) <= set(source_names())


def test_its_example_of_a_source_works(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(code[1], names)
    lines(tmp_path / "test.jsonl", [{"stem": "Which?", "choices": ["a", "b"], "key": "B"}])
    (row,) = names["rows"](str(tmp_path))  # type: ignore[operator]
    assert row["answer"] == "b" and row["split"] == "test"
