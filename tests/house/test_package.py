"""What a stranger meets first: a quick import, the public names, the version, no leaks of a machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import medprm_hf

ROOT = Path(__file__).parents[2]


def test_import_is_quick_and_light() -> None:
    code = (
        "import time, sys; t = time.perf_counter(); import medprm_hf; s = time.perf_counter() - t; "
        "heavy = {'torch', 'transformers', 'datasets', 'matplotlib', 'aiohttp', 'pandas'} & set(sys.modules); "
        "print(s); assert not heavy, heavy"
    )
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 0.5


def test_public_names_are_there_and_documented() -> None:
    assert medprm_hf.__all__ == sorted(medprm_hf.__all__)
    assert set(medprm_hf.__all__) == set(medprm_hf._PUBLIC)
    for name in medprm_hf.__all__:
        value = getattr(medprm_hf, name)
        assert name == "COLUMNS" or value.__doc__, name


def test_unknown_name_is_told() -> None:
    try:
        medprm_hf.Rolout  # noqa: B018
    except AttributeError as error:
        assert "Rollout" in str(error)


def test_version_matches_pyproject() -> None:
    assert f'version = "{medprm_hf.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_no_machine_path_or_index_in_committed_files() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    home = re.escape(os.path.expanduser("~") + "/")
    leak = re.compile(rf"{home}|/{'work'}/|{'index'}-url|/{'opt'}/|{'pypi'}\.org")
    for name in files:
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".lock", ".json", ".j2"}
            and path.stat().st_size < 500_000
        ):
            for number, line in enumerate(path.read_text(errors="replace").split("\n"), 1):
                assert not leak.search(line), f"{name}:{number}: {line.strip()[:100]}"
