"""Every shell line and Python block of README.md and docs/ is run, or says why it is not.

The fast ones here, on a folder of small files, with a local model and a local Hub; those marked `slow` with the slow
tests. docs/using.md is run by tests/house/test_using.py, docs/tour.md by test_tour.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import PAGES, ROOT, SHELLS, SHOWN, Block, blocks, fences
from tests.docs.hub_stock import stock
from tests.docs.marks import marked
from tests.docs.model_server import model_server
from tests.docs.stage import base, stage
from tests.docs.test_tour import free_port
from tests.docs.walk import LEFT_OUT
from tests.hub.fixtures import TestHub

ELSEWHERE = {"using.md", "tour.md"}
"""Pages that tests of their own walk through."""
ALL = [marked(block) for page in PAGES for block in blocks(page)]
RUN = [block for block in ALL if block.kind != "shown" and not block.run.startswith(LEFT_OUT)]


def test_every_fence_is_seen_and_every_mark_understood() -> None:
    assert not [str(page) for page in PAGES if fences(page) != 2 * len(blocks(page))]
    known = re.compile(r"(slow ?)?(needs=[a-z,]+ ?)?(exit=[\d,]+)?|show-only \S.+|elsewhere tests/\S+\.py")
    assert not [(block.name, block.run) for block in ALL if block.run and not known.fullmatch(block.run)]
    tests = [block.run.split()[1] for block in ALL if block.run.startswith("elsewhere")]
    assert not [test for test in tests if not (ROOT / test).is_file()]
    strange = [block.name for block in ALL if block.language not in ("", "python", *SHELLS, *SHOWN)]
    assert not strange, f"a language that is neither run nor shown: {strange}"


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "yaml"], ids=lambda block: block.name)
def test_settings_are_yaml_and_known(block: Block) -> None:
    """Recipe fragments have sections and keys that recipes have."""
    from medprm_hf.recipe import Recipe

    values = yaml.safe_load(block.code)
    assert isinstance(values, dict)
    if set(values) <= set(Recipe.model_fields):
        return
    assert block.page in ("costs.md", "publishing.md", "reviewing.md"), f"{block.name} has unknown keys {set(values)}"


def walk(pages: list[Path], depth: str, tmp_path: Path, hub: TestHub, repo: str) -> list[dict[str, object]]:
    """Walks the pages in one process, each in a folder of its own; gives what became of each block.

    `repo` is the dataset that stands for the pages' org/medmm-prm: other tests have that one.
    """
    results = tmp_path / "results.jsonl"
    results.touch()
    with model_server() as url:
        made = base(tmp_path / "base", url)
        pairs = [f"{page}={stage(made, tmp_path / page.stem, page.name, url)}" for page in pages]
        puts = [f"7860=>{free_port()}", f"8080=>{free_port()}", f"http://127.0.0.1:8000/v1=>{url}"]
        puts += [f"http://127.0.0.1:8001/v1=>{url}", f"openai:my-model=>openai:my-model?base_url={url}"]
        puts += [f'"openai:gpt-4o-mini"=>"openai:gpt-4o-mini?base_url={url}"', f"org/medmm-prm 3=>{repo} 1"]
        puts += [
            f"org/medmm-prm=>{repo}",
            'Path("mine.jsonl")=>Path("more.jsonl")',
            "/tmp/hub=>hub",
            "/shared/runs=>runs",
        ]
        puts += [f"8787=>{free_port()}"]
        around = hub.environment("owner", tmp_path / "home") | {"OPENAI_API_KEY": "not-a-real-one"}
        around |= {
            "OMP_NUM_THREADS": "1",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "WEBHOOK_SECRET": "a-secret",
            "PYTHONPATH": str(ROOT),
        }
        around["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{around['PATH']}"
        command = [sys.executable, "-m", "tests.docs.walk", str(results), depth, *pairs, "--put", *puts]
        done = subprocess.run(command, env=around, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    told = [json.loads(line) for line in results.read_text().splitlines()]
    (tmp_path / "output.txt").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    return told


def report(told: list[dict[str, object]], expected: list[Block], tmp_path: Path) -> None:
    """Fails with each block's problem; and where a block was not come to."""
    print("\n".join(f"{one['block']}: {one['seconds']} s" for one in told))
    broken = [f"{one['block']}\n{one['problem']}" for one in told if one["problem"]]
    assert not broken, "\n\n".join(broken) + f"\nits output: {tmp_path / 'output.txt'}"
    assert {one["block"] for one in told} == {block.name for block in expected}


def test_fast_blocks(hub: TestHub, tmp_path: Path) -> None:
    stock(hub, tmp_path / "stock")
    expected = [block for block in RUN if "slow" not in block.run and block.page not in ELSEWHERE]
    pages = [
        page for page in PAGES if any(page == ROOT / "docs" / one.page or page.name == one.page for one in expected)
    ]
    report(walk(pages, "fast", tmp_path, hub, "org/walked"), expected, tmp_path)


SLOW = sorted({block.page for block in RUN if "slow" in block.run and block.page not in ELSEWHERE})


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_slow_blocks(name: str, hub: TestHub, tmp_path: Path) -> None:
    stock(hub, tmp_path / "stock")
    expected = [block for block in RUN if block.page == name]
    pages = [page for page in PAGES if page.name == name]
    report(walk(pages, "all", tmp_path, hub, f"org/walked-{pages[0].stem.lower()}"), expected, tmp_path)
