"""Citations: what was given and says so, what was given and does not, what was never given; and kinds of error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.text.citing import check_citations, holds
from medprm_hf.text.error_types import GROUPS, ErrorType, error_type

PASSAGE = (
    "Solid nodules\n  of 6–8 mm: CT at 3-6 months, then consider “CT” at 18–24 months.\n\n"  # noqa: RUF001
    "No follow\u00ad-up below 6 mm."
)


@pytest.mark.parametrize(
    ("quote", "there"),
    [
        ("Solid nodules of 6-8 mm", True),
        ("SOLID NODULES OF 6—8 MM", True),
        ('consider "CT" at 18-24 months', True),
        ("“Solid nodules of 6–8 mm: CT”", True),  # noqa: RUF001
        ("Solid nodules ... then consider", True),
        ("Solid nodules […] 18-24 months.", True),
        ("no follow-up below 6 mm", True),
        ("then consider ... Solid nodules", False),  # the other way round
        ("Solid nodules of 8 mm", False),
        ("CT at 6 months", False),
        ("...", False),
        ("of", False),
        (" . ", False),
    ],
)
def test_quotes(quote: str, there: bool) -> None:
    assert holds(PASSAGE, quote) == there


def test_every_citation_is_marked() -> None:
    said = [("g1", None), ("g1", "  "), ("g1", "6-8 mm: CT"), ("g1", "PET at once"), ("g9", None), ("g9", "6-8 mm")]
    found = check_citations(said, {"g1": PASSAGE})
    assert [c.status for c in found] == ["cited", "cited", "quoted", "not_in_passage", "not_given", "not_given"]
    assert [(c.id, c.quote) for c in found] == said


@given(st.text(min_size=20, max_size=200), st.integers(0, 10), st.integers(8, 40))
def test_any_cut_of_a_passage_is_found(text: str, start: int, length: int) -> None:
    cut = text[start : start + length]
    if (
        len("".join(filter(str.isalnum, cut.split("…")[0].split("...")[0]))) >= 3
        and "..." not in cut
        and "…" not in cut
    ):
        words = cut.split()
        if cut.isascii() and words:
            assert holds(text, " ".join(words))


def test_fourteen_kinds_in_three_groups_and_other_words_pass() -> None:
    assert len(ErrorType) == 14 and sorted(kind for group in GROUPS.values() for kind in group) == sorted(ErrorType)
    assert all(error_type(kind.replace("_", " ").title()) == kind for kind in ErrorType)
    assert error_type("location") == "location" and error_type(" wrong side ") == "wrong side"
    assert [error_type(nothing) for nothing in (None, "", "None", "n/a", 3, ["x"])] == [None] * 6
