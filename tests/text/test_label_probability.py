"""P(+) from the candidates of the label's token, however the tokens are cut."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.text.label_probability import p_plus_at
from medprm_hf.text.verdicts import label_places

ANSWER = (
    '{"steps": [{"step": 1, "reason": "the \\"label\\": \\"-\\" is asked for", "label": "+"}, '
    '{"step": 2, "label": "-"}]}'
)
PLACES = label_places(ANSWER, 2)


def listed(cuts: list[int], p_plus: tuple[float, float] = (0.9, 0.2)) -> tuple[list[dict[str, float]], list[float]]:
    """The answer cut into tokens; where a label stands, + and - are the candidates with these probabilities."""
    edges = sorted({0, len(ANSWER), *cuts})
    top, drawn = [], []
    for start, end in zip(edges, edges[1:], strict=False):
        token = ANSWER[start:end]
        inside = [
            (place, p) for place, p in zip(PLACES, p_plus, strict=True) if place is not None and start <= place < end
        ]
        if len(inside) == 1:
            (place, p) = inside[0]
            plus, minus = (token[: place - start] + sign + token[place - start + 1 :] for sign in "+-")
            top.append({plus: math.log(p), minus: math.log(1 - p)})
        else:
            top.append({token: math.log(0.99), "zzz": math.log(0.001)})
        drawn.append(top[-1][token])
    return top, drawn


def test_labels_are_found_where_they_are_keys_not_inside_a_reason() -> None:
    assert [ANSWER[place] for place in PLACES if place is not None] == ["+", "-"]
    assert label_places("prose", 2) == [None, None]
    assert label_places('{"steps": [{"step": 1, "label": "correct"}]}', 1) == [None]


@given(st.lists(st.integers(1, len(ANSWER) - 1), max_size=40))
def test_any_tokens(cuts: list[int]) -> None:
    cuts = [*cuts, (PLACES[0] or 0) + 2]  # never both labels in one token
    top, drawn = listed(cuts)
    assert p_plus_at(ANSWER, top, drawn, PLACES) == pytest.approx([0.9, 0.2])


def test_a_token_outside_the_candidates_is_walked_around_from_both_ends() -> None:
    edges = [place + offset for place in PLACES if place is not None for offset in (0, 1)]
    top, drawn = listed([*edges, 5, 8])
    top[1] = {"other": -0.1}
    assert p_plus_at(ANSWER, top, drawn, PLACES) == pytest.approx([0.9, 0.2])
    middle = edges.index(edges[1]) + 3
    top[middle] = {"other": -0.1}
    found = p_plus_at(ANSWER, top, drawn, PLACES)
    assert found[0] is None and found[1] == pytest.approx(0.2)  # lost between the two tokens that nobody listed


def test_end_tokens_and_missing_signs() -> None:
    edges = [place + offset for place in PLACES if place is not None for offset in (0, 1)]
    top, drawn = listed(edges)
    top, drawn = [*top, {"<|im_end|>": -0.01}], [*drawn, -0.01]
    assert p_plus_at(ANSWER, top, drawn, PLACES) == pytest.approx([0.9, 0.2])
    top[1] = {"+": math.log(0.98), "yes": math.log(0.01)}  # no candidate writes a minus: below 0.01, not zero
    drawn[1] = math.log(0.98)
    assert p_plus_at(ANSWER, top, drawn, PLACES)[0] == pytest.approx(0.98 / 0.99)
    assert p_plus_at(ANSWER, top, None, PLACES) == [None, None]
    assert p_plus_at(ANSWER, top[:-1], drawn, PLACES) == [None, None]
    top[1] = {"true": math.log(0.98)}
    assert p_plus_at("x", [{"x": 0.0}], [0.0], [None, 0]) == [None, None]
