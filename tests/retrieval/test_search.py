"""BM25, vectors and fusion against slow, plain ways of finding the same."""

from pathlib import Path

import numpy as np
import pytest

from medprm_hf.errors import DataError, StoreError
from medprm_hf.retrieval.fusion import fuse
from medprm_hf.retrieval.lexical import Lexical
from medprm_hf.retrieval.vectors import VectorIndex

WORDS = [f"word{n}" for n in range(60)]


def test_bm25_in_batches_ranks_as_bm25s_does_one_by_one(tmp_path: Path) -> None:
    bm25s = pytest.importorskip("bm25s")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(3, 30))) for _ in range(300)]
    queries = [" ".join(rng.choice(WORDS, size=4)) for _ in range(300)]  # more than go together
    index = Lexical.build(texts)
    index.save(tmp_path / "bm25")
    found = Lexical.open(tmp_path / "bm25").search(queries, 5)
    assert found == index.search(queries, 5)
    plain = bm25s.BM25(method="lucene")
    plain.index(bm25s.tokenize([*texts, "medprmnothing"], stopwords="en", show_progress=False), show_progress=False)
    for query, ranking in zip(queries[:40], found, strict=False):
        scores = plain.get_scores(bm25s.tokenize([query], return_ids=False, show_progress=False)[0])
        assert [score for _, score in ranking] == pytest.approx(sorted(scores, reverse=True)[:5], abs=1e-4)


def test_bm25_finds_only_what_shares_a_word() -> None:
    index = Lexical.build(["liver makes bile", "lungs", "liver"])
    found = index.search(["bile liver", "spleen", "", "the", "medprmnothing"], 10)
    assert [[row for row, _ in ranking] for ranking in found] == [[0, 2], [], [], [], []]
    assert Lexical.build(["the", "a"]).search(["the cat"], 3) == [[]]


@pytest.fixture
def vectors() -> np.ndarray:
    rng = np.random.default_rng(1)
    found = rng.standard_normal((3000, 16)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def best(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-(queries @ vectors.T), axis=1)[:, :k]


def test_exact_search_and_extension(tmp_path: Path, vectors: np.ndarray) -> None:
    index = VectorIndex.create(tmp_path / "v", 16)
    index.add(vectors[:1000])
    before = (tmp_path / "v" / "vectors.f32").read_bytes()
    index.add(vectors[1000:])
    assert (tmp_path / "v" / "vectors.f32").read_bytes().startswith(before)
    opened = VectorIndex.open(tmp_path / "v")
    scores, rows = opened.search(vectors[:50], 5)
    assert isinstance(opened.vectors, np.memmap)
    assert (rows == best(vectors, vectors[:50], 5)).all() and scores[:, 0] == pytest.approx(1, abs=1e-5)
    assert opened.search(vectors[:1], 5000)[1].shape == (1, 3000)
    assert opened.search(np.empty((0, 16)), 5)[1].shape == (0, 5)


def test_beyond_the_limit_lists_find_nearly_all_and_grow(tmp_path: Path, vectors: np.ndarray) -> None:
    index = VectorIndex.create(tmp_path / "v", 16, exact_up_to=2000)
    index.add(vectors[:2500])
    trained = (tmp_path / "v" / "coarse.faiss").stat().st_size
    index.add(vectors[2500:])
    opened = VectorIndex.open(tmp_path / "v")
    assert opened.probes and (tmp_path / "v" / "coarse.faiss").stat().st_size > trained
    scores, rows = opened.search(vectors[2400:2600], 5)
    assert (rows[:, 0] == np.arange(2400, 2600)).mean() > 0.98
    exact = best(vectors, vectors[2400:2600], 5)
    recall = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(rows, exact, strict=True)])
    assert recall > 0.9
    assert scores == pytest.approx(np.einsum("qd,qkd->qk", vectors[2400:2600], vectors[rows]), abs=1e-5)


def test_an_addition_that_was_cut_off_never_happened(tmp_path: Path, vectors: np.ndarray) -> None:
    index = VectorIndex.create(tmp_path / "v", 16)
    index.add(vectors[:10])
    with (tmp_path / "v" / "vectors.f32").open("ab") as file:
        file.write(b"half a row")
    opened = VectorIndex.open(tmp_path / "v")
    opened.add(vectors[10:20])
    assert (VectorIndex.open(tmp_path / "v").vectors == vectors[:20]).all()


@pytest.mark.parametrize(
    ("rows", "said"),
    [(np.ones((2, 3)), r"\(2, 3\)"), (np.zeros((1, 4)), "zero"), (np.full((1, 4), np.nan), "not finite")],
)
def test_vectors_that_cannot_be_compared_are_refused(tmp_path: Path, rows: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        VectorIndex.create(tmp_path / "v", 4).add(rows)


def test_a_cut_file_is_refused(tmp_path: Path, vectors: np.ndarray) -> None:
    VectorIndex.create(tmp_path / "v", 16).add(vectors[:10])
    with (tmp_path / "v" / "vectors.f32").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(StoreError, match="100 of 640 bytes"):
        VectorIndex.open(tmp_path / "v")
    with pytest.raises(StoreError, match=r"no vectors\.json"):
        VectorIndex.open(tmp_path)


@pytest.mark.parametrize(
    ("rankings", "weights", "found"),
    [
        ([["a", "b"], ["b", "a"]], [1, 1], ["a", "b"]),
        ([["a", "b"], ["b", "c"]], [1, 1], ["b", "a", "c"]),
        ([["a"], ["b"]], [1, 2], ["b", "a"]),
        ([["a"], []], [1, 1], ["a"]),
    ],
)
def test_fusion(rankings: list[list[str]], weights: list[float], found: list[str]) -> None:
    assert [name for name, _ in fuse(rankings, weights, 3)] == found
    assert fuse([["a"]], [1.0], 1)[0][1] == pytest.approx(1 / 61)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_a_rough_first_pass_finds_exactly_the_best(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    torch = pytest.importorskip("torch")
    from medprm_hf.retrieval import rough

    rng = np.random.default_rng(3)
    vectors = (scale * rng.standard_normal((5003, 24))).astype(np.float32)
    vectors[100:140] = vectors[100]  # more equals than are wanted
    vectors[200:240] = vectors[200] + 1e-4 * rng.standard_normal((40, 24))  # nearer than bfloat16 can tell
    queries = np.concatenate([vectors[[100, 200, 5002]], rng.standard_normal((297, 24)), -np.abs(vectors[:9])])
    queries = np.ascontiguousarray(queries, np.float32)
    scores, rows = rough.RoughFirst(vectors, torch).search(queries, 7)
    exact = queries @ vectors.T
    assert scores == pytest.approx(-np.sort(-exact, axis=1)[:, :7], rel=1e-4, abs=1e-4 * scale)
    assert np.take_along_axis(exact, rows, 1) == pytest.approx(scores, rel=1e-4, abs=1e-4 * scale)
    assert all(len(set(row)) == 7 for row in rows.tolist()) and rows[0].tolist() == list(range(100, 107))
    assert rough.RoughFirst.of(vectors) is None  # too few to pay
