"""Pictures of every tab in every look, into MEDPRM_PICTURES (a temporary folder where that is not set)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.space.pictures import LOOKS, SCENES, take

pytestmark = pytest.mark.slow


def test_every_tab_is_pictured(browser: Any, space_url: str, tmp_path: Path) -> None:
    out = Path(os.environ.get("MEDPRM_PICTURES") or tmp_path / "pictures")
    files = take(browser, space_url, out)
    assert len(files) == len(SCENES) * len(LOOKS)
    for file in files:
        grey = np.asarray(Image.open(file).convert("L"))
        assert grey.std() > 2, f"{file.name} is blank"
        assert (grey.mean() < 110) == file.stem.endswith("-dark"), f"{file.name} is in the wrong colours"
