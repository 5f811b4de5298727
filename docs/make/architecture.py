"""Draws docs/pictures/architecture.svg from the import graph: the rooms of the package on their floors, and who asks.

python docs/make/architecture.py            writes the picture
python docs/make/architecture.py --check    exit code 1 where the picture is older than the code

An arrow that follows from others (a asks b, b asks c, so a may know c) is left out, and so are those to the two lowest
floors, which everybody stands on. What remains is what a newcomer has to know. The picture is plain SVG, written here
number by number, so that the same code gives the same bytes everywhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from tests.house.test_floors import FILES, FLOORS, imports, room_of  # noqa: E402

PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
WIDTH, ROW, TOP, LEFT, HIGH = 1120, 84, 64, 176, 34
GROUND = 2
"""Floors that everybody stands on: no arrows lead there."""
NAMES = {
    "cli": "command line",
    "app": "the Space",
    "runs": "runs",
    "stages": "what a run is made of",
    "scoring": "scores, datasets",
    "recipe": "building blocks",
    "specs": "settings",
    "labels": "the science",
    "text": "text, images, Hub",
    "schema": "the table",
    "errors": "ground",
}
"""What a floor is about, by one of its rooms."""
INKS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56758f")

Arrow = tuple[str, str]


def rooms() -> dict[str, int]:
    """Each room's floor, 1 lowest; the specs files are one room."""
    return {_one(room): number for number, floor in enumerate(FLOORS, start=1) for room in floor}


def arrows() -> set[Arrow]:
    """(who imports, what) between rooms, as the files have it."""
    found = {
        (_one(room_of(file)), _one(module.split(".")[1]))
        for file in FILES
        if room_of(file) != "__init__"
        for module in imports(file)
    }
    return {(above, below) for above, below in found if above != below}


def shown(all_arrows: set[Arrow]) -> list[Arrow]:
    """Without those to the ground, and without those that follow from others."""
    floor = rooms()
    kept = {(a, b) for a, b in all_arrows if floor[b] > GROUND}
    below: dict[str, set[str]] = {}
    for a, b in sorted(kept, key=lambda arrow: floor[arrow[0]]):  # from the ground up: below[b] is whole by then
        below.setdefault(a, set()).update({b} | below.get(b, set()))
    follows = {(a, c) for a, c in kept for a2, b in kept if a2 == a and b != c and c in below.get(b, set())}
    return sorted(kept - follows)


def picture() -> str:
    """The whole SVG."""
    places, floor = _places(), rooms()
    height = TOP + ROW * len(FLOORS) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" role="img">',
        f"<title>{escape('Rooms of medprm_hf on their floors; a room imports from rooms below it alone')}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="30" font-size="17" fill="#222">medprm_hf: who imports whom</text>',
        '<text x="16" y="50" font-size="12" fill="#555">Only downwards. Left out: arrows that follow from others, '
        "and those to the two lowest floors, on which everybody stands.</text>",
    ]
    lines += [_floor(number, names) for number, names in enumerate(FLOORS, start=1)]
    lines += [_arrow(places[a], places[b], INKS[floor[a] % len(INKS)]) for a, b in shown(arrows())]
    lines += [_box(name, x, y) for name, (x, y) in places.items()]
    return "\n".join([*lines, "</svg>\n"])


def _one(room: str) -> str:
    return "specs" if room.startswith("specs") else room


def _places() -> dict[str, tuple[int, int]]:
    """Middle of each room's upper edge."""
    found: dict[str, tuple[int, int]] = {}
    for number, floor in enumerate(FLOORS, start=1):
        names = list(dict.fromkeys(map(_one, floor)))
        step = (WIDTH - LEFT) / len(names)
        for place, name in enumerate(names):
            found[name] = round(LEFT + step * (place + 0.5)), _upper(number) + 22
    return found


def _upper(number: int) -> int:
    return TOP + ROW * (len(FLOORS) - number)


def _floor(number: int, names: tuple[str, ...]) -> str:
    about = next((NAMES[name] for name in names if name in NAMES), "")
    shade = "#f3f5f8" if number % 2 else "#e9edf2"
    y = _upper(number)
    return (
        f'<rect x="8" y="{y}" width="{WIDTH - 16}" height="{ROW - 4}" rx="6" fill="{shade}"/>'
        f'<text x="22" y="{y + 34}" font-size="14" font-weight="bold" fill="#333">{number}</text>'
        f'<text x="22" y="{y + 54}" font-size="12" fill="#555">{escape(about)}</text>'
    )


def _box(name: str, x: int, y: int) -> str:
    wide = 20 + 9 * len(name)
    return (
        f'<rect x="{x - wide // 2}" y="{y}" width="{wide}" height="{HIGH}" rx="5" fill="#fff" stroke="#56606b"/>'
        f'<text x="{x}" y="{y + 22}" font-size="14" text-anchor="middle" fill="#111">{escape(name)}</text>'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int], ink: str) -> str:
    (x1, y1), (x2, y2) = (start[0], start[1] + HIGH), end
    bend = (y2 - y1) // 2
    tip = f"{x2 - 4},{y2 - 7} {x2 + 4},{y2 - 7} {x2},{y2}"
    return (
        f'<path d="M{x1} {y1} C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2 - 6}" fill="none" stroke="{ink}" '
        f'stroke-opacity="0.65" stroke-width="1.6"/><polygon points="{tip}" fill="{ink}"/>'
    )


def main() -> None:
    """Writes the picture, or says that it is old."""
    if "--check" in sys.argv:
        sys.exit(
            PICTURE.read_text(encoding="utf-8") != picture() and f"{PICTURE} is old: python docs/make/architecture.py"
        )
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"wrote {PICTURE}: {len(rooms())} rooms, {len(shown(arrows()))} of {len(arrows())} arrows")


if __name__ == "__main__":
    main()
