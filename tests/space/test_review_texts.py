"""Fast checks of the review and agreement pages' files: texts, keys, size, and that nothing is written as HTML."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from medprm_hf.app.review_tab import error_groups
from medprm_hf.app.strings import Strings
from medprm_hf.text.error_types import ErrorType

STATIC = Path(__file__).parents[2] / "medprm_hf" / "app" / "static"
SCRIPTS = sorted(path for name in ("review*.js", "viewer*.js", "agree*.js") for path in STATIC.glob(name))
SECTIONS = ("review", "agree", "common")


def actions() -> dict[str, list[str]]:
    """{action: default keys} of review_keys.js."""
    lines = [line for line in (STATIC / "review_keys.js").read_text().splitlines() if line.startswith('  ["')]
    return {re.findall(r'"([^"]*)"', line)[0]: re.findall(r'"([^"]*)"', line)[2:] for line in lines}


def test_no_two_actions_share_a_key() -> None:
    keys = Counter(key for own in actions().values() for key in own)
    assert len(actions()) >= 25 and not [key for key, count in keys.items() if count > 1]


@pytest.mark.parametrize("lang", ["en", "ko", "zh"])
def test_every_text_that_the_scripts_ask_for_is_there(lang: str) -> None:
    texts = Strings.load(lang).tab(*SECTIONS)
    asked = {f"key_{action}" for action in actions()}
    asked |= {f"{kind}_{name}" for kind in ("error", "about") for name in ErrorType}
    asked |= {f"group_{group}" for group in error_groups()}
    for script in SCRIPTS:
        code = re.sub(r"^\s*(//|\*|/\*).*$", "", script.read_text(), flags=re.M)
        asked |= set(re.findall(r'\bt\("(\w+)"', code)) | set(re.findall(r'\.say\("(\w+)"', code))
    missing = [name for name in sorted(asked) if not any(f"{section}.{name}" in texts for section in SECTIONS)]
    assert missing == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_small_and_write_no_html(script: Path) -> None:
    code = script.read_text()
    assert code.startswith("// "), "a file says what it is"
    assert code.count("\n") <= 320
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|https?://", code)


def test_the_keys_stand_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reviewing.md").read_text()
    table = page[page.index("## Keys") :]
    names = {"ArrowDown": "↓", "ArrowUp": "↑", "ArrowLeft": "←", "ArrowRight": "→"}
    names |= {"Shift+ArrowUp": "Shift ↑", "Shift+ArrowDown": "Shift ↓"}
    for action, keys in actions().items():
        for key in keys:
            shown = names.get(key, key)
            assert f"`{shown}`" in table, f"{action}: {shown} is not in docs/reviewing.md"
