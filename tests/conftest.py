"""Fixtures that several areas share: a tiny untrained checkpoint, and a real vLLM server with the shipped policy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before transformers is imported: tests never ask the Hub for anything.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tiny Qwen2.5-VL with the phantom world's tokenizer; its samples are noise, and long."""
    from medprm_hf.phantom import model

    return model.save(*model.build(seed=0), tmp_path_factory.mktemp("tiny") / "checkpoint")
