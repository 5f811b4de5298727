"""Which questions belong together over a whole run, so that nothing stands in two splits: patient or study, image,
image that looks the same, text-only question that says the same.

    groups = Groups(distance=4)
    for row in rows: groups.add(row)
    groups.learnt()  →  {"roots": {"q7": "patient-3"}, "twins": {"q8": "q7"}, "wishes": {"patient-3": "test"}}

Only hashes and names are held. A component is named by the smallest of its groups, so the order of the rows decides
nothing but which of two equal questions is the first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from medprm_hf.ids import content_hash
from medprm_hf.imaging.perceptual import PerceptualIndex, picture_hash
from medprm_hf.stages.base import Row
from medprm_hf.text.duplicates import twins
from medprm_hf.together import Together

STRICTNESS = {"train": 0, "development": 1, "test": 2}
"""Where two splits claim one component, the later of these keeps it."""


def own_group(row: Row) -> str:
    """The patient or study of a row; itself where it names none."""
    return str(row.get("group") or row["question_id"])


class _Asked(NamedTuple):
    name: str
    look: str
    upto: int
    """Letters of `whole` that are question and options: two questions on one long context are not the same."""
    whole: str
    answer: str

    @property
    def shown(self) -> str:
        """Question and options."""
        return self.whole[: self.upto]


def _alike(one: str, other: str) -> bool:
    """Whether 85 % of the words of either are the other's."""
    first, second = (set(text.casefold().split()) for text in (one, other))
    return len(first & second) >= 0.85 * len(first | second)


class Groups:
    """Union-find over groups, images and texts."""

    def __init__(self, distance: int | None) -> None:
        self._together = Together()
        self._index = PerceptualIndex(distance) if distance is not None else None
        self._looks: dict[str, str] = {}
        self._texts: list[_Asked] = []
        self._rows: list[tuple[str, str, str | None]] = []

    def add(self, row: Row) -> None:
        """One more question, its image taken in."""
        name, group = row["question_id"], "g:" + own_group(row)
        self._rows.append((name, group, row.get("split")))
        self._together.root(group)
        look = self._look(row)
        if look:
            self._together.join(group, "i:" + look)
        shown = " ".join([row["question"] or "", *(row.get("options") or ())])
        told = [row.get("clinical_context") or "", *(turn["text"] for turn in row.get("turns") or ())]
        context = " ".join(told)  # consultations end in the same question: what was said before tells them apart
        answer = str(row.get("answer")).casefold()
        self._texts.append(_Asked(name, look or "", len(shown), f"{shown} {context}", answer))

    def learnt(self) -> dict[str, Any]:
        """What the splits and the duplicates follow from, as plain values."""
        same = self._same_questions()
        group_of = {name: group for name, group, _ in self._rows}
        for name, first in same.items():
            self._together.join(group_of[name], group_of[first.name])
        roots = {name: self._together.root(group) for name, group, _ in self._rows}
        names: dict[str, str] = {}
        for _, group, _ in self._rows:
            root = self._together.root(group)
            names[root] = min(names.get(root, group), group)
        wishes: dict[str, str] = {}
        for name, _, wish in self._rows:
            root = names[roots[name]][2:]
            if wish and STRICTNESS.get(wish, 0) >= STRICTNESS.get(wishes.get(root, ""), -1):
                wishes[root] = wish
        away = {n: names[roots[n]][2:] for n, group, _ in self._rows if names[roots[n]] != group}
        answers = {asked.name: asked.answer for asked in self._texts}
        repeated = {name: first.name for name, first in same.items() if answers[name] == first.answer}
        return {"roots": away, "twins": repeated, "wishes": wishes}

    def _look(self, row: Row) -> str | None:
        """The name of the first image of the run that is the row's, or looks like it."""
        sha = row.get("image_sha256")
        if not sha:
            return None
        if self._index is None:
            return str(sha)
        if sha not in self._looks:
            self._looks[sha] = self._index.twin(sha, picture_hash(row["image"]["bytes"])) or sha
        return self._looks[sha]

    def _same_questions(self) -> dict[str, _Asked]:
        """Each question that repeats an earlier one about the same image (or about none) -> the earlier one."""
        by_look: dict[str, list[_Asked]] = {}
        for asked in self._texts:
            by_look.setdefault(asked.look, []).append(asked)
        same: dict[str, _Asked] = {}
        for asked_of in by_look.values():
            if len(asked_of) > 1:
                for index, first in twins([asked.whole for asked in asked_of], threshold=0.5).items():
                    if _alike(asked_of[index].shown, asked_of[first].shown):
                        same[asked_of[index].name] = asked_of[first]
        return same


def place_of(name: str, seed: int) -> float:
    """Where a question stands in the lottery of the mixes, 0..1, whatever the order of the rows."""
    return int(content_hash("mix", seed, name), 16) / (1 << 64)
