"""The picture of the architecture is what the import graph says, and shows every room."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys

from tests.docs.blocks import ROOT

MADE = runpy.run_path(str(ROOT / "docs" / "make" / "architecture.py"))


def test_the_picture_is_current() -> None:
    command = [sys.executable, "docs/make/architecture.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_shows_every_room_and_no_arrow_upwards() -> None:
    text = (ROOT / "docs" / "pictures" / "architecture.svg").read_text(encoding="utf-8")
    floors, arrows = MADE["rooms"](), MADE["arrows"]()
    assert set(re.findall(r'text-anchor="middle"[^>]*>(\w+)<', text)) == set(floors)
    assert all(floors[above] > floors[below] for above, below in arrows)


def test_what_is_left_out_follows_from_what_is_shown() -> None:
    shown, floors = set(MADE["shown"](MADE["arrows"]())), MADE["rooms"]()
    reach = {room: {room} for room in floors}
    for _ in floors:
        for above, below in shown:
            reach[above] |= reach[below]
    left_out = {(a, b) for a, b in MADE["arrows"]() if floors[b] > MADE["GROUND"]} - shown
    assert shown and not {(a, b) for a, b in left_out if b not in reach[a]}


def test_contributing_shows_it_and_names_every_floor() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "docs/pictures/architecture.svg" in page
    rows = {int(number): line for number, line in re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE)}
    lacking = [room for room, floor in MADE["rooms"]().items() if f"`{room}`" not in rows.get(floor, "")]
    assert not lacking, f"CONTRIBUTING.md names no floor of {lacking}"
