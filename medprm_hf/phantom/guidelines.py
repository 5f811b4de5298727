"""The phantom world's guideline as passages, among distractors: other years, organs and patients.

    Phantom Thoracic Society, guideline of 2017: solid nodules of the lung in adults. A single solid nodule smaller
    than 6 mm: no follow-up. For several solid nodules of which the largest measures 6 to 8 mm, the advice is CT at …

Every guideline has three passages (calcified, solid, ground-glass), each with its own heading, and the wording varies
from one to the next. Only the one of 2017 for adults' lungs is the world's; the others give other advice at other
sizes, so a reader that takes the wrong one is led astray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from medprm_hf.ids import stable_seed
from medprm_hf.phantom.world import OPTIONS, guideline

CONTEXT = "Adult. Chance finding in the lung. The department follows the guideline of 2017."
"""What a question says of the guideline that holds: its clinical context."""
YEARS = (2005, 2011, 2013, 2017, 2021)
ORGANS = ("lung", "liver", "thyroid", "kidney", "adrenal gland")
PATIENTS = ("adults", "children")
SOCIETIES = {
    "lung": "Phantom Thoracic Society",
    "liver": "Phantom Liver Society",
    "thyroid": "Phantom Thyroid Society",
    "kidney": "Phantom Renal Society",
    "adrenal gland": "Phantom Endocrine Society",
}
BORDERS = ((6, 8), (4, 8), (5, 10), (8, 15), (10, 20))
"""Sizes in mm between the three classes; the first pair is the world's."""

Advice = Callable[[int, str, int], str]
"""(number of nodules, type, size class from 0) -> one of OPTIONS."""


@dataclass(frozen=True)
class Guideline:
    """One guideline, by what its heading says."""

    year: int
    """Year of its edition."""
    organ: str
    """Organ it speaks of."""
    patients: str
    """Adults or children."""

    @property
    def holds(self) -> bool:
        """Whether it is the world's."""
        return (self.year, self.organ, self.patients) == (2017, "lung", "adults")

    def heading(self, kind: str) -> str:
        """The sentence that every passage begins with."""
        society = SOCIETIES[self.organ]
        return f"{society}, guideline of {self.year}: {kind} nodules of the {self.organ} in {self.patients}."

    def name(self, kind: str) -> str:
        """Id of a passage."""
        return f"{self.organ.replace(' ', '-')}-{self.patients}-{self.year}-{kind}"


def guideline_rows(seed: int = 0, true_one: str = "true") -> Iterator[dict[str, str]]:
    """The corpus's rows: id, text, source, licence.

    `true_one` is what becomes of the guideline that holds: `true` (as the world has it), `absent`, or `wrong` (under
    its heading every rule gives another advice than the world's).
    """
    for year, organ, patients in product(YEARS, ORGANS, PATIENTS):
        which = Guideline(year, organ, patients)
        if which.holds and true_one == "absent":
            continue
        rng = np.random.Generator(np.random.Philox(key=stable_seed("guideline", seed, year, organ, patients)))
        if which.holds:
            borders, advice = BORDERS[0], _true_advice if true_one == "true" else _wrong_advice(rng)
        else:
            borders, advice = BORDERS[rng.integers(len(BORDERS))], _drawn_advice(rng)
        for kind in ("calcified", "solid", "ground-glass"):
            text = f"{which.heading(kind)} {' '.join(_sentences(kind, borders, advice, rng))}"
            yield {"id": which.name(kind), "text": text, "source": "phantom guidelines", "license": "CC0-1.0"}


def _true_advice(count: int, kind: str, size: int) -> str:
    return guideline(count, kind, ("<6 mm", "6-8 mm", ">8 mm")[size])


def _drawn_advice(rng: np.random.Generator) -> Advice:
    """Advice drawn by chance, the same whenever the same is asked."""
    table = rng.integers(len(OPTIONS), size=(2, 3, 3))
    kinds = ("calcified", "solid", "ground-glass")
    return lambda count, kind, size: OPTIONS[table[int(count > 1), kinds.index(kind), size]]


def _wrong_advice(rng: np.random.Generator) -> Advice:
    """For every rule another advice than the world's."""
    drawn = _drawn_advice(rng)

    def advice(count: int, kind: str, size: int) -> str:
        true, found = _true_advice(count, kind, size), drawn(count, kind, size)
        return found if found != true else OPTIONS[(OPTIONS.index(found) + 1) % len(OPTIONS)]

    return advice


def _sentences(kind: str, borders: tuple[int, int], advice: Advice, rng: np.random.Generator) -> list[str]:
    if kind == "calcified":
        return [f"A calcified nodule, whatever its size and number: {advice(1, kind, 0)}."]
    sizes = (f"smaller than {borders[0]} mm", f"of {borders[0]} to {borders[1]} mm", f"larger than {borders[1]} mm")
    cases = [(count, size) for count in (1, 2) for size in range(3)]
    wording = int(rng.integers(3))
    return [_sentence(wording, count > 1, kind, sizes[size], advice(count, kind, size)) for count, size in cases]


def _sentence(wording: int, several: bool, kind: str, size: str, advice: str) -> str:
    """One rule in one of three wordings."""
    if wording == 0:
        return f"{'Several' if several else 'A single'} {kind} nodule{'s' if several else ''} {size}: {advice}."
    if wording == 1:
        who = f"multiple {kind} nodules, the largest" if several else f"a solitary {kind} nodule"
        return f"In {who} {size}, the advice is {advice}."
    number = "more than one" if several else "only one"
    return f"Where there is {number} {kind} nodule {size}, {advice} is recommended."
