"""One row as a person wants to see it: steps coloured by label, counts, image size; then the file's statistics.

    ╭─ q1/0 ────────────────────────────────────────────╮
    │ Which side?   A. Left  B. Right   gold: A         │
    │ image 512 x 512 PNG, 180 kB                       │
    │  1  +  0.88  14/16  The left angle is blunted.    │
    │  2  -  0.00   0/16  So the answer is right.       │
    ╰───────────────────────────────────────────────────╯
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medprm_hf.errors import ConfigError
from medprm_hf.formats.base import Problem
from medprm_hf.formats.images import image_parts, image_suffix
from medprm_hf.formats.marks import step_labels
from medprm_hf.text.prompts import letter

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLOURS = {"+": "green", "-": "red", "0": "yellow", "?": "dim"}


def looked_at(
    found: Iterator[dict[str, Any] | Problem], path: Path, format_id: str, wanted: int
) -> RenderableType:
    """The chosen row as a panel, above a table of the file's label statistics."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    shown: Panel | None = None
    rows = steps = problems = 0
    labels: Counter[str] = Counter()
    for item in found:
        if isinstance(item, Problem):
            problems += 1
            continue
        rows += 1
        steps += len(item.get("steps") or [])
        labels.update(step_labels(item) if item.get("steps") else [])
        if rows == wanted:
            shown = _panel(item)
    if shown is None:
        raise ConfigError(f"{path} has {rows} readable rows; row {wanted} is not among them: name one from 1")
    told = f"{path}: {format_id}, {rows} rows, {steps} steps, {problems} problems"
    return Group(shown, Text(told), _statistics(labels))


def _panel(row: Mapping[str, Any]) -> Any:
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    title = Text(str(row.get("solution_id") or row.get("question_id")))
    return Panel(Group(*_question(row), _steps(row)), title=title, title_align="left")


def _question(row: Mapping[str, Any]) -> Iterator[Any]:
    from rich.text import Text

    yield Text(row["question"], style="bold")
    gold = row.get("answer_index")
    for place, option in enumerate(row.get("options") or []):
        mark = "  <- gold" if place == gold else ""
        yield Text(f"  {letter(place)}. {option}{mark}")
    if gold is None and row.get("answer"):
        yield Text(f"  gold: {row['answer']}")
    if row.get("final_answer"):
        right = {True: "right", False: "wrong", None: "not known to be right"}[row.get("is_correct")]
        yield Text(f"  answered: {row['final_answer']} ({right})")
    yield Text(describe_image(row.get("image")), style="dim")


def describe_image(image: Any) -> str:
    """Size and kind of an image, or why there is none to measure."""
    if image is None:
        return "no image"
    data, path = image_parts(image)
    if data is None:
        return f"image {path} (not loaded)"
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as opened:
            size = f"{opened.width} x {opened.height}"
    except (UnidentifiedImageError, OSError) as error:
        return f"image {path or ''} cannot be opened: {error}"
    kind = (image_suffix(data) or "").removeprefix(".").upper()
    return f"image {path or ''} {size} {kind}, {len(data):,} bytes".replace("  ", " ")


def _steps(row: Mapping[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, expand=False)
    for name, justify in (("#", "right"), ("label", "center"), ("mc", "right"), ("count", "right"), ("step", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    steps = row.get("steps") or []
    nothing = [None] * len(steps)
    mc, right, total, titles = (
        row.get(name) or nothing for name in ("expected_accuracy", "rollout_correct", "rollout_total", "step_titles")
    )
    for place, (text, label) in enumerate(zip(steps, step_labels(row) if steps else [], strict=True)):
        share = "" if mc[place] is None else f"{mc[place]:.2f}"
        count = "" if total[place] is None else f"{right[place]}/{total[place]}"
        said = f"{titles[place]}: {text}" if titles[place] else text
        cells = (str(place + 1), label, share, count, said)
        table.add_row(*(Text(cell) for cell in cells), style=_COLOURS[label])
    return table


def _statistics(labels: Counter[str]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("label", "steps", "share"):
        table.add_column(name, justify="right")
    for label in _COLOURS:
        share = labels[label] / labels.total() if labels.total() else 0.0
        table.add_row(label, str(labels[label]), f"{share:.1%}", style=_COLOURS[label])
    return table
