"""All stages of a phantom run, killed with -9 at thirty random moments, on a full disk and on one that is read-only.

Each life is a forked process that is killed for good; what it leaves is looked at before the next begins. 60 seconds.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from medprm_hf.recipe import load, parse
from medprm_hf.runs.commands import build_run, console
from medprm_hf.runs.ways import ALONE, Way
from tests.slow import killing

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
KILLS = 30


@pytest.fixture(autouse=True)
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The policy that writes down what it is asked, for this process and those it starts; gives its log."""
    offer(tmp_path, monkeypatch)
    return tmp_path / "log"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undisturbed run; its log lies beside it."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        offer(folder, patch)
        build_run(folder / "run", parse(killing.phantom_recipe(), ()))
    return folder / "run"


def offer(folder: Path, patch: pytest.MonkeyPatch) -> None:
    killing.plugin(folder / "plugin")
    patch.syspath_prepend(folder / "plugin")
    patch.setenv("PYTHONPATH", os.pathsep.join((str(folder / "plugin"), str(ROOT))))
    patch.setenv(killing.LOG, str(folder / "log"))


def begin(plain: dict[str, Any], out: Path, way: Way = ALONE) -> Any:
    """The run in a forked process, which says nothing."""

    def work() -> None:
        console.file = open(os.devnull, "w")  # noqa: SIM115 - the process ends with it
        build_run(out, parse(plain, ()), way=way)

    return killing.forked(work)


def test_thirty_kills_anywhere_change_nothing(tmp_path: Path, whole: Path, noted: Path) -> None:
    plain, names = killing.phantom_recipe(), [name for _, name in killing.log_lines(whole.parent / "log")]
    all_marks = len(killing.marks(whole))
    assert len(names) == len(set(names)) and set(names) == killing.journaled(whole)
    kills = killing.Kills(tmp_path / "run", noted, lambda: begin(plain, tmp_path / "run"), random.Random(30))
    while kills.kills < KILLS:
        due = min(
            all_marks, all_marks * kills.kills // (KILLS - 3)
        )  # the last ones while dataset and report are written
        if not kills.kill_when(lambda: len(killing.marks(kills.out)) >= due, 0.1 if due < all_marks else 0.4):  # noqa: B023
            break
    assert kills.kills >= KILLS - 2, "the run ended too early"
    print(f"{kills.kills} kills, by the last stage begun: {dict(kills.where)}")
    assert not kills.kill_when(lambda: False, 0.0)
    killing.same_result(whole, kills.out)
    asked = [name for _, name in killing.log_lines(noted)]
    assert set(asked) == set(names)
    print(f"{len(names)} answers, {len(asked) - len(names)} were in flight at a kill and asked for again")
    assert not list(kills.out.glob("shards/*/*.tmp"))


def test_two_that_share_a_run_are_killed_in_turn(tmp_path: Path, whole: Path, noted: Path) -> None:
    plain, out, chance = killing.phantom_recipe(), tmp_path / "run", random.Random(8)
    kills = killing.Kills(out, noted, lambda: None, chance)
    both = [begin(plain, out, Way(share=True)) for _ in range(2)]
    while any(process.is_alive() for process in both):
        place = chance.randrange(2)
        both[place].join(0.8 * chance.random())
        if both[place].is_alive() and kills.kills < KILLS:
            before = killing.marks(out)
            both[place].kill()
            kills.kills += 1
            both[place].join()
            after = killing.marks(out)
            assert {name: after[name] for name in before} == before
            both[place] = begin(plain, out, Way(share=True))
    assert [process.exitcode for process in both] == [0, 0] and kills.kills >= 3
    killing.same_result(whole, out)
    asked = [name for _, name in killing.log_lines(noted)]
    assert set(asked) == killing.journaled(out)
    print(f"{kills.kills} kills; {len(asked) - len(set(asked))} of {len(set(asked))} answers asked for again")


# A disk that is full, and one that may not be written


