"""The text index: passages, BM25 and vectors in one folder, with the encoder and the corpus that built it.

    index = TextIndex.build(read_corpus(["book.jsonl"]), Path("index"), encoder="minilm")
    index.search(["Which lobe is missing?"], k=5)[0][0].passage.text

An index is opened with the encoder that built it or not at all: vectors of two encoders look alike and mean nothing
to each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.ids import content_hash
from medprm_hf.retrieval.corpus import Corpus, Passage
from medprm_hf.retrieval.encoders import TextEncoder, open_encoder
from medprm_hf.retrieval.fusion import fuse
from medprm_hf.retrieval.lexical import Lexical
from medprm_hf.retrieval.rows import Rows, in_one_move, read_manifest, write_manifest
from medprm_hf.retrieval.vectors import VectorIndex

KIND, VERSION = "text", 1
NO_ENCODER = "none"
WEIGHTS: Mapping[str, float] = {"lexical": 1.0, "dense": 4.0}
"""Weights of the two rankings: chosen on half of 500 PubMedQA questions (tests/benchmarks/retrieval_quality.py)."""
DEPTH = 100
"""Passages of each ranking that enter the fusion."""
_FIELDS = tuple(field.name for field in fields(Passage))


@dataclass(frozen=True)
class Hit:
    """A passage that was found."""

    passage: Passage
    score: float
    """Score of the fusion; of one ranking alone, its own."""


class TextIndex:
    """Passages that can be searched; see the module."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.rows = Rows(folder, _FIELDS, manifest["files"])
        self.lexical = Lexical.open(folder / manifest["lexical"])
        self.vectors: VectorIndex | None = None
        self.encoder: TextEncoder | None = None
        if manifest["encoder"] != NO_ENCODER:
            self.vectors = VectorIndex.open(folder / "vectors")
            self.vectors.count = len(self.rows)  # an extension that was cut off may have left more

    @classmethod
    def build(cls, corpus: Corpus, folder: Path, encoder: str = NO_ENCODER) -> TextIndex:
        """Writes a new index, in one move; DataError for an empty corpus, ConfigError where one is there."""
        if not corpus.passages:
            raise DataError(f"no passages to build {folder} of: the corpus is empty")
        opened = None if encoder == NO_ENCODER else open_encoder(encoder)
        with in_one_move(folder) as work:
            _fill(work, corpus, encoder, opened)
        return cls.open(folder, encoder)

    @classmethod
    def open(cls, folder: Path, encoder: str | None = None) -> TextIndex:
        """A saved index. ConfigError where another encoder than `encoder` built it (null: the one it names)."""
        manifest = read_manifest(folder, KIND)
        index = cls(folder, manifest)
        asked, built = encoder or manifest["encoder"], manifest["encoder"]
        if (asked == NO_ENCODER) != (built == NO_ENCODER):
            raise ConfigError(_other(folder, built, manifest["probe"], asked, None))
        if index.vectors is not None:
            index.encoder = open_encoder(asked)
            if not index.encoder.same_as(np.array(manifest["probe"], np.float32)):
                raise ConfigError(_other(folder, built, manifest["probe"], asked, index.encoder))
        return index

    @property
    def fingerprint(self) -> str:
        """Hash of the passages and of what encoded them."""
        return content_hash(self.manifest["corpus"], self.manifest["encoder"], self.manifest["probe"])

    def __len__(self) -> int:
        return len(self.rows)

    def extend(self, corpus: Corpus) -> int:
        """Adds passages whose id is new, encodes them alone and rebuilds BM25 (seconds); gives their number."""
        known = set(self.rows.column("id"))
        new = [passage for passage in corpus.passages if passage.id not in known]
        if not new:
            return 0
        self.rows.append([asdict(passage) for passage in new])
        if self.vectors is not None and self.encoder is not None:
            self.vectors.add(self.encoder.passages([searched(passage) for passage in new]))
        name = f"lexical-{self.rows.files}"
        everything = (Passage(**row) for row in self.rows.table.to_pylist())
        self.lexical = Lexical.build([searched(passage) for passage in everything])
        self.lexical.save(self.folder / name)
        licenses = Counter(self.manifest["licenses"]) + Counter(passage.license for passage in new)
        merged = content_hash(self.manifest["corpus"], Corpus(new).fingerprint())
        self.manifest |= {"files": self.rows.files, "lexical": name, "licenses": dict(licenses), "corpus": merged}
        write_manifest(self.folder, self.manifest)
        return len(new)

    def search(self, queries: Sequence[str], k: int = 5, weights: Mapping[str, float] = WEIGHTS) -> list[list[Hit]]:
        """The k best passages of each query by reciprocal-rank fusion; one that is empty finds nothing."""
        able = [i for i, query in enumerate(queries) if any(sign.isalnum() for sign in query)]
        rankings = self.rankings([queries[i] for i in able], max(DEPTH, k))
        names = [name for name in rankings if weights.get(name, 0.0) > 0]
        found: list[list[Hit]] = [[] for _ in queries]
        for place, i in enumerate(able):
            best = fuse([rankings[name][place] for name in names], [weights[name] for name in names], k)
            rows = self.rows.take([row for row, _ in best])
            found[i] = [Hit(Passage(**row), score) for row, (_, score) in zip(rows, best, strict=True)]
        return found

    def rankings(self, queries: Sequence[str], depth: int) -> dict[str, list[list[int]]]:
        """Row numbers by each way of searching, best first: name -> [num_queries][<= depth]."""
        if not queries:
            return {"lexical": []}
        found = {"lexical": [[row for row, _ in ranking] for ranking in self.lexical.search(queries, depth)]}
        if self.vectors is not None and self.encoder is not None:
            found["dense"] = self.vectors.search(self.encoder.queries(queries), depth)[1].tolist()
        return found


def searched(passage: Passage) -> str:
    """The text that is indexed: title and passage."""
    return f"{passage.title}. {passage.text}" if passage.title else passage.text


def _fill(folder: Path, corpus: Corpus, name: str, encoder: TextEncoder | None) -> None:
    texts = [searched(passage) for passage in corpus.passages]
    Rows(folder, _FIELDS, 0).append([asdict(passage) for passage in corpus.passages])
    Lexical.build(texts).save(folder / "lexical-1")
    if encoder is not None:
        vectors = VectorIndex.create(folder / "vectors", encoder.dim)
        for start in range(0, len(texts), 4096):
            vectors.add(encoder.passages(texts[start : start + 4096]))
    manifest = {
        "kind": KIND,
        "version": VERSION,
        "encoder": name,
        "probe": encoder.probe.tolist() if encoder else None,
        "corpus": corpus.fingerprint(),
        "licenses": dict(Counter(passage.license for passage in corpus.passages)),
        "files": 1,
        "lexical": "lexical-1",
    }
    write_manifest(folder, manifest)


def _other(folder: Path, built: str, probe: list[list[float]] | None, asked: str, encoder: TextEncoder | None) -> str:
    """The refusal of an index that another encoder built, both named."""
    was = f" ({len(probe[0])} numbers)" if probe else ""
    now = f" ({encoder.dim} numbers)" if encoder else ""
    return (
        f"{folder} was built by encoder {built!r}{was}, asked for is {asked!r}{now}, whose vectors cannot be compared "
        f"with its own: set encoder: {built}, or build another index with `medprm index --encoder {asked}`"
    )
