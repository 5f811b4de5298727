"""Training runs end to end at a size that says nothing about quality, and its loss falls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="pip install 'medprm-hf[train]'")
pytest.importorskip("transformers", reason="pip install 'medprm-hf[train]'")

import torch

from medprm_hf.errors import ConfigError
from medprm_hf.phantom.model import load
from medprm_hf.phantom.train import train_base, train_policy

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch >= 2.9 has Muon")


@needs_muon
def test_both_stages_train_and_save(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = train_base(tmp_path / "base", steps=50, batch=6, processes=1, compiled=False)
    assert float(capsys.readouterr().out.split("loss ")[1].split()[0]) < 1.0
    policy = train_policy(tmp_path / "policy", base=base, steps=2, batch=4, processes=1, compiled=False)
    assert json.loads((policy / "training.json").read_text())["name"] == "policy"
    before, after = load(base)[0], load(policy)[0]
    assert not torch.equal(before.lm_head.weight, after.lm_head.weight)


@pytest.mark.slow
@needs_muon
def test_processes_share_a_batch(tmp_path: Path) -> None:
    out = train_base(tmp_path / "base", steps=2, batch=8, processes=2, compiled=False)
    assert json.loads((out / "training.json").read_text())["processes"] == 2


def test_an_old_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ConfigError, match=r"needs torch >= 2\.9"):
        train_base(tmp_path, steps=1)
