"""What must not be evaluated: rows that training has seen, and test rows that stand in the development part.

Both are told by the question's id and by the hash of the image. The checkpoint's own record (medprm_seen.json, hashes
alone) says what it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

from medprm_hf.errors import DataError
from medprm_hf.evaluation.fitting import keys_of
from medprm_hf.evaluation.table import Row, image_hash, name_of
from medprm_hf.scoring.settings import Seen


def seen_places(rows: Sequence[Row], seen: Seen) -> list[int]:
    """Places of the rows whose question or image was in training."""
    return [place for place, row in enumerate(rows) if seen.has({**row, "image_sha256": image_hash(row)})]


def refuse_seen(rows: Sequence[Row], seen: Seen | None, model: str) -> None:
    """DataError where rows stand in the model's training."""
    places = seen_places(rows, seen) if seen else []
    if places:
        raise DataError(
            f"{len(places)} of {len(rows)} rows were in the training of {model}, by question or image (first: "
            f"{name_of(rows[places[0]])}): figures on them say nothing about new ones. Leave them out with "
            "--skip-seen, or evaluate all the same with --force"
        )


def refuse_overlap(test: Sequence[Row], development: Sequence[Row]) -> None:
    """DataError where test and development part share a question, an image or a group."""
    there = {key for row in development for key in keys_of(row)}
    shared = [row for row in test if there.intersection(keys_of(row))]
    if shared:
        raise DataError(
            f"{len(shared)} of {len(test)} test rows share question, image or group with the development part (first: "
            f"{name_of(shared[0])}): the threshold would be fixed on what it is measured on. Give other questions with "
            "--development, leave it out (the data are then split), or go on with --force"
        )
