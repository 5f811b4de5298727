"""Runs a notebook offline, in a kernel of this very Python and a folder of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

FOLDER = Path(__file__).parents[2] / "notebooks"
SECONDS = 600
"""Of one cell at most; a whole notebook takes less than a minute on two quiet cores."""


def executed(file: Path, folder: Path) -> Any:
    """The notebook with its outputs; raises nbclient's CellExecutionError where a cell fails."""
    import nbformat
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from nbclient import NotebookClient

    here = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")
    own = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hub"),
        "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}})
    with patch.dict(os.environ, own), patch.object(KernelSpecManager, "get_kernel_spec", lambda *_: here):
        client.execute()
    return notebook


def tidy(notebook: Any) -> Any:
    """Without what a run leaves beside its results: standard error, counts, times."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
            for one in cell.outputs:
                if "execution_count" in one:
                    one["execution_count"] = None
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return notebook
