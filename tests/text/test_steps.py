"""Splitting solutions into steps: forms, spans, prefixes, merging, and text that must survive."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.text.steps import Step, prefix_text, render_steps, split_steps
from tests.growth import grows_with_length

TABLE: list[tuple[str, list[tuple[str, str]]]] = [
    # marked steps
    ("Step 1: a\nStep 2: b", [("", "a"), ("", "b")]),
    ("step 1. a\nSTEP 2) b\nStep 3 - c\nStep4: d", [("", "a"), ("", "b"), ("", "c"), ("", "d")]),
    ("**Step 1:** a\n**Step 2**: b\n__Step 3:__ c", [("", "a"), ("", "b"), ("", "c")]),
    ("## Step 1: a\n\n### Step 2: b", [("", "a"), ("", "b")]),
    ("- Step 1: a\n* Step 2: b\n> Step 3: c", [("", "a"), ("", "b"), ("", "c")]),
    ("## Step 1: Look\nat it\n## Step 2\nthink", [("Look", "at it"), ("", "think")]),
    ("**Step 1: Look**\nat it\n**Step 2: Think:**\nhard", [("Look", "at it"), ("Think", "hard")]),
    ("**Step 1: A nodule.** It is solid.", [("", "A nodule. It is solid.")]),
    ("Step 1: a\nand more\n\nstill\nStep 2: b", [("", "a\nand more\n\nstill"), ("", "b")]),
    ("Step 1: a\nStep 2: b\nAnswer: B", [("", "a"), ("", "b\nAnswer: B")]),
    ("Step 1: a\nStep 2: Answer: B", [("", "a"), ("", "Answer: B")]),
    ("Step 1:\nStep 2: b", [("", ""), ("", "b")]),
    ("Step 1: a\r\nStep 2: b\r\n", [("", "a"), ("", "b")]),
    ("Step 1: a\nStep 2 shows that\nStep 3.5 mm", [("", "a\nStep 2 shows that\nStep 3.5 mm")]),
    ("Step 1: a\nStep 1: b", [("", "a"), ("", "b")]),
    # markers inside a line: only after a sentence, with the next number
    ("Step 1: a. Step 2: b! Step 3: c", [("", "a."), ("", "b!"), ("", "c")]),
    ("Step 1: a ки Step 2: b ки", [("", "a ки"), ("", "b ки")]),
    ("Step 1: as in step 2: no. Step 4: no", [("", "as in step 2: no. Step 4: no")]),
    # text before the first marker
    ("Let us look:\nStep 1: a", [("", "a")]),
    ("---\nStep 1: a", [("", "a")]),
    ("The image shows a mass.\n\nStep 1: a", [("", "The image shows a mass."), ("", "a")]),
    # JSON
    ('{"steps": [{"title": "Look", "text": "a"}, {"text": "b"}]}', [("Look", "a"), ("", "b")]),
    ('[{"title": "Look", "text": "a"}]', [("Look", "a")]),
    ('```json\n{"steps": ["a", "b"]}\n```\nDone.', [("", "a"), ("", "b")]),
    ('Here: {"final_answer": "B", "steps": [{"step": 1, "content": "a"}]} ok', [("", "a")]),
    ('{"steps": [{"title": "Look", "text": "a"}, {"title": "Th', [("Look", "a")]),
    ('{"steps": [{"text": "line\nbreak"}]}', [("", "line\nbreak")]),
    ('{"steps": []}', [("", '{"steps": []}')]),
    # blocks
    ("a\n\nb\n \n\nc", [("", "a"), ("", "b"), ("", "c")]),
    ("a\n\nAnswer: B", [("", "a"), ("", "Answer: B")]),
    ("### Findings\n\na\n\n---\n\n**Impression:**\n\nb", [("Findings", "a"), ("Impression", "b")]),
    ("one block\nof two lines", [("", "one block\nof two lines")]),
    ("a\n\n# Heading at the end", [("", "a"), ("", "# Heading at the end")]),
    # nothing
    ("", []),
    (" \n\t\n ", []),
    # text that must survive
    ("Step 1: see <image> and ки\nStep 2: {x} [y] \\n", [("", "see <image> and ки"), ("", "{x} [y] \\n")]),
]


@pytest.mark.parametrize(("solution", "expected"), TABLE, ids=lambda value: repr(value)[:50])
def test_table(solution: str, expected: list[tuple[str, str]]) -> None:
    assert [(step.title, step.text) for step in split_steps(solution)] == expected


@pytest.mark.parametrize("solution", [solution for solution, _ in TABLE], ids=lambda value: repr(value)[:50])
def test_spans_are_in_order_and_prefixes_are_the_source(solution: str) -> None:
    steps = split_steps(solution)
    ends = [0]
    for j, step in enumerate(steps):
        assert ends[-1] <= step.start <= step.end <= len(solution)
        ends.append(step.end)
        prefix = prefix_text(solution, steps, j)
        assert solution.startswith(prefix) and prefix == prefix.rstrip()
        if not solution.lstrip().startswith(("{", "[", "`", "Here")):
            assert prefix.endswith(step.text.split("\n")[-1][-5:])


def test_prefix_of_json_steps_can_be_continued_as_json() -> None:
    solution = json.dumps({"steps": [{"title": "A", "text": "a"}, {"title": "B", "text": "b"}], "final_answer": "B"})
    steps = split_steps(solution)
    continued = prefix_text(solution, steps, 0) + ', {"text": "c"}], "final_answer": "A"}'
    assert [step["text"] for step in json.loads(continued)["steps"]] == ["a", "c"]


def test_prefix_beyond_the_steps_is_refused() -> None:
    steps = split_steps("Step 1: a")
    for j in (-1, 1):
        with pytest.raises(DataError, match=f"no step {j} among 1"):
            prefix_text("Step 1: a", steps, j)


@pytest.mark.parametrize("n", [1, 11, 12, 13, 24, 25, 40, 100])
@pytest.mark.parametrize("form", ["Step {}: claim {}\n", "claim {} {}\n\n"])
def test_long_solutions_are_merged_as_visualprm_does(n: int, form: str) -> None:
    solution = "".join(form.format(i, i) for i in range(1, n + 1))
    steps, single = split_steps(solution), split_steps(solution, at_most=n)
    size = math.ceil(n / 12)
    assert len(single) == n and len(steps) == math.ceil(n / size) <= 12
    assert [step.text for step in steps] == [
        "\n\n".join(step.text for step in single[i : i + size]) for i in range(0, n, size)
    ]
    assert prefix_text(solution, steps, len(steps) - 1) == solution.rstrip()


def test_merging_keeps_titles_and_refuses_no_steps() -> None:
    steps = split_steps("## Step 1: A\na\n## Step 2: B\nb", at_most=1)
    assert steps == [Step("A; B", "a\n\nb", 0, 29)]
    with pytest.raises(ConfigError, match="at_most=0"):
        split_steps("a", at_most=0)


def test_rendered_steps_are_read_back() -> None:
    assert render_steps(["Look", ""], ["a", "b"]) == "Step 1: Look: a\nStep 2: b"
    assert [step.text for step in split_steps(render_steps(["Look", ""], ["a", "b"]))] == ["Look: a", "b"]


@given(st.text(max_size=400), st.integers(1, 15))
def test_never_raises_never_too_many_never_loses_a_word(text: str, at_most: int) -> None:
    steps = split_steps(text, at_most)
    assert len(steps) <= at_most
    assert bool(steps) or not any(character.isalnum() for character in text)
    for j in range(len(steps)):
        assert text.startswith(prefix_text(text, steps, j))


_WORDS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)


@given(st.lists(_WORDS, min_size=1, max_size=12))
def test_marked_words_come_back(words: list[str]) -> None:
    solution = "\n".join(f"Step {n}: {word}" for n, word in enumerate(words, start=1))
    assert [step.text for step in split_steps(solution)] == words


@pytest.mark.parametrize(
    "text",
    ["a" * 10**6, " " * 10**6, "\n" * 10**6, "step " * 200_000, "Step 1: x. " * 90_000, "Step 1:\n" * 120_000,
     "{" * 10**6, "[" * 10**6, '{"a":' * 200_000, "**" * 500_000, "# " * 500_000, "\n \n" * 300_000,
     '{"steps":[' + '{"text":"a"},' * 70_000, "[{" * 500_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_time_grows_with_length(text: str) -> None:
    assert grows_with_length(split_steps, text)
