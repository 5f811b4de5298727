"""BM25 over passages, whole batches of queries at once.

`bm25s` (arXiv 2407.03618) computes the score of every word in every passage when the index is built. A batch of
queries is then one product of two sparse matrices, (queries, words) x (words, passages), which touches only passages
that share a word with a query.

    index = Lexical.build(["Lungs exchange gas.", "The liver makes bile."])
    index.search(["What makes bile?"], k=1)      ->  [[(1, 0.98)]]
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import MissingExtraError

Ranking = list[tuple[int, float]]
"""(index of a passage, score), best first."""

K1, B = 1.5, 0.75
_NOTHING = "medprmnothing"
_TOGETHER = 256  # queries in one product: some 60 MB at 100,000 passages


class Lexical:
    """A BM25 index; it answers in batches, and the same batch always in the same order."""

    def __init__(self, bm25: Any) -> None:
        self._bm25 = bm25

    @classmethod
    def build(cls, texts: Sequence[str]) -> Lexical:
        """Indexes the texts; their position is their name."""
        bm25s = _bm25s()
        bm25 = bm25s.BM25(method="lucene", k1=K1, b=B)
        # A last passage of one made-up word keeps texts of stop words alone from being an error; it is never found.
        tokens = bm25s.tokenize([*texts, _NOTHING], stopwords="en", show_progress=False)
        bm25.index(tokens, show_progress=False)
        return cls(bm25)

    @classmethod
    def open(cls, folder: Path) -> Lexical:
        """A saved index, its arrays mapped from the disk and not read."""
        return cls(_bm25s().BM25.load(folder, mmap=True))

    def save(self, folder: Path) -> None:
        """Writes the index to a folder."""
        self._bm25.save(folder, show_progress=False)

    def search(self, queries: Sequence[str], k: int = 10) -> list[Ranking]:
        """The k best passages of each query; only such as share a word with it, so there may be fewer."""
        tokens = _bm25s().tokenize(list(queries), stopwords="en", return_ids=False, show_progress=False)
        found: list[Ranking] = []
        for start in range(0, len(tokens), _TOGETHER):
            found += self._together(tokens[start : start + _TOGETHER], k)
        return found

    @cached_property
    def _words(self) -> Any:
        """Scores, (words, passages), as a sparse matrix that shares the index's memory."""
        from scipy.sparse import csr_array

        parts = self._bm25.scores
        shape = (len(parts["indptr"]) - 1, parts["num_docs"])
        return csr_array((parts["data"], parts["indices"], parts["indptr"]), shape=shape, copy=False)

    def _together(self, tokens: Sequence[Sequence[str]], k: int) -> list[Ranking]:
        from scipy.sparse import csr_array

        vocabulary = self._bm25.vocab_dict
        ids = [[vocabulary[word] for word in query if word in vocabulary] for query in tokens]
        ends = np.cumsum([0, *map(len, ids)])
        flat = np.array([word for query in ids for word in query], np.int32)
        asked = csr_array((np.ones(len(flat), np.float32), flat, ends), shape=(len(ids), self._words.shape[0]))
        scores = asked @ self._words
        last = self._words.shape[1] - 1
        rows = (slice(begin, end) for begin, end in zip(scores.indptr, scores.indptr[1:], strict=False))
        return [_best(scores.indices[row], scores.data[row], k, last) for row in rows]


def _best(names: NDArray[np.int32], scores: NDArray[np.float32], k: int, last: int) -> Ranking:
    """The k highest scores; equal ones in the order of the passages."""
    if len(scores) > k + 1:
        least = np.partition(scores, len(scores) - k - 1)[len(scores) - k - 1]
        able = scores >= least
        names, scores = names[able], scores[able]
    order = np.lexsort((names, -scores))
    ranked = ((int(names[i]), float(scores[i])) for i in order)
    return [(name, score) for name, score in ranked if name != last and score > 0][:k]


def _bm25s() -> Any:
    try:
        import bm25s  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("BM25 search", "retrieval", "bm25s") from error
    return bm25s
