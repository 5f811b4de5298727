"""Runs the notebooks anew and keeps their pictures, so that GitHub shows them: python -m tests.notebooks [NAME …]."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat

from tests.notebooks.running import FOLDER, executed, tidy

for name in sys.argv[1:] or sorted(file.stem for file in FOLDER.glob("*.ipynb")):
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(tidy(executed(FOLDER / f"{name}.ipynb", Path(folder))), FOLDER / f"{name}.ipynb")
    print(name, (FOLDER / f"{name}.ipynb").stat().st_size)
