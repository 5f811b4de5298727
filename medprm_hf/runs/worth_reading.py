"""Solutions worth reading: where judge and rollouts contradict each other most, one a question.

A step's disagreement is |P(+) of the judge - expected accuracy|, weighted by how sure both are (the judge's confidence,
the width of the rollouts' interval). Where one of the two did not run, steps that merge is least sure of stand instead.
"""

from __future__ import annotations

import base64
import bisect
import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from medprm_hf.errors import ImageError
from medprm_hf.imaging.load import load_image
from medprm_hf.runs.shares import labels_of
from medprm_hf.schema import Label

Row = dict[str, Any]
WORTH = 0.25
"""Disagreement from which a solution is worth reading."""
SURE = {"high": 1.0, "medium": 0.75, "low": 0.5, None: 0.75}
LONGEST = 640
"""Pixels of an image's longer side in the page."""


def disagreement(row: Row, step: int) -> float | None:
    """0..1, how much judge and rollouts contradict each other; None where one of them is unknown."""
    label, mc = _at(row, "judge_labels", step), _at(row, "expected_accuracy", step)
    if mc is None or label not in (Label.RIGHT, Label.WRONG):
        return None
    p = _at(row, "judge_p_plus", step)
    said = (1.0 if label == Label.RIGHT else 0.0) if p is None else p
    low, high = _at(row, "accuracy_low", step), _at(row, "accuracy_high", step)
    width = high - low if low is not None and high is not None else 0.5
    return float(abs(said - mc) * SURE.get(_at(row, "judge_confidence", step), 0.75) * (1 - width / 2))


def doubt(row: Row, step: int) -> float | None:
    """0..1, how unsure the merged label is; None where it has no probability."""
    p = _at(row, "label_p", step)
    return None if p is None else 1 - abs(2 * p - 1)


class Worth:
    """Finds the solutions, one row at a time; as many are held as are shown."""

    def __init__(self, shown: int) -> None:
        self._shown = shown
        self.compared = 0
        """Steps of which both judge and rollouts speak."""
        self._judged = self._rolled = False
        self._best: dict[str, list[_Found]] = {name: [] for name in _BY}

    def add(self, row: Row, place: int = 0) -> None:
        """One row, and its place in the table."""
        self._judged |= bool(row.get("judge_labels"))
        self._rolled |= bool(row.get("expected_accuracy"))
        for by, value in _BY.items():
            found = [v for i in range(len(row["steps"])) if (v := value(row, i)) is not None]
            if by == BOTH:
                self.compared += len(found)
            if found and max(found) >= WORTH:
                self._offer(by, _Found((-max(found), -sum(found) / len(found), str(row["solution_id"])), row, place))

    def _offer(self, by: str, found: _Found) -> None:
        """Keeps the best of each question, and of these the best."""
        best = self._best[by]
        other = next((one for one in best if one.row["question_id"] == found.row["question_id"]), None)
        if other is not None:
            if other.rank <= found.rank:
                return
            best[:] = [one for one in best if one is not other]
        bisect.insort(best, found, key=lambda one: one.rank)
        del best[self._shown :]

    def chosen(self) -> tuple[list[tuple[Row, int]], str]:
        """Row and place of the solutions, most worth reading first, and what they were chosen by."""
        by = BOTH if self._judged and self._rolled else MERGE
        return [(one.row, one.place) for one in self._best[by]], by


class _Found(NamedTuple):
    rank: tuple[float, float, str]
    row: Row
    place: int


def chosen(rows: Sequence[Row], shown: int) -> tuple[list[Row], str]:
    """The rows, most worth reading first, and what they were chosen by."""
    worth = Worth(shown)
    for row in rows:
        worth.add(row)
    found, by = worth.chosen()
    return [row for row, _ in found], by


BOTH, MERGE = "judge and rollouts", "merge"
_BY: dict[str, Callable[[Row, int], float | None]] = {BOTH: disagreement, MERGE: doubt}


def example(row: Row, truth: Sequence[Any] | None = None) -> dict[str, Any]:
    """What the page shows of a solution: question, image, and of each step all that was said of it."""
    labels = labels_of(row) or [Label.UNKNOWN.value] * len(row["steps"])
    texts = {passage["id"]: passage for passage in row.get("evidence") or []}
    picture, why = thumbnail(row.get("image"))
    return {
        "row": row,
        "image": picture,
        "no_image": why,
        "steps": [_step(row, i, labels[i], texts, truth[i] if truth else None) for i in range(len(row["steps"]))],
    }


def _step(row: Row, i: int, label: str, texts: dict[str, Any], truth: Any) -> dict[str, Any]:
    correct, total = _at(row, "rollout_correct", i), _at(row, "rollout_total", i)
    value = disagreement(row, i)
    checks = list(_at(row, "judge_citation_checks", i) or [])
    return {
        "text": row["steps"][i],
        "label": label,
        "merged": _at(row, "labels", i),
        "p": _at(row, "label_p", i),
        "mc": f"{correct} of {total}" if total else None,
        "mc_why": None if total else "none readable" if total == 0 else "not sampled",
        "judge": _at(row, "judge_labels", i),
        "confidence": _at(row, "judge_confidence", i),
        "error": _at(row, "judge_errors", i),
        "reason": _at(row, "judge_reasons", i),
        "cited": [{"id": name, "text": _short(str((texts.get(name) or {}).get("text", "")))}
                  for name in _at(row, "judge_citations", i) or []],
        "false_citations": [one for one in checks if one["status"] in ("not_given", "not_in_passage")],
        "reviewed": bool(_at(row, "reviews", i)),
        "clash": value is not None and value >= WORTH,
        "truth": truth,
    }  # fmt: skip


def _short(text: str, longest: int = 400) -> str:
    return text if len(text) <= longest else text[:longest].rsplit(" ", 1)[0] + " …"


def _at(row: Row, name: str, step: int) -> Any:
    values = row.get(name)
    return values[step] if values and step < len(values) else None


def thumbnail(image: Any) -> tuple[str | None, str]:
    """A data URL no larger than the page needs, or None and why there is none."""
    if not image:
        return None, "text only"
    try:
        loaded = load_image(image)
    except ImageError as error:
        return None, f"image cannot be read: {error}"
    data, mime = loaded.data, loaded.mime
    if max(loaded.width, loaded.height) > LONGEST:
        data, mime = _smaller(data), "image/jpeg"
    return f"data:{mime};base64,{base64.b64encode(data).decode()}", ""


def _smaller(data: bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((LONGEST, LONGEST))
        image.convert("RGB").save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
