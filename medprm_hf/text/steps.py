"""A solution's text cut into steps, each with its place in the text.

Three forms are read, the first that fits:

1. titled JSON steps: `{"steps": [{"title": …, "text": …}, …]}` or a bare list of such objects, also in a
   fence, with words around it, or cut off (whole steps are kept);
2. marked steps: lines that begin with `Step n:` in any case, with markdown (`**Step 1:**`, `## Step 1:`) and
   with `.`, `)` or a dash for the colon. A marker inside a line counts only after the end of a sentence, with a
   colon, and with the next number;
3. blocks between blank lines; a heading (`### Findings`) titles the block below it.

Text before the first marker is a step of its own if it states something; a mere announcement (it ends with a
colon, or has no words) belongs to the first step's span and to no step's text. An answer line stays where it
was written: behind the last step's text, or as a step of its own where it has a marker or a block.
Nothing is ever dropped to reach `at_most`: neighbours are joined, ceil(n / at_most) at a time, as VisualPRM
does (arXiv 2503.10291, section 3; at most 12 steps).

    >>> solution = "Step 1: A nodule, 7 mm.\\nStep 2: So CT at 6-12 months.\\nAnswer: B"
    >>> steps = split_steps(solution)
    >>> [step.text for step in steps]
    ['A nodule, 7 mm.', 'So CT at 6-12 months.\\nAnswer: B']
    >>> prefix_text(solution, steps, 0)
    'Step 1: A nodule, 7 mm.'
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.text.jsonish import list_items

MAX_STEPS = 12
"""Steps at most, as in VisualPRM."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a solution."""

    title: str
    """Its title; empty where it has none."""
    text: str
    """Its text without marker and title; empty for an empty step."""
    start: int
    """Index in the solution where the step begins, marker included."""
    end: int
    """Index in the solution after its last character, white space behind it left out."""


def split_steps(solution: str, at_most: int = MAX_STEPS) -> list[Step]:
    """The steps of a solution in order, at most `at_most`; an empty list for white space.

    Raises ConfigError where `at_most` is below 1.
    """
    if at_most < 1:
        raise ConfigError(f"steps.at_most={at_most} leaves no step: use 1 or more (VisualPRM: {MAX_STEPS})")
    return _merge(_json_steps(solution) or _marked_steps(solution) or _blocks(solution), at_most)


def prefix_text(solution: str, steps: Sequence[Step], j: int) -> str:
    """The exact source text that ends with `steps[j]` (from 0), for a model to continue.

    For JSON steps too this is source text: it ends with the j-th object's closing brace, so the model goes on
    inside the list, and prefix + continuation is again one JSON text.
    """
    if not 0 <= j < len(steps):
        raise DataError(f"there is no step {j} among {len(steps)}: prefixes count from 0")
    return solution[: steps[j].end].rstrip()


def render_steps(titles: Sequence[str], texts: Sequence[str]) -> str:
    """Steps as plain `Step n: title: text` lines: for a model that did not write them in its own form."""
    pairs = zip(titles, texts, strict=True)
    return "\n".join(
        f"Step {n}: {f'{title}: ' if title else ''}{text}" for n, (title, text) in enumerate(pairs, start=1)
    )


def _merge(steps: list[Step], at_most: int) -> list[Step]:
    size = -(-len(steps) // at_most)
    if size <= 1:
        return steps
    return [_join(steps[i : i + size]) for i in range(0, len(steps), size)]


def _join(group: list[Step]) -> Step:
    title = "; ".join(step.title for step in group if step.title)
    text = "\n\n".join(step.text for step in group if step.text)
    return Step(title, text, group[0].start, group[-1].end)


# --- titled JSON steps ---------------------------------------------------------------------------------------

_TITLES = ("title", "name", "heading", "category")
_TEXTS = ("text", "content", "reasoning", "explanation", "description", "step")


def _json_steps(solution: str) -> list[Step]:
    if "{" not in solution and "[" not in solution:
        return []
    items = list_items(solution, "steps", "solution_steps", "reasoning_steps")
    readable = [item for item in items if isinstance(item.value, str) or _looks_like_step(item.value)]
    if len(readable) < len(items):
        return []
    return [Step(*_title_and_text(item.value), item.start, item.end) for item in items]


def _looks_like_step(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(key), str) for key in (*_TEXTS, *_TITLES))


def _title_and_text(value: Any) -> tuple[str, str]:
    if isinstance(value, str):
        return "", value.strip()
    title, text = (_first_string(value, names) for names in (_TITLES, _TEXTS))
    return title, text


def _first_string(value: dict[str, Any], names: Sequence[str]) -> str:
    return next((value[name].strip() for name in names if isinstance(value.get(name), str)), "")


# --- marked steps --------------------------------------------------------------------------------------------

