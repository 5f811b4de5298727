"""Marks for pages that carry none themselves (README.md, CONTRIBUTING.md) and pages that others write.

By page, and how the block or its heading begins.
"""

from __future__ import annotations

from dataclasses import replace

from tests.docs.blocks import Block

MARKS: dict[tuple[str, str], str] = {
    ("README.md", "make demo"): "show-only tests/slow/test_demo.py makes the demo; the other is this very test",
    ("README.md", "Quick start"): "elsewhere tests/house/test_using.py",
    ("README.md", "medprm init hybrid"): "slow needs=openai,hub",
    ("README.md", "from medprm_hf import Merge, Rollout"): "slow",
    ("CONTRIBUTING.md", "make setup"): "show-only it installs, and runs these tests",
    ("results.md", "python -m tests.figures"): "show-only it is hours of benchmarks",
    ("publishing.md", "medprm publish runs/demo/prm"): "slow needs=hub",
    ("reviewing.md", "medprm build recipe.yaml"): "slow needs=openai",
    ("scale.md", "pip install 'medprm-hf[ray]'"): "elsewhere tests/slow/test_ray.py",
    ("scale.md", "#!/bin/bash"): "show-only it needs a Slurm cluster and GPUs; --share itself is run above it",
    ("scale.md", "hf jobs run"): "show-only it starts a paid machine",
    ("space.md", "pip install"): "slow needs=hub",
    ("space.md", "medprm space --write-folder"): "slow needs=hub",
    ("space.md", "from gradio_client"): "slow needs=hub",
}


def marked(block: Block) -> Block:
    """The block with its mark, from the page or from here."""
    if block.run:
        return block
    own = [(start, run) for (page, start), run in MARKS.items() if page == block.page]
    run = next((run for start, run in own if block.first.startswith(start) or block.heading.startswith(start)), "")
    return replace(block, run=run)
