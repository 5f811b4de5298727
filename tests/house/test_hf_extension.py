"""`hf medprm …`: the unmodified `hf` command finds us by its own dispatch, from a hand-made manifest."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub.cli.extensions", reason="huggingface_hub without extensions of its command")
from huggingface_hub.cli.extensions import EXTENSIONS_ROOT, ExtensionManifest  # noqa: E402

PROGRAMS = Path(sys.executable).parent
OURS = PROGRAMS / "hf-medprm"
HF = PROGRAMS / "hf"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory in which hf-medprm counts as installed, as `hf extensions install` would leave it."""
    for program in (OURS, HF):
        if not program.is_file():
            pytest.skip(f"no {program.name} beside this Python: pip install -e .")
    folder = tmp_path / EXTENSIONS_ROOT.relative_to("~") / "hf-medprm"
    ExtensionManifest(
        owner="medprm-hf",
        repo="hf-medprm",
        repo_id="medprm-hf/hf-medprm",
        short_name="medprm",
        executable_path=str(OURS),
        type="python",
        installed_at=datetime(2026, 1, 1, tzinfo=UTC),
        description="Step labels and process reward models for medicine",
        commit_sha="0" * 40,
    ).save(folder)
    return tmp_path


def hf(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    around = {
        **os.environ,
        "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "NO_COLOR": "1",
    }
    return subprocess.run([str(HF), *arguments], env=around, cwd=home, capture_output=True, text=True, timeout=120)


def test_hf_help_names_us(home: Path) -> None:
    done = hf(home, "--help")
    assert done.returncode == 0, done.stderr
    assert "medprm" in done.stdout and "Step labels and process reward models" in done.stdout


def test_hf_medprm_is_our_command(home: Path) -> None:
    done = hf(home, "medprm", "--help")
    assert done.returncode == 0, done.stderr
    assert "medprm demo" in done.stdout and "import" in done.stdout


def test_words_options_and_files_reach_us(home: Path) -> None:
    done = hf(home, "medprm", "init", "hybrid", "--out", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert (home / "recipe.yaml").read_text().startswith("#")


def test_our_exit_code_and_message_come_back(home: Path) -> None:
    done = hf(home, "medprm", "init", "hybird")
    assert done.returncode == 1
    assert "did you mean hybrid" in done.stderr and "Traceback" not in done.stderr


def test_without_the_manifest_hf_knows_no_such_word(home: Path) -> None:
    (home / EXTENSIONS_ROOT.relative_to("~") / "hf-medprm" / "manifest.json").unlink()
    done = hf(home, "medprm", "--help")
    assert done.returncode != 0
