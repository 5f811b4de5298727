"""How fast 100,000 passages and 100,000 images are searched, in batches of 256 queries, against the usual ways.

    python tests/benchmarks/retrieval.py [--json] [--size 100000] [--threads 1] [--only lexical|images]

lexical/100k   passages of three sentences drawn from ../shared/data's three corpora; 512 PubMedQA-like queries (its
               questions) against rank_bm25's BM25Okapi on the same tokens, which is timed on few queries
               (`--slow-queries`); recall_at_5: each of 512 passages searched by one of its own sentences
images/100k    vectors of 512 numbers drawn at random, of length one (encoding is timed apart: `encoding/…`), against
               a loop of one FAISS query at a time over a flat index in memory; recall_at_5 against that loop

    queries_per_second, speedup_vs_rank_bm25 (goal 250), speedup_vs_one_by_one (goal 15 at recall 1),
    build_seconds, open_seconds, memory_mib (resident set that the search adds, mapped pages included), recall_at_5

Speed is the best of five passes, ours and theirs alike, since other work on the machine only ever slows a pass down.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medprm_hf.retrieval.lexical import Lexical
from medprm_hf.retrieval.vectors import VectorIndex

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.retrieval_quality import documents, questions  # noqa: E402

BATCH, DIM, PASSES = 256, 512, 5
Rows = list[dict[str, Any]]


def line(case: str, metric: str, value: float, unit: str, goal: float | None = None) -> dict[str, Any]:
    holds = None if goal is None else bool(value >= goal)
    return {"case": case, "metric": metric, "value": round(value, 3), "unit": unit, "goal": goal, "holds": holds}


def seconds(work: Callable[[], object], passes: int = PASSES) -> float:
    """The fastest of several passes."""
    times = []
    for _ in range(passes):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def memory() -> float:
    """Resident set, MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def passages(size: int, rng: np.random.Generator) -> list[list[str]]:
    """Passages of three real sentences each."""
    split = re.compile(r"(?<=[.!?])\s+")
    sentences = [part for row in documents() for part in split.split(row["text"]) if len(part) > 30]
    drawn = rng.integers(len(sentences), size=(size, 3))
    return [[sentences[i] for i in row] for row in drawn]


def lexical(size: int, slow_queries: int) -> Iterator[dict[str, Any]]:
    rng = np.random.Generator(np.random.Philox(key=6))
    parts = passages(size, rng)
    texts = [" ".join(part) for part in parts]
    case, before = f"lexical/{size // 1000}k", memory()
    with tempfile.TemporaryDirectory() as temporary:
        started = time.perf_counter()
        Lexical.build(texts).save(Path(temporary) / "bm25")
        yield line(case, "build_seconds", time.perf_counter() - started, "s")
        yield line(case, "memory_mib", memory() - before, "MiB")
        started = time.perf_counter()
        index = Lexical.open(Path(temporary) / "bm25")
        index.search(["lung"], 5)
        yield line(case, "open_seconds", time.perf_counter() - started, "s")
        asked = [item["QUESTION"] for item in questions().values()][: 2 * BATCH]
        batches = [asked[start : start + BATCH] for start in range(0, len(asked), BATCH)]
        ours = len(asked) / seconds(lambda: [index.search(batch, 5) for batch in batches])
        theirs = rank_bm25(texts, asked[:slow_queries])
        rows = rng.integers(size, size=512)
        found = index.search([parts[row][0] for row in rows], 5)
        same = [any(parts[row][0] in parts[hit] for hit, _ in hits) for row, hits in zip(rows, found, strict=True)]
    yield line(case, "queries_per_second", ours, "1/s")
    yield line(case, "rank_bm25_queries_per_second", theirs, "1/s")
    yield line(case, "speedup_vs_rank_bm25", ours / theirs, "times", 250)
    yield line(case, "recall_at_5", float(np.mean(same)), "share")


