"""Five vision-language families: shared prefixes and batches score as one plain forward does."""

from __future__ import annotations

import pytest

from medprm_hf.scoring.scorer import Scorer
from medprm_hf.scoring.settings import LayoutSettings, PRMSettings
from tests.scoring.models import plain, rows
from tests.training.architectures import FAMILIES, make


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_are_those_of_a_plain_forward(name: str) -> None:
    model, processor = make(name)
    one = Scorer(model.eval(), processor, PRMSettings(LayoutSettings(system="")))
    table = rows((3, 2, 1, 2))
    for budget in (1, 100_000):
        for row, scores in zip(table, one.score_rows(table, budget), strict=True):
            assert scores.p_plus == pytest.approx(plain(one, row), abs=5e-6)
