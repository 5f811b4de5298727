"""Marks for pages that carry none themselves: README.md and CONTRIBUTING.md, by page and first line of the block."""

from __future__ import annotations

from dataclasses import replace

from tests.docs.blocks import Block

MARKS: dict[tuple[str, str], str] = {
    ("README.md", "make demo"): "show-only tests/slow/test_demo.py makes the demo; the other is this very test",
    ("CONTRIBUTING.md", "make setup"): "show-only it installs, and runs these tests",
}


def marked(block: Block) -> Block:
    """The block with its mark, from the page or from here."""
    if block.run:
        return block
    run = next(
        (run for (page, first), run in MARKS.items() if page == block.page and block.first.startswith(first)), ""
    )
    return replace(block, run=run)
