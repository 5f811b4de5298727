"""The command line: every word teaches, errors are one line with a way out, README's commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from medprm_hf.cli import app

ROOT = Path(__file__).parents[2]
COMMANDS = typer.main.get_command(app)


def words() -> list[list[str]]:
    """Every command as its words, subcommands included."""
    found = []
    for name, command in COMMANDS.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [[name, sub] for sub in inner] if inner else [[name]]
    return found


def medprm(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "medprm_hf.cli", *arguments], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("command", words(), ids=" ".join)
def test_every_command_teaches(command: list[str]) -> None:
    here = COMMANDS
    for word in command:
        here = here.commands[word]  # type: ignore[attr-defined]
    assert here.help and len(here.help) > 30
    for parameter in here.params:
        text = getattr(parameter, "help", None)
        assert text or parameter.name == "help", f"{' '.join(command)}: {parameter.name} has no help"


def test_help_and_bare_call_show_the_words() -> None:
    for arguments in (("--help",), ("phantom", "--help")):
        done = medprm(*arguments)
        assert done.returncode == 0
        assert "Usage" in done.stdout


def test_init_writes_a_recipe_that_loads(tmp_path: Path) -> None:
    from medprm_hf.recipe import load

    for kind in ("phantom", "visualprm", "medprm", "hybrid", "cheap"):
        done = medprm("init", kind, "--out", str(tmp_path / f"{kind}.yaml"))
        assert done.returncode == 0, done.stderr
        assert load(tmp_path / f"{kind}.yaml").stages
    again = medprm("init", "hybrid", "--out", str(tmp_path / "hybrid.yaml"))
    assert again.returncode == 1 and "is there already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("init", "hybird"), "did you mean hybrid"),
        (("build", "lost.yaml"), "no recipe at lost.yaml"),
        (("resume", "runs/lost"), "holds no run"),
        (("status", "runs/lost"), "holds no run"),
        (("phantom", "card", "bass"), "did you mean base"),
        (("phantom", "sample", "x", "--split", "tset"), "did you mean test"),
    ],
)
def test_errors_are_one_line_with_the_way_out(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = medprm(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_phantom_sample_writes_images_and_truth(tmp_path: Path) -> None:
    done = medprm("phantom", "sample", str(tmp_path), "--n", "3")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.png"))) == 3
    assert (tmp_path / "questions.jsonl").read_text().count("true_steps") == 3


def test_readme_names_only_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    known = {" ".join(command) for command in words()} | {command[0] for command in words()}
    named = re.findall(r"^\$? ?medprm ([a-z-]+)", readme, re.MULTILINE)
    assert named, "README shows no command"
    assert set(named) <= known
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", readme)) <= targets


def test_readme_python_names_are_public() -> None:
    import medprm_hf

    readme = (ROOT / "README.md").read_text()
    for names in re.findall(r"from medprm_hf import ([\w, ]+)", readme):
        assert {name.strip() for name in names.split(",")} <= set(medprm_hf.__all__)
