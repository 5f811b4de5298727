"""docs/using.md and README's quick start: every block is run, section by section, against a stocked local Hub."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from medprm_hf.hub import HubRepo
from tests.house.page_runner import sections
from tests.hub.fixtures import TestHub

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "using.md"
DATASET, PRM, POLICY = "org/medmm-prm", "org/medmm-prm-model", "Qwen/Qwen2.5-0.5B-Instruct"
QUICK = ("Load the data", "Correct a label", "Score with the PRM", "Label with your own models")
SLOW = ("See what a PRM says", "Train with it")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def upload(hub: TestHub, name: str, folder: Path, kind: str) -> None:
    repo = HubRepo(name, kind, hub.token("owner"), hub.url)  # type: ignore[arg-type]
    repo.create(private=False)
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    repo.commit(files, "for the guide")


@pytest.fixture(scope="module")
def stocked(hub_server: TestHub, tmp_path_factory: pytest.TempPathFactory) -> TestHub:
    """The Hub with the dataset, published as `medprm publish` does, and the shipped PRM under the guide's names."""
    from huggingface_hub import constants

    from medprm_hf.phantom.model import checkpoint
    from medprm_hf.publishing.publish import publish
    from tests.publishing.tables import reviewed, rows, table, wish

    folder = tmp_path_factory.mktemp("guide")
    content = [reviewed(one) if one["solution_id"] in ("q3-s1", "q1-s0") else one for one in rows()]
    publish(table(folder, content), None, out=folder / "out", wish=wish(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        upload(hub_server, DATASET, folder / "out", "dataset")
        upload(hub_server, PRM, checkpoint("prm"), "model")
    return hub_server


def run(hub: TestHub, section: str, folder: Path, page: Path = PAGE) -> str:
    around = hub.environment("contributor", folder / "home")
    around["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{around['PATH']}"
    around["OMP_NUM_THREADS"] = "1"
    around["GRADIO_ANALYTICS_ENABLED"] = "False"
    ports = [f"{port}={free_port()}" for port in (7860, 8080)]
    runner = [sys.executable, str(ROOT / "tests" / "house" / "page_runner.py"), str(page), section, *ports]
    done = subprocess.run(runner, env=around, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{section}\n{done.stdout[-3000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_every_section_is_run_and_every_block_can_be() -> None:
    found = sections(PAGE.read_text())
    assert set(found) == {*QUICK, *SLOW}
    assert all(language in ("python", "bash") for blocks in found.values() for language, _ in blocks)


def test_load(stocked: TestHub, tmp_path: Path) -> None:
    said = run(stocked, "Load the data", tmp_path)
    assert "Which follow-up for case 0?" in said and "+ 0.9 A nodule of 3 mm is seen." in said


def test_correct(stocked: TestHub, hub: TestHub, tmp_path: Path) -> None:
    said = run(stocked, "Correct a label", tmp_path)
    assert "contradict" in said
    repo = HubRepo(DATASET, "dataset", stocked.token("owner"), stocked.url)
    assert any("wrong side" in one.description or one.number for one in repo.pull_requests())


@pytest.mark.slow
def test_score(stocked: TestHub, tmp_path: Path) -> None:
    from tests.publishing.tables import rows, table

    (table(tmp_path, rows(2))).rename(tmp_path / "corrected.jsonl")
    said = run(stocked, "Score with the PRM", tmp_path)
    scores = [float(number) for number in re.findall(r"0\.\d+", said)]
    assert len(scores) >= 7 and all(0 <= one <= 1 for one in scores)
    assert (tmp_path / "scores.jsonl").read_text().count("\n") == 4


@pytest.mark.slow
def test_label(stocked: TestHub, tmp_path: Path) -> None:
    assert "[" in run(stocked, "Label with your own models", tmp_path)


@pytest.mark.slow
def test_see(stocked: TestHub, tmp_path: Path) -> None:
    assert "[" in run(stocked, "See what a PRM says", tmp_path)


@pytest.mark.slow
def test_train(stocked: TestHub, hub: TestHub, text_policy: Path, tmp_path: Path) -> None:
    upload(stocked, POLICY, text_policy, "model")
    assert "train_loss" in run(stocked, "Train with it", tmp_path)


@pytest.mark.slow
def test_quick_start_of_the_readme(stocked: TestHub, tmp_path: Path) -> None:
    readme = ROOT / "README.md"
    if "Quick start" not in sections(readme.read_text()):
        pytest.skip("README.md has no section Quick start")
    assert "pull request" in run(stocked, "Quick start", tmp_path, readme)


@pytest.fixture
def text_policy(tmp_path: Path) -> Path:
    """A tiny untrained Qwen2 with the phantom world's tokenizer, under the name of the guide's policy."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from medprm_hf.phantom.model import build_tokenizer

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "policy")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(tmp_path / "policy")
    return tmp_path / "policy"
