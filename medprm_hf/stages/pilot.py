"""The pilot of a run: the questions from which a rollout estimator learns its priors, before any shard is labelled.

Taken are the questions whose seeded hash is lowest, whole, until they hold enough solutions. So a pilot is a random
sample of the run, and the same one however the run is cut into shards: shards of 5 questions and of 400 begin with
the same priors and give the same labels.

    shards   q1 q2 q3 | q4 q5 q6 | …      hash   q5 < q1 < q9 < …      pilot   q5 q1 q9 …, 1,000 solutions or a few more
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

from medprm_hf.ids import stable_seed
from medprm_hf.stages.base import Row, by_question

PILOT = 1000
"""Solutions of a pilot: with fewer, drift and noise are learnt too roughly (docs/labels.md)."""


def pilot_rows(
    batches: Iterable[Sequence[Row]], seed: int, able: Callable[[Row], bool], size: int = PILOT
) -> list[Row]:
    """Rows of the pilot's questions, those of one question together; all that are `able` where there are few.

    Reads every batch once and holds the rows of about `size` solutions. A question must stand in one batch.
    """
    heap: list[tuple[int, str, list[Row]]] = []  # the highest hash on top
    held = 0
    for batch in batches:
        rows = [row for row in batch if able(row)]
        for group in by_question(rows):
            mine = [rows[i] for i in group]
            name = str(mine[0]["question_id"])
            heapq.heappush(heap, (-stable_seed(seed, "pilot", name), name, mine))
            held += len(mine)
            while held - len(heap[0][2]) >= size:
                held -= len(heapq.heappop(heap)[2])
    return [row for _, _, mine in sorted(heap, key=lambda entry: -entry[0]) for row in mine]
