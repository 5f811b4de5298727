"""Exact inner-product search in two passes: half-precision products say where to look, exact ones say what is best.

Rounding to bfloat16 moves a number by at most 2^-8 of itself, so a product of two rounded vectors is off by at most
2^-7 |q| |x|, and by 2^-8 of itself when it is rounded in turn. What is less than the k-th best rough product by more
than twice that cannot be among the k best, and only the rest (some dozen vectors a query) is multiplied exactly: the
result is that of exact search. It pays where the processor multiplies bfloat16 itself.

    rough = RoughFirst.of(vectors)                # null where it would not pay
    scores, rows = rough.search(queries, k=5)     # (n, 5) each, best first
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

PAYS_FROM = 20_000
"""Vectors from which the first pass pays."""
_GROUP = 16  # rough products whose greatest is looked at first
_TOGETHER = 256  # queries in one product: 50 MiB of rough products at 100,000 vectors
_INPUTS = 2.0**-7 + 2.0**-10  # of |q| |x|: both inputs rounded; the rest is room for sums in single precision
_RESULT = 2.0**-7  # of the product: rounded, with as much room again


class RoughFirst:
    """Vectors, (count, dim), and their bfloat16 copy."""

    def __init__(self, vectors: Floats, torch: Any) -> None:
        self.vectors, self._torch = vectors, torch
        padding = -len(vectors) % _GROUP
        self._half = torch.zeros((len(vectors) + padding, vectors.shape[1]), dtype=torch.bfloat16)
        self._longest = 0.0
        for start in range(0, len(vectors), 65536):
            part = np.array(vectors[start : start + 65536])
            self._half[start : start + len(part)] = torch.from_numpy(part).bfloat16()
            self._longest = max(self._longest, float(np.linalg.norm(part, axis=1).max()))

    @classmethod
    def of(cls, vectors: Floats) -> RoughFirst | None:
        """For these vectors; null where they are few, or torch or the processor's bfloat16 products are missing."""
        if len(vectors) < PAYS_FROM:
            return None
        try:
            import torch
        except ImportError:
            return None
        able = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        return cls(vectors, torch) if able() else None

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """Inner products and row numbers of the k nearest, (n, k), best first; k is at most a group's share."""
        parts = [self._some(queries[start : start + _TOGETHER], k) for start in range(0, len(queries), _TOGETHER)]
        return np.concatenate([scores for scores, _ in parts]), np.concatenate([rows for _, rows in parts])

    def _some(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        asked, row = self._candidates(queries, k)
        exact = np.einsum("nd,nd->n", queries[asked], self.vectors[row])
        order = np.lexsort((row, -exact, asked))
        asked, row, exact = asked[order], row[order], exact[order]
        first = np.searchsorted(asked, np.arange(len(queries)))
        places = first[:, None] + np.arange(k)
        return exact[places], row[places]

    def _candidates(self, queries: Floats, k: int) -> tuple[Ints, Ints]:
        """(query, row) of everything that may be among the k best; k or more for each query."""
        torch = self._torch
        with torch.inference_mode():
            rough = torch.from_numpy(queries).bfloat16() @ self._half.T
            groups = rough.view(len(queries), _GROUP, -1)  # rows g, g + width, g + 2 width … are group g
            greatest = groups.amax(1).float()
            kth = greatest.topk(k, dim=1).values[:, -1]  # k groups hold something at least as great
            lengths = self._longest * torch.from_numpy(np.linalg.norm(queries, axis=1))
            least = kth - 2 * (_INPUTS * lengths + _RESULT * kth.abs())
            asked, group = torch.nonzero(greatest >= least[:, None], as_tuple=True)
            place, inner = torch.nonzero(groups[asked, :, group].float() >= least[asked, None], as_tuple=True)
            row = inner * groups.shape[2] + group[place]
            there = row < len(self.vectors)  # the rest is padding
            return asked[place][there].numpy(), row[there].numpy()
