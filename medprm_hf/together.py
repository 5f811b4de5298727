"""What belongs together because it shares something, directly or through others: union-find over names.

    together = Together()
    together.join("q1", "image:ab12")
    together.join("q7", "image:ab12")
    together.root("q1") == together.root("q7")     →  True

Splits need it everywhere: questions of one patient, image or text must stand on one side. One dict is held, some 100
bytes a name (scipy's DisjointSet holds four).
"""

from __future__ import annotations

from medprm_hf.ids import Part, stable_seed


class Together:
    """Disjoint sets of names; a name that was never joined stands alone."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def join(self, first: str, *others: str) -> None:
        """Says that these names belong together."""
        for other in others:
            self._above[self.root(other)] = self.root(first)

    def root(self, name: str) -> str:
        """The name that stands for all that belong together with this one; it may change with the next `join`."""
        root = name
        while (above := self._above.setdefault(root, root)) != root:
            root = above
        while self._above[name] != root:  # the next way up is short
            self._above[name], name = root, self._above[name]
        return root


def split_by_hash(shares: dict[str, float], *parts: Part) -> str:
    """The split that `parts` fall into by their stable hash; `shares` add up to 1 (the last takes what is left)."""
    at = stable_seed(*parts) / (1 << 63)
    for name, share in shares.items():
        at -= share
        if at < 0:
            return name
    return next(reversed(shares))