def scene(tmp_path: Path, plain: dict[str, Any], script: str, kilobytes: int) -> Path:
    """Runs a shell script where $DISK is a small disk of its own; what it puts under $OUT is kept."""
    if not killing.may_mount():
        pytest.skip("no mount namespace here: unshare -rm is not permitted")
    disk, out, recipe = tmp_path / "disk", tmp_path / "out", tmp_path / "recipe.yaml"
    disk.mkdir(exist_ok=True)
    out.mkdir(exist_ok=True)
    recipe.write_text(yaml.safe_dump(plain, sort_keys=False))
    settings = {"DISK": disk, "OUT": out, "RECIPE": recipe, "MEDPRM": f"{sys.executable} -m medprm_hf.cli"}
    whole = f'set -u; mount -t tmpfs -o size={kilobytes}k none "$DISK"; {script}'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", whole],
        cwd=ROOT,
        env={**os.environ, **{name: str(value) for name, value in settings.items()}, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return out


FULL = """
$MEDPRM build "$RECIPE" --out "$DISK/run" >"$OUT/said" 2>&1; echo $? >"$OUT/code"
cp -r "$DISK/run" "$OUT/full"; wc -l <"$NOTED_LOG" >"$OUT/asked"
mount -o remount,size=64m "$DISK"
$MEDPRM resume "$DISK/run" >"$OUT/said2" 2>&1 && cp -rp "$DISK/run" "$OUT/run"
"""


@pytest.mark.parametrize("kilobytes", [150, 600, 1100])
def test_a_full_disk_loses_nothing(tmp_path: Path, whole: Path, noted: Path, kilobytes: int) -> None:
    noted.touch()
    out = scene(tmp_path, killing.phantom_recipe(), FULL, kilobytes)
    said = (out / "said").read_text()
    assert (out / "code").read_text().strip() == "1", said
    assert "No space left on device" in said or "the disk is full" in said, said
    assert "medprm resume" in said and "Traceback" not in said
    known, first = killing.journaled(out / "full"), int((out / "asked").read_text())
    later = [name for _, name in killing.log_lines(noted)[first:]]
    assert known.isdisjoint(later), "an answer that was on file was asked for again"
    killing.same_result(whole, out / "run")
    print(f"{kilobytes} KB: {said.strip().splitlines()[-1]}")


READ_ONLY = """
$MEDPRM build "$RECIPE" --out "$DISK/run" >"$OUT/said0" 2>&1
mount -o remount,ro "$DISK"
$MEDPRM status "$DISK/run" >"$OUT/status" 2>&1; echo $? >"$OUT/status_code"
$MEDPRM build "$RECIPE" --set rollout.k=3 --out "$DISK/run" >"$OUT/said" 2>&1; echo $? >"$OUT/code"
$MEDPRM resume "$DISK/run" >"$OUT/said1" 2>&1; echo $? >"$OUT/code1"
mount -o remount,rw "$DISK"
$MEDPRM build "$RECIPE" --out "$DISK/run" >"$OUT/said2" 2>&1 && cp -rp "$DISK/run" "$OUT/run"
"""


def test_a_read_only_disk_is_said_and_nothing_is_lost(tmp_path: Path, whole: Path) -> None:
    out = scene(tmp_path, killing.phantom_recipe(), READ_ONLY, 32_000)
    assert (out / "status_code").read_text().strip() == "0", (out / "status").read_text()
    for name in ("said", "said1"):
        said = (out / name).read_text()
        assert "Read-only file system" in said and "Traceback" not in said, said
    assert (out / "code").read_text().strip() == (out / "code1").read_text().strip() == "1"
    assert "nothing was to be done" in (out / "said2").read_text()
    killing.same_result(whole, out / "run")


def test_a_limit_on_the_size_of_files_is_said(tmp_path: Path, noted: Path) -> None:
    plain, recipe = killing.phantom_recipe(), tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(plain, sort_keys=False))
    command = [sys.executable, "-m", "medprm_hf.cli", "build", str(recipe), "--out", str(tmp_path / "run")]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limited)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said, said
    assert "medprm resume" in said
    known, first = killing.journaled(tmp_path / "run"), len(killing.log_lines(noted))
    build_run(tmp_path / "run", load(recipe))
    assert known.isdisjoint(name for _, name in killing.log_lines(noted)[first:])