def rank_bm25(texts: list[str], asked: list[str]) -> float:
    """Queries per second of BM25Okapi on the tokens that bm25s makes."""
    import bm25s  # type: ignore[import-untyped,unused-ignore]
    from rank_bm25 import BM25Okapi  # type: ignore[import-untyped,unused-ignore]

    def tokens(some: list[str]) -> list[list[str]]:
        found: list[list[str]] = bm25s.tokenize(some, stopwords="en", return_ids=False, show_progress=False)
        return found

    slow, names = BM25Okapi(tokens(texts)), list(range(len(texts)))
    return len(asked) / seconds(lambda: [slow.get_top_n(query, names, 5) for query in tokens(asked)], passes=2)


def images(size: int, loop_queries: int) -> Iterator[dict[str, Any]]:
    import faiss  # type: ignore[import-untyped,unused-ignore]

    rng = np.random.Generator(np.random.Philox(key=6))
    vectors, asked = (drawn(rng, count) for count in (size, BATCH))
    case = f"images/{size // 1000}k"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "vectors"
        started = time.perf_counter()
        VectorIndex.create(folder, DIM).add(vectors)
        yield line(case, "build_seconds", time.perf_counter() - started, "s")
        flat = faiss.IndexFlatIP(DIM)
        flat.add(vectors)
        del vectors
        import torch

        torch.set_num_threads(faiss.omp_get_max_threads())
        before, started = memory(), time.perf_counter()
        index = VectorIndex.open(folder)
        _, found = index.search(asked, 5)
        yield line(case, "open_seconds", time.perf_counter() - started, "s")
        yield line(case, "memory_mib", memory() - before, "MiB")
        few = asked[:loop_queries]
        ours, theirs = 0.0, 0.0
        for _ in range(PASSES):  # turn by turn, so that both meet the same machine
            ours = max(ours, len(asked) / seconds(lambda: index.search(asked, 5), 1))
            theirs = max(theirs, len(few) / seconds(lambda: [flat.search(query[None], 5) for query in few], 1))
        exact = np.concatenate([flat.search(query[None], 5)[1] for query in asked])
    recall = float(np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found.tolist(), exact.tolist(), strict=True)]))
    yield line(case, "queries_per_second", ours, "1/s")
    yield line(case, "one_by_one_queries_per_second", theirs, "1/s")
    yield line(case, "speedup_vs_one_by_one", ours / theirs, "times", 15)
    yield line(case, "recall_at_5", recall, "share", 1.0)


def drawn(rng: np.random.Generator, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    found = rng.standard_normal((count, DIM), dtype=np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def encoding() -> Iterator[dict[str, Any]]:
    """How fast the packaged sentence encoder is here: encoding is the larger part of a build."""
    from medprm_hf.retrieval.encoders import open_encoder

    encoder = open_encoder("minilm")
    texts = [row["text"][:1000] for _, row in zip(range(64), documents(), strict=False)]
    yield line("encoding/minilm", "passages_per_second", 64 / seconds(lambda: encoder.passages(texts), 2), "1/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a figure and line")
    parser.add_argument("--size", type=int, default=100_000, help="passages and images")
    parser.add_argument("--slow-queries", type=int, default=16, help="queries that rank_bm25 and the loop are timed on")
    parser.add_argument("--threads", type=int, help="threads of FAISS; all cores if left out")
    parser.add_argument("--only", choices=("lexical", "images", "encoding"), help="one case alone")
    chosen = parser.parse_args()
    if chosen.threads:
        import faiss

        faiss.omp_set_num_threads(chosen.threads)
    cases = {
        "lexical": lambda: lexical(chosen.size, chosen.slow_queries),
        "images": lambda: images(chosen.size, chosen.slow_queries),
        "encoding": encoding,
    }
    for name, measured in cases.items():
        if chosen.only in (None, name):
            for row in measured():
                goal = "" if row["goal"] is None else f"  goal {row['goal']}: {'met' if row['holds'] else 'missed'}"
                shown = f"{row['case']:16} {row['metric']:30} {row['value']:12}{goal}"
                print(json.dumps(row) if chosen.json else shown, flush=True)


if __name__ == "__main__":
    main()
