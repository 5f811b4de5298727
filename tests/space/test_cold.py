"""A cold deployment: a folder with only space/ and the wheel, `pip install -r requirements.txt`, `python app.py`.

What the wheel depends on is lent from this environment, so that nothing is downloaded; medprm-hf itself comes from the
wheel alone, as do its static files and texts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from tests.space.conftest import ROOT, ask, wait_for
from tests.space.review_server import free_port

pytestmark = pytest.mark.slow
GOAL = 15.0
"""Seconds to the first answer."""


def build_wheel(out: Path) -> None:
    """The wheel of this checkout."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(out),
        str(ROOT),
    ]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr[-2000:]


def environment_of(folder: Path, wheels: Path) -> Path:
    """A fresh environment with requirements.txt installed; gives its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=120)
    python = folder / "venv" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    install = [python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--find-links", str(wheels)]
    subprocess.run([*install, "-r", "requirements.txt"], cwd=folder, check=True, timeout=300)
    # Lent only now: pip must not find the checkout's own medprm-hf.
    (Path(site) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def test_a_folder_with_only_the_space_and_the_wheel_starts(tmp_path: Path) -> None:
    folder, wheels, port = tmp_path / "space", tmp_path / "wheels", free_port()
    build_wheel(wheels)
    shutil.copytree(ROOT / "space", folder)
    python = environment_of(folder, wheels)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEDPRM_", "PYTHON"))}
    where = [python, "-c", "import medprm_hf; print(medprm_hf.__file__)"]
    assert str(folder) in subprocess.run(where, cwd=folder, env=kept, capture_output=True, text=True).stdout
    log = folder / "app.log"
    begun = time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen(
            [python, "app.py"], cwd=folder, stdout=out, stderr=out,
            env={**kept, "PORT": str(port), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for(url, process, log)
        answered = time.monotonic() - begun
        status, example = ask(url + "score/api/examples/rule")
        status, told = ask(url + "score/api/score", example)
        print(f"first page after {answered:.1f} s, first score after {time.monotonic() - begun:.1f} s")
        assert (status, told["solutions"][0]["falls_at"]) == (200, 4)
        assert answered < GOAL
    finally:
        process.terminate()
        process.wait(20)
