"""Scenes: what one phantom image shows, and the guideline that answers its question.

A scene is 64x64 mm (1 pixel = 1 mm): a body with two lungs and one to three round nodules of one kind. It
has two looks, an axial slice and a projection, and three difficulties, by contrast and by how close the
diameter of the largest nodule comes to a class border. The guideline follows the Fleischner Society's
recommendations of 2017 (MacMahon et al., Radiology 284:228-243), shortened to four choices. Where the
largest nodule lies never changes the answer: an error about the place is invisible to rollouts, and only a
judge can see it.

A scene is a function of its question id, so its truth never has to travel in a dataset:

    >>> scene_of("phantom-test-000017") == scene_of("phantom-test-000017")
    True
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medprm_hf.errors import DataError
from medprm_hf.ids import stable_seed

Split = Literal["train", "development", "test"]
Look = Literal["axial", "projection"]
Difficulty = Literal["easy", "medium", "hard"]
Kind = Literal["solid", "ground-glass", "calcified"]
Side = Literal["right", "left"]
Zone = Literal["upper", "middle", "lower"]
SizeClass = Literal["<6 mm", "6-8 mm", ">8 mm"]

SPLITS: tuple[Split, ...] = ("train", "development", "test")
LOOKS: tuple[Look, ...] = ("axial", "projection")
DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
KINDS: tuple[Kind, ...] = ("solid", "ground-glass", "calcified")
SIDES: tuple[Side, ...] = ("right", "left")
ZONES: tuple[Zone, ...] = ("upper", "middle", "lower")
SIZE_CLASSES: tuple[SizeClass, ...] = ("<6 mm", "6-8 mm", ">8 mm")

NONE, LATER, SOON, WORKUP = OPTIONS = (
    "no follow-up",
    "CT at 6-12 months",
    "CT at 3-6 months",
    "PET-CT or biopsy",
)
"""The four choices, always in this order: letters A to D."""

LUNG_CENTRES = {"right": 19.0, "left": 45.0}  # x in px; as in radiology, the patient's right is at the left
LUNG_AXES = {"axial": (11.5, 19.0), "projection": (11.5, 25.0)}  # half axes (x, y) in px
LUNG_Y = {"axial": 32.0, "projection": 31.0}

# Diameters of the largest nodule in mm, [low, high]: hard ones lie near a border of their class.
_DIAMETERS: dict[Difficulty, dict[SizeClass, tuple[tuple[float, float], ...]]] = {
    "easy": {"<6 mm": ((4.0, 4.6),), "6-8 mm": ((6.9, 7.1),), ">8 mm": ((10.2, 12.0),)},
    "medium": {"<6 mm": ((4.2, 5.0),), "6-8 mm": ((6.7, 7.3),), ">8 mm": ((9.5, 11.0),)},
    "hard": {
        "<6 mm": ((4.8, 5.3),),
        "6-8 mm": ((6.5, 6.8), (7.2, 7.5)),
        ">8 mm": ((9.0, 9.6),),
    },
}
_CONTRASTS: dict[Difficulty, tuple[float, float]] = {
    "easy": (1.05, 1.2),
    "medium": (0.95, 1.08),
    "hard": (0.85, 0.97),
}
_GAP = 2.0  # px kept free at each zone border


@dataclass(frozen=True)
class Nodule:
    """One round nodule."""

    x: float
    """Centre, px from the left edge of the image."""
    y: float
    """Centre, px from the upper edge."""
    diameter: float
    """Diameter in mm (= px)."""
    side: Side
    """The patient's side: right is at the left of the image."""
    zone: Zone
    """Third of the lung from the top."""


@dataclass(frozen=True)
class Scene:
    """Everything one image shows; `nodules[0]` is the largest, the others are clearly smaller."""

    scene_id: str
    """The question id it was made from."""
    look: Look
    """An axial slice or a projection."""
    difficulty: Difficulty
    """By contrast and closeness to a class border."""
    kind: Kind
    """What all its nodules are made of."""
    size: SizeClass
    """Class of the largest nodule."""
    contrast: float
    """Factor on the brightness of the nodules."""
    nodules: tuple[Nodule, ...]
    """One to three, largest first."""

    @property
    def count(self) -> int:
        """How many nodules there are."""
        return len(self.nodules)

    @property
    def largest(self) -> Nodule:
        """The nodule that the guideline is asked about."""
        return self.nodules[0]

    @property
    def answer(self) -> str:
        """The option text that the guideline gives."""
        return guideline(self.count, self.kind, self.size)


