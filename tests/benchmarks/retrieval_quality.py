"""Do the passages that answer a question come first? PubMedQA's questions among textbook and NIH passages.

    python tests/benchmarks/retrieval_quality.py [--json] [--encoder minilm] [--index FOLDER]

500 questions of ../shared/data/pubmedqa; a hit is any passage of the question's own abstract. They are searched among
their 1,669 contexts, 6,747 textbook paragraphs (openstax_ap1e) and 3,109 NIH and CDC passages (medquad_subset), cut
into passages of 256 tokens with 32 of overlap, repetitions left out (a left-out context counts as the passage that
stays in its place). Cases: `plain` (bm25s as it comes, documents whole, repetitions kept), `lexical`, `dense`, `fused`;
each over `all` questions and over the `reported` half. The weight of the encoder in the fusion is the one with the
best mean reciprocal rank on the other half (even places); the reported half had no part in it. The answers play none.

    recall_at_1, recall_at_5, mrr   share of questions with a hit first, among five; mean of 1/rank (0 beyond 100)

`--index` keeps the built index (encoding takes about 20 minutes on one core) and uses it the next time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medprm_hf.retrieval.corpus import Corpus, passages_of
from medprm_hf.retrieval.fusion import fuse
from medprm_hf.retrieval.index import WEIGHTS, TextIndex

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
DEPTH = 100
CANDIDATES = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
GOALS = {("fused", "recall_at_1"): 0.95, ("fused", "recall_at_5"): 0.985}
Ranks = np.ndarray[Any, np.dtype[np.float64]]


def questions() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DATA / "pubmedqa" / "pqal_dev500.json").read_text(encoding="utf-8"))
    return loaded


def documents() -> Iterator[dict[str, str]]:
    """The rows of the three corpora, each with its licence."""
    for pmid, item in questions().items():
        for number, text in enumerate(item["CONTEXTS"]):
            yield {"id": f"pubmed:{pmid}:{number}", "text": text, "source": "pubmedqa", "license": "MIT"}
    for line in (DATA / "openstax_ap1e" / "corpus_passages.jsonl").open(encoding="utf-8"):
        yield {**by_id(line), "source": "openstax", "license": "CC-BY-3.0"}
    for line in (DATA / "medquad_subset" / "medquad_nih_cdc_passages.jsonl").open(encoding="utf-8"):
        yield {**by_id(line), "license": "CC-BY-4.0"}


def by_id(line: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    return {**row, "id": row.pop("doc_id")}


def own_documents(corpus: Corpus) -> list[set[str]]:
    """Ids of the documents that count as a hit, for each question."""
    owned = []
    for pmid, item in questions().items():
        names = [f"pubmed:{pmid}:{number}" for number in range(len(item["CONTEXTS"]))]
        owned.append({document(corpus.same_as.get(name, name)) for name in names})
    return owned


def document(passage_id: str) -> str:
    return passage_id.split("~")[0]


def ranks(rankings: Sequence[Sequence[int]], names: Sequence[str], owned: Sequence[set[str]]) -> Ranks:
    """Rank of the first hit, from 1, or infinity: [questions]."""
    found = []
    for ranking, own in zip(rankings, owned, strict=True):
        hits = (rank for rank, row in enumerate(ranking, start=1) if names[row] in own)
        found.append(next(hits, np.inf))
    return np.array(found)


def figures(found: Ranks) -> dict[str, float]:
    return {
        "recall_at_1": float((found <= 1).mean()),
        "recall_at_5": float((found <= 5).mean()),
        "mrr": float((1 / found).mean()),
    }


def plain(asked: Sequence[str]) -> Ranks:
    """bm25s with its defaults over whole documents, as it comes."""
    import bm25s  # type: ignore[import-untyped,unused-ignore]

    rows = list(documents())
    bm25 = bm25s.BM25()
    bm25.index(bm25s.tokenize([row["text"] for row in rows], stopwords="en", show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(list(asked), stopwords="en", show_progress=False)
    rankings = bm25.retrieve(tokens, k=DEPTH, show_progress=False)[0].tolist()
    owned = [
        {f"pubmed:{pmid}:{number}" for number in range(len(item["CONTEXTS"]))} for pmid, item in questions().items()
    ]
    return ranks(rankings, [row["id"] for row in rows], owned)


def fused(rankings: dict[str, list[list[int]]], weight: float) -> list[list[int]]:
    pairs = zip(rankings["lexical"], rankings["dense"], strict=True)
    return [[row for row, _ in fuse(pair, [WEIGHTS["lexical"], weight], DEPTH)] for pair in pairs]


def measure(encoder: str, folder: Path) -> list[dict[str, Any]]:
    corpus = passages_of(documents())
    index = TextIndex.open(folder, encoder) if folder.exists() else TextIndex.build(corpus, folder, encoder)
    assert index.manifest["corpus"] == corpus.fingerprint(), f"{folder} holds another corpus: delete it"
    asked = [item["QUESTION"] for item in questions().values()]
    names, owned = [document(passage.id) for passage in corpus.passages], own_documents(corpus)
    rankings = index.rankings(asked, DEPTH)
    chosen_on, reported = np.arange(0, len(asked), 2), np.arange(1, len(asked), 2)
    by_weight = {weight: ranks(fused(rankings, weight), names, owned) for weight in CANDIDATES}
    weight = max(CANDIDATES, key=lambda w: figures(by_weight[w][chosen_on])["mrr"])
    cases = {
        "plain": plain(asked),
        "lexical": ranks(rankings["lexical"], names, owned),
        "dense": ranks(rankings["dense"], names, owned),
        "fused": by_weight[weight],
    }
    lines = [
        line("fused/all", "dense_weight", weight, "weight"),
        line("corpus", "documents", sum(1 for _ in documents()), "count"),
        line("corpus", "passages", len(corpus.passages), "count"),
        line("corpus", "repeated_passages_left_out", len(corpus.same_as), "count"),
    ]
    for case, found in cases.items():
        for name, part in (("all", found), ("reported", found[reported])):
            for metric, value in figures(part).items():
                lines.append(line(f"{case}/{name}", metric, value, "share", GOALS.get((case, metric))))
    return lines


def line(case: str, metric: str, value: float, unit: str, goal: float | None = None) -> dict[str, Any]:
    holds = None if goal is None else bool(value >= goal - 1e-9)
    return {"case": case, "metric": metric, "value": round(value, 4), "unit": unit, "goal": goal, "holds": holds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a figure and line")
    parser.add_argument("--encoder", default="minilm", help="encoder of the dense and fused cases")
    parser.add_argument("--index", type=Path, help="folder of the index, kept for the next time")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for row in measure(chosen.encoder, chosen.index or Path(temporary) / "index"):
            goal = "" if row["goal"] is None else f"  goal {row['goal']}: {'met' if row['holds'] else 'missed'}"
            print(json.dumps(row) if chosen.json else f"{row['case']:18} {row['metric']:28} {row['value']:10}{goal}")


if __name__ == "__main__":
    main()
