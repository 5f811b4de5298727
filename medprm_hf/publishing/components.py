"""What belongs together and must stand in one split: patient or study, image, look-alike image, question that says
the same.

    together = Components(distance=2)
    together.add("q1", group="patient-3", sha="ab…", look=0x9f…, asked="which side? left right")
    together.add("q7", group="patient-8", sha="cd…", look=0x9f…, asked="what is seen?")
    together.root("q1") == together.root("q7")     →  True: their images look the same

Held per question are names and hashes only, some 300 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from medprm_hf.ids import content_hash
from medprm_hf.imaging.perceptual import PerceptualIndex
from medprm_hf.together import Together

SPLITS = ("train", "development", "test")
SHARES = {"train": 0.9, "development": 0.05, "test": 0.05}
"""Where questions go that name no split of their own."""


class Components:
    """Union-find over questions by what they share."""

    def __init__(self, distance: int | None) -> None:
        """`distance`: bits of 64 up to which two images look the same; None: images are compared by bytes only."""
        self._together = Together()
        self._looks: dict[int, str] = {}
        self._index = None if distance is None else PerceptualIndex(distance)
        self._of: dict[str, str] = {}

    def add(self, question: str, *, group: str | None, sha: str | None, look: int | None, asked: str) -> None:
        """One question: its group, its image's SHA-256 and perceptual hash (64 bits), what is asked in words."""
        key = f"q:{question}"
        shared = [f"g:{group}"] if group else []
        shared += [f"i:{sha}"] if sha else []
        picture = self._twin(look, sha or question) if look is not None else sha
        shared += [f"l:{picture}"] if picture else []
        shared.append(f"t:{content_hash(normal(asked), picture)}")
        self._of[question] = key
        for other in shared:
            self._together.join(other, key)

    def join(self, one: str, other: str) -> None:
        """Two questions that belong together for another reason."""
        self._together.join(self._of[one], self._of[other])

    def root(self, question: str) -> str:
        """Name of the component that a question stands in; the same for all of it."""
        return self._together.root(self._of[question])

    def members(self) -> Iterator[tuple[str, str]]:
        """(question, root) in the order in which they came."""
        return ((question, self._together.root(key)) for question, key in self._of.items())

    def _twin(self, look: int, name: str) -> str:
        if self._index is None:
            return name
        if look not in self._looks:
            self._looks[look] = self._index.twin(name, look) or name
        return self._looks[look]


def normal(text: str) -> str:
    """A text without case and repeated blanks."""
    return " ".join(text.casefold().split())