# All repetitions are bounded, so that no text makes the search slow.
_EMPHASIS = r"(?:\*{2,3}|_{2,3}|\*|_)?"
_LINE_MARKER = re.compile(
    rf"""^[ \t]{{0,20}} (?:(?P<heading>\#{{1,6}})[ \t]{{0,4}} | [-*+•>][ \t]{{1,4}})?
    (?P<opened>{_EMPHASIS}) step [ \t]{{0,4}} (?P<number>\d{{1,3}}) (?P<inner>{_EMPHASIS}) [ \t]{{0,4}}
    (?: (?: [:：)] | \.(?!\d) | [-–—](?=[ \t]) ) (?: (?P<outer>{_EMPHASIS}) (?=\s|\Z) )?  |  (?=\r?$) )""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_INLINE_MARKER = re.compile(
    r"(?:(?<=[.!?;)\]\"”*+-])|(?<=\bки))[ \t]{1,4}"
    r"(?P<marker>\*{0,2}step[ \t]{1,4}(?P<number>\d{1,3})[ \t]{0,2}:(?:\*\*)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Marker:
    start: int
    end: int
    number: int
    is_heading: bool = False
    """It stands in a `#` heading."""
    emphasis: str = ""
    """Emphasis that it opens and leaves open, as in `**Step 1: Look**`."""


def _markers(solution: str) -> list[_Marker]:
    lines = [
        _Marker(
            m.start(),
            m.end(),
            int(m["number"]),
            bool(m["heading"]),
            "" if m["inner"] or m["outer"] else m["opened"],
        )
        for m in _LINE_MARKER.finditer(solution)
    ]
    at_line_start = {marker.end for marker in lines}
    inline = [
        _Marker(m.start("marker"), m.end(), int(m["number"]))
        for m in _INLINE_MARKER.finditer(solution)
        if m.end() not in at_line_start
    ]
    markers: list[_Marker] = []
    for marker in sorted([*lines, *inline], key=lambda marker: marker.start):
        follows = marker.number == (markers[-1].number + 1 if markers else 1)
        if follows or marker.end in at_line_start:
            markers.append(marker)
    return markers


def _marked_steps(solution: str) -> list[Step]:
    markers = _markers(solution)
    if not markers:
        return []
    before = solution[: markers[0].start].strip()
    stated = _states_something(before)
    steps = [Step("", before, 0, len(solution[: markers[0].start].rstrip()))] if stated else []
    ends = [*(marker.start for marker in markers[1:]), len(solution)]
    for marker, end in zip(markers, ends, strict=True):
        start = marker.start if steps else 0
        title, text = _title_below_marker(marker, solution[marker.end : end])
        steps.append(Step(title, text, start, start + len(solution[start:end].rstrip())))
    return steps


def _states_something(text: str) -> bool:
    return bool(re.search(r"\w", text)) and not text.rstrip("*_ \t").endswith((":", "："))


def _title_below_marker(marker: _Marker, body: str) -> tuple[str, str]:
    """(title, text): the rest of a heading's line is a title where text follows below it."""
    line, _, rest = body.partition("\n")
    line, emphasis = line.strip(), marker.emphasis
    whole_line = marker.is_heading or (emphasis and line.rstrip(" :").endswith(emphasis))
    if line and rest.strip() and whole_line and line.count(emphasis or "\0") <= 1:
        return line.strip("*_#: \t"), rest.strip()
    if emphasis:  # "**Step 1: A nodule.** It is solid.": the closing half of the pair goes with the marker
        body = body.replace(emphasis, "", 1)
    return "", body.strip()


# --- blocks between blank lines ------------------------------------------------------------------------------

_BLANK = re.compile(r"\n(?:[ \t\r]*\n)+")
_HEADING = re.compile(r"#{1,6}[ \t]+(?P<title>[^\n]{1,120})|\*\*(?P<bold>[^*\n]{1,120}):(?:\*\*|\*\*:)")


def _blocks(solution: str) -> list[Step]:
    steps: list[Step] = []
    title, title_start, last = "", -1, len(solution.rstrip())
    for begin, end in _spans(solution):
        block = solution[begin:end]
        heading = _HEADING.fullmatch(block.strip())
        if heading and end < last:
            title = (heading["title"] or heading["bold"]).strip("*_: \t")
            title_start = begin
        elif re.search(r"\w", block):
            start = title_start if title else begin
            steps.append(Step(title, block.strip(), start, begin + len(block.rstrip())))
            title = ""
    return steps


def _spans(solution: str) -> list[tuple[int, int]]:
    gaps = [(match.start(), match.end()) for match in _BLANK.finditer(solution)]
    starts = [0, *(end for _, end in gaps)]
    ends = [*(start for start, _ in gaps), len(solution)]
    return list(zip(starts, ends, strict=True))
