"""The Ray runner equals the local one: on one node, on two, with workers killed, with a node killed. Two minutes.

Ray listens on all interfaces, so it runs in a network of its own that has nothing but the loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from medprm_hf.recipe import load
from medprm_hf.runs.finish import finish
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.ways import at_work
from tests.slow import killing

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LOOPBACK = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A folder with the local runner's run (`local`) and those on Ray, and what was seen of each."""
    if find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'medprm-hf[ray]'")
    if subprocess.run([*LOOPBACK, "true"], capture_output=True).returncode:
        pytest.skip("no network namespace here: unshare -rn is not permitted")
    folder = tmp_path_factory.mktemp("ray")
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(killing.phantom_recipe(questions=16, ms=50, shard=2), sort_keys=False))
    killing.plugin(folder / "plugin")
    settings = {
        "PYTHONPATH": os.pathsep.join((str(folder / "plugin"), str(ROOT))),
        killing.LOG: str(folder / "log"),
        "OMP_NUM_THREADS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "plugin")
        patch.setenv(killing.LOG, str(folder / "log-local"))
        run = Run.open(folder / "local", load(recipe))
        with at_work(run) as work:
            work.build(lambda *_: None)
            finish(run)
    done = subprocess.run(
        [*LOOPBACK, sys.executable, "-m", "tests.slow.ray_inside", str(recipe), str(folder)],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    print(done.stdout)
    return folder, {line["case"]: line for line in lines}


@pytest.mark.parametrize("case", ["one", "two", "workers", "node"])
def test_the_result_is_the_local_runners(runs: tuple[Path, dict[str, Any]], case: str) -> None:
    killing.same_result(runs[0] / "local", runs[0] / case)
    assert killing.journaled(runs[0] / case) == killing.journaled(runs[0] / "local")


def test_shards_are_spread_and_each_answer_is_asked_once(runs: tuple[Path, dict[str, Any]]) -> None:
    _, seen = runs
    assert seen["one"]["nodes"] == 1 and seen["two"]["nodes"] == 2
    assert seen["one"]["workers"] >= 1 and seen["two"]["workers"] >= 2
    for case in ("one", "two"):
        assert seen[case]["asked"] == seen[case]["distinct"]


def test_killed_workers_cost_what_was_in_flight(runs: tuple[Path, dict[str, Any]]) -> None:
    seen = runs[1]["workers"]
    assert seen["disturbed"] >= 3 and seen["distinct"] == runs[1]["one"]["distinct"]


def test_a_run_outlives_a_machine(runs: tuple[Path, dict[str, Any]]) -> None:
    seen = runs[1]["node"]
    assert seen["nodes"] == 1 and seen["distinct"] == runs[1]["one"]["distinct"]


def test_markers_and_money_are_those_of_the_local_runner(runs: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = runs
    for file in sorted((folder / "local" / "shards").glob("*/0*.json")):
        mine, theirs = (
            json.loads((root / file.relative_to(folder / "local")).read_text())
            for root in (folder / "local", folder / "two")
        )
        assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}, file
    money = [json.loads((folder / name / "run.json").read_text())["money"]["accounts"] for name in ("local", "two")]
    assert money[0] == money[1]