def guideline(count: int, kind: str, size: str) -> str:
    """The recommendation, one of OPTIONS, for so many nodules of a kind whose largest has this size class."""
    if kind == "calcified":
        return NONE
    if kind == "ground-glass":
        if count > 1:
            return SOON
        return NONE if size == "<6 mm" else LATER
    if size == "<6 mm":
        return NONE
    if count > 1:
        return SOON
    return LATER if size == "6-8 mm" else WORKUP


def question_ids(split: Split, n: int, seed: int = 0) -> list[str]:
    """The first `n` question ids of a split; other seeds give other questions of the same split."""
    if split not in SPLITS:
        raise DataError(f"unknown phantom split {split!r}: there is {', '.join(SPLITS)}")
    series = f"s{seed}-" if seed else ""
    return [f"phantom-{split}-{series}{index:06d}" for index in range(n)]


_ID = re.compile(rf"phantom-({'|'.join(SPLITS)})-(s\d+-)?\d{{6,}}")


def scene_of(question_id: str) -> Scene:
    """The scene behind a question id, the same on every machine."""
    if not _ID.fullmatch(question_id):
        raise DataError(f"{question_id!r} is no phantom question id; one reads 'phantom-test-000017'")
    rng = np.random.Generator(np.random.Philox(key=stable_seed("phantom", question_id)))
    look = LOOKS[rng.integers(2)]
    difficulty = DIFFICULTIES[rng.integers(3)]
    kind = KINDS[rng.choice(3, p=(0.5, 0.35, 0.15))]
    size = SIZE_CLASSES[rng.integers(3)]
    count = 1 + int(rng.choice(3, p=(0.52, 0.28, 0.2)))
    bands = _DIAMETERS[difficulty][size]
    diameter = rng.uniform(*bands[rng.integers(len(bands))])
    contrast = float(rng.uniform(*_CONTRASTS[difficulty]))
    nodules = _place(rng, look, count, diameter)
    return Scene(question_id, look, difficulty, kind, size, contrast, nodules)


def _place(rng: np.random.Generator, look: Look, count: int, diameter: float) -> tuple[Nodule, ...]:
    """The largest nodule and its smaller companions, well apart; starts again when it gets stuck."""
    while True:
        placed: list[Nodule] = []
        for index in range(count):
            size = diameter if index == 0 else max(2.8, diameter * rng.uniform(0.5, 0.66))
            for _ in range(20):
                nodule = _candidate(rng, look, size)
                if all(_apart(nodule, other) for other in placed):
                    placed.append(nodule)
                    break
        if len(placed) == count:
            return tuple(placed)


def _candidate(rng: np.random.Generator, look: Look, diameter: float) -> Nodule:
    """A nodule somewhere inside a lung, clear of zone borders."""
    side = SIDES[rng.integers(2)]
    index = int(rng.integers(3))
    half_x, half_y = LUNG_AXES[look]
    room_x, room_y = half_x - diameter / 2 - 1, half_y - diameter / 2 - 1
    third = 2 * half_y / 3
    top = LUNG_Y[look] - half_y + index * third
    low = max(top + _GAP, LUNG_Y[look] - 0.94 * room_y)
    high = min(top + third - _GAP, LUNG_Y[look] + 0.94 * room_y)
    y = float(rng.uniform(low, high))
    reach = room_x * (1 - ((y - LUNG_Y[look]) / room_y) ** 2) ** 0.5
    x = float(LUNG_CENTRES[side] + rng.uniform(-reach, reach))
    return Nodule(x, y, float(diameter), side, ZONES[index])


def _apart(one: Nodule, other: Nodule) -> bool:
    distance: float = ((one.x - other.x) ** 2 + (one.y - other.y) ** 2) ** 0.5
    return distance > (one.diameter + other.diameter) / 2 + 3
