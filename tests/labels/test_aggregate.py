import math

import pytest

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.labels.aggregate import AGGREGATORS, aggregate, best_of, best_of_n, majority, weighted_vote


@pytest.mark.parametrize(
    "how, scores, expected",
    [
        ("mean", [0.9, 0.3, 0.6], 0.6),
        ("min", [0.9, 0.3, 0.6], 0.3),
        ("last", [0.9, 0.3, 0.6], 0.6),
        ("product", [0.5, 0.5, 0.5], 0.125),
        ("max", [0.9, 0.3, 0.6], 0.9),
        ("mean", [0.9, None, 0.6], 0.75),
        ("last", [0.9, None], None),
        ("min", [None, None], None),
        ("mean", [], None),
        ("min", [math.nan, 0.4], 0.4),
    ],
)
def test_aggregate(how: str, scores: list[float | None], expected: float | None) -> None:
    found = aggregate(scores, how)
    assert found == (None if expected is None else pytest.approx(expected))


def test_unknown_aggregator_is_told_near_names() -> None:
    with pytest.raises(ConfigError, match="did you mean product"):
        aggregate([0.5], "produkt")
    assert set(AGGREGATORS) == {"mean", "min", "last", "product", "max"}


@pytest.mark.parametrize(
    "scores, place", [([0.1, 0.9, 0.9], 1), ([None, 0.2], 1), ([None, None], None), ([], None), ([0.0], 0)]
)
def test_best_of(scores: list[float | None], place: int | None) -> None:
    assert best_of(scores) == place


def test_answers() -> None:
    assert best_of_n(["A", "B"], [0.2, 0.8]) == "B"
    assert best_of_n(["A", None], [0.2, 0.8]) is None
    assert majority(["A", None, "B", "B", "A"]) == "A"
    assert majority([None]) is None
    assert weighted_vote(["A", "A", "B"], [0.2, 0.3, 0.6]) == "B"
    assert weighted_vote(["A", None, "B"], [0.2, 0.9, None]) == "A"
    with pytest.raises(DataError, match="2 answers and 1 scores"):
        weighted_vote(["A", "B"], [0.1])
