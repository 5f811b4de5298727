"""Options in another order or not shown: balanced orders, prompts that must stay as they are, answers in words."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.text.option_order import in_words, option_order, order_matters

LUNGS = ["Right lung", "Left lung", "Both lungs", "Neither"]


@given(st.integers(2, 8), st.integers(0, 3), st.integers(0, 1 << 62))
def test_every_option_stands_in_every_place_once_in_n_turns(n: int, cycle: int, seed: int) -> None:
    orders = [option_order(n, cycle * n + turn, seed) for turn in range(n)]
    assert all(sorted(order) == list(range(n)) for order in orders)
    places = Counter((place, option) for order in orders for place, option in enumerate(order))
    assert set(places.values()) == {1} and len(places) == n * n


def test_orders_depend_on_the_seed_alone() -> None:
    assert option_order(4, 2, 7) == option_order(4, 2, 7)
    assert len({option_order(5, 0, seed) for seed in range(50)}) > 20


@pytest.mark.parametrize(
    ("text", "options", "matters"),
    [
        ("", LUNGS, False),
        ("A nodule is seen in the left lung.", LUNGS, False),
        ("Step 1: A (small) nodule.", LUNGS, False),
        ("So the answer is A because it is right.", LUNGS, True),
        ("Answer: B", LUNGS, True),
        ("Therefore (C).", LUNGS, True),
        ("option A fits", LUNGS, True),
        ("Vitamin D is low.", LUNGS, True),  # a false alarm costs a shuffle, no label
        ("Vitamin K is low.", LUNGS, False),  # there is no option K
        ("B-lines in both bases; A-a gradient.", LUNGS, False),
        ("The last option can be excluded.", LUNGS, True),
        ("It measures 7 mm.", ["below 6 mm", "6-8 mm", "above 8 mm"], False),
        ("", ["CT", "biopsy", "all of the above"], True),
        ("", ["CT", "biopsy", "A and B"], True),
        ("", ["CT", "None of these"], True),
    ],
)
def test_where_the_order_matters(text: str, options: list[str], matters: bool) -> None:
    assert order_matters(text, options) is matters


@pytest.mark.parametrize(
    ("answer", "options", "named"),
    [
        ("left lung", LUNGS, (1,)),
        ("the Left Lung, near the hilum", LUNGS, (1,)),
        ("B", LUNGS, ()),
        ("ultrasound", ["CT", "biopsy"], ()),
        ("CT or biopsy", ["CT", "biopsy"], None),
        ("no biopsy but CT", ["CT", "biopsy"], (0,)),
        ("upper left lung", ["left lung", "upper left lung"], (1,)),
        ("left lung", ["left lung", "upper left lung"], (0,)),
        ("CT", ["CT", "biopsy", "ct "], (0, 2)),
        ("", ["CT", ""], ()),
    ],
)
def test_the_option_that_words_name(answer: str, options: list[str], named: tuple[int, ...] | None) -> None:
    assert in_words(answer, options) == named
