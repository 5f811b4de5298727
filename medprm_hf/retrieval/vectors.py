"""Inner-product search over vectors in a folder: exact up to some 200,000, by inverted lists (IVF) beyond.

    vectors.f32   rows of float32, appended to and memory-mapped
    coarse.faiss  beyond the limit: FAISS inverted lists of 8-bit codes, whose candidates are ranked again exactly
    vectors.json  dimension and count: written last, so an addition that was cut off never happened

Exact search works on whole batches and the mapped file: one matrix product where a loop reads all vectors once a
query; by FAISS, or with a rough first pass (`rough.py`) where that pays. With vectors of length one the inner product
is the cosine.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import DataError, MissingExtraError, StoreError
from medprm_hf.retrieval.rough import RoughFirst

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

EXACT_UP_TO = 200_000
"""Vectors from which inverted lists are worth their loss."""
WANTED_RECALL = 0.95
"""Share of the exact five neighbours that inverted lists must find on a sample when they are made."""
_SHORTLIST = 20  # candidates per neighbour wanted that are ranked again exactly
_MANY, _FEW = 32, 128  # queries from which, and neighbours up to which, a rough first pass pays


class VectorIndex:
    """The vectors of a folder; rows are numbered in the order in which they were added."""

    def __init__(self, folder: Path, dim: int, count: int, probes: int | None, exact_up_to: int) -> None:
        self.folder, self.dim, self.count, self.probes, self.exact_up_to = folder, dim, count, probes, exact_up_to
        self._vectors: Floats | None = None
        self._coarse: Any = None
        self._rough: RoughFirst | None = None

    @classmethod
    def create(cls, folder: Path, dim: int, exact_up_to: int = EXACT_UP_TO) -> VectorIndex:
        """A new, empty index of vectors with `dim` numbers."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vectors.f32").write_bytes(b"")
        index = cls(folder, dim, 0, None, exact_up_to)
        index._write_meta()
        return index

    @classmethod
    def open(cls, folder: Path) -> VectorIndex:
        """A saved index; nothing is read before the first search."""
        meta = folder / "vectors.json"
        if not meta.is_file():
            raise StoreError(f"{folder} holds no vectors (no vectors.json): build the index again")
        index = cls(folder, **json.loads(meta.read_text(encoding="utf-8")))
        needed, there = index.count * index.dim * 4, (folder / "vectors.f32").stat().st_size
        if there < needed:
            raise StoreError(f"{folder}/vectors.f32 holds {there} of {needed} bytes: build the index again")
        return index

    @property
    def vectors(self) -> Floats:
        """All vectors, (count, dim), mapped from the disk."""
        if self._vectors is None or len(self._vectors) != self.count:
            shape, path = (self.count, self.dim), self.folder / "vectors.f32"
            self._vectors = np.memmap(path, np.float32, "r", shape=shape) if self.count else np.empty(shape, np.float32)
        return self._vectors

    def add(self, vectors: NDArray[Any]) -> None:
        """Appends rows, (n, dim), without touching those that are there; DataError for a wrong shape or a nan."""
        rows = np.ascontiguousarray(vectors, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise DataError(f"vectors of shape {rows.shape} do not fit {self.folder}, which holds (n, {self.dim})")
        if not np.isfinite(rows).all() or not rows.any(axis=1).all():
            raise DataError(f"{self.folder}: a vector is zero or not finite, and is near to nothing: leave it out")
        with (self.folder / "vectors.f32").open("r+b") as file:
            file.truncate(self.count * self.dim * 4)  # what an addition that was cut off has left
            file.seek(0, os.SEEK_END)
            file.write(rows.tobytes())
        before, self.count = self.count, self.count + len(rows)
        if self.count > self.exact_up_to:
            self._extend_lists(before)
        self._write_meta()

    def search(self, queries: NDArray[Any], k: int) -> tuple[Floats, Ints]:
        """Inner products and row numbers of the k nearest, each (n, min(k, count)), best first."""
        asked = np.ascontiguousarray(queries, np.float32).reshape(-1, self.dim)
        k = min(k, self.count)
        if not k or not len(asked):
            return np.empty((len(asked), k), np.float32), np.empty((len(asked), k), np.int64)
        if self.probes is None:
            return self._exact(asked, k)
        return self._by_lists(asked, k, self.probes)

    def _exact(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        if len(queries) >= _MANY and k <= _FEW:
            if self._rough is None or len(self._rough.vectors) != self.count:
                self._rough = RoughFirst.of(self.vectors)
            if self._rough is not None:
                return self._rough.search(queries, k)
        faiss = _faiss()
        scores, rows = faiss.knn(queries, self.vectors, k, faiss.METRIC_INNER_PRODUCT)
        return scores, rows

    def _by_lists(self, queries: Floats, k: int, probes: int) -> tuple[Floats, Ints]:
        """Candidates from the lists, ranked again by their exact inner products."""
        lists = self._lists()
        lists.nprobe = probes
        _, rows = lists.search(queries, min(self.count, max(k * _SHORTLIST, 100)))
        there = (rows >= 0) & (rows < self.count)
        scores = np.einsum("qd,qcd->qc", queries, self.vectors[np.where(there, rows, 0)])
        scores[~there] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)

    def _lists(self) -> Any:
        if self._coarse is None:
            faiss = _faiss()
            self._coarse = faiss.read_index(str(self.folder / "coarse.faiss"), faiss.IO_FLAG_MMAP)
        return self._coarse

    def _extend_lists(self, before: int) -> None:
        """Adds the rows from `before` on to the lists, which are trained the first time."""
        faiss, path = _faiss(), self.folder / "coarse.faiss"
        rows = np.memmap(self.folder / "vectors.f32", np.float32, "r", shape=(self.count, self.dim))
        lists = faiss.read_index(str(path)) if self.probes is not None else None
        if lists is None or lists.ntotal != before:  # none yet, or an addition was cut off
            lists, before, self.probes = _trained(faiss, rows), 0, None
        for start in range(before, self.count, 65536):
            lists.add(np.ascontiguousarray(rows[start : start + 65536]))
        faiss.write_index(lists, str(path) + ".new")
        os.replace(str(path) + ".new", path)
        self._coarse = None
        if self.probes is None:
            self.probes = self._enough_probes(lists.nlist)

    def _enough_probes(self, lists: int) -> int:
        """The smallest power of two that finds WANTED_RECALL of the exact neighbours of sampled, disturbed rows."""
        rng = np.random.Generator(np.random.Philox(key=self.count))
        sample = np.array(self.vectors[np.sort(rng.choice(self.count, min(128, self.count), replace=False))])
        noise = rng.standard_normal(sample.shape, np.float32)
        sample += noise * (np.linalg.norm(sample, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True))
        _, wanted = self._exact(sample, 5)
        probes = 1
        while probes < lists:
            _, found = self._by_lists(sample, 5, probes)
            hits = sum(len(set(a) & set(b)) for a, b in zip(wanted.tolist(), found.tolist(), strict=True))
            if hits >= WANTED_RECALL * wanted.size:
                break
            probes *= 2
        return min(probes, lists)

    def _write_meta(self) -> None:
        meta = {"dim": self.dim, "count": self.count, "probes": self.probes, "exact_up_to": self.exact_up_to}
        new = self.folder / "vectors.json.new"
        new.write_text(json.dumps(meta), encoding="utf-8")
        os.replace(new, self.folder / "vectors.json")


def _trained(faiss: Any, rows: Floats) -> Any:
    """Empty inverted lists, about 4 sqrt(n) of them, whose centres were learnt on a sample of the rows."""
    count, dim = rows.shape
    lists = max(1, int(4 * count**0.5))
    rng = np.random.Generator(np.random.Philox(key=count))
    sample = rows[np.sort(rng.choice(count, min(count, 64 * lists), replace=False))]
    index = faiss.index_factory(dim, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(np.ascontiguousarray(sample))
    return index


def _faiss() -> Any:
    try:
        import faiss  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("vector search", "retrieval", "faiss-cpu") from error
    return faiss
