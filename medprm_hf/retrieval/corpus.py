"""JSONL, Parquet, text files and folders to passages that keep their id, source and licence.

    {"id": "m1#0", "title": "Lungs", "text": "The right lung has three lobes.", "source": "…", "license": "CC-BY-3.0"}

A row may name its own source and licence; else those given to `read_corpus` hold. A row that lacks one, is no JSON
or holds no text is left out with its line and its reason; the rest is kept. What repeats is left out too, and
`Corpus.same_as` says as what it stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.ids import content_hash
from medprm_hf.retrieval.chunking import chunks
from medprm_hf.text.duplicates import twins

TEXT_KEYS = ("text", "contents", "content", "passage", "body", "abstract")
ID_KEYS = ("id", "doc_id", "passage_id", "_id", "pmid")
TITLE_KEYS = ("title", "heading", "focus")
LICENSE_KEYS = ("license", "licence")
SUFFIXES = (".jsonl", ".ndjson", ".parquet", ".txt", ".md")


@dataclass(frozen=True)
class Passage:
    """One passage, as it is searched and shown."""

    id: str
    """The document's id, with `~n` where the document gave several passages."""
    text: str
    """A slice of the document."""
    title: str
    """Title of the document, searched with the text; may be empty."""
    source: str
    """Where it comes from."""
    license: str
    """Its licence."""


@dataclass(frozen=True)
class Rejected:
    """A row or file that was left out."""

    where: str
    """File, and line where it has one."""
    reason: str
    """Why."""


@dataclass
class Corpus:
    """Passages, and what was left out on the way."""

    passages: list[Passage] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    """Rows and files that cannot be used, each with its reason."""
    same_as: dict[str, str] = field(default_factory=dict)
    """Id of each passage that was left out as a repetition -> id of the one that stays."""
    documents: int = 0
    """Documents that gave passages."""

    def fingerprint(self) -> str:
        """Hash of every passage, in order."""
        return content_hash([[p.id, p.title, p.text, p.source, p.license] for p in self.passages])


@dataclass(frozen=True)
class CorpusSettings:
    """How documents become passages."""

    source: str | None = None
    """Source of rows that name none; a file's name where nothing is given."""
    license: str | None = None
    """Licence of rows that name none; without either a row is refused."""
    size: int = 256
    """Tokens of a passage at most."""
    overlap: int = 32
    """Tokens that a passage shares with the one before, at most."""
    near: float = 0.85
    """Jaccard similarity from which two passages are one; above 1 only exact repetitions are."""


def read_corpus(
    paths: Sequence[str | Path],
    settings: CorpusSettings | None = None,
    groups: Sequence[tuple[Sequence[str | Path], CorpusSettings]] = (),
) -> Corpus:
    """The passages of files and folders; DataError where not one can be used, with the first reasons.

    `groups` are further paths with settings of their own; what repeats is found across all.
    """
    corpus, seen = Corpus(), set[str]()
    everything = [*([(paths, settings or CorpusSettings())] if paths else []), *groups]
    for some, chosen in everything:
        for file, name in (pair for path in some for pair in _files(Path(path), corpus.rejected)):
            for where, row in _rows(file, name, corpus.rejected):
                _take(corpus, seen, where, row, file, chosen)
    _drop_twins(corpus, min((chosen.near for _, chosen in everything), default=2.0))
    if not corpus.passages:
        shown = "; ".join(f"{item.where}: {item.reason}" for item in corpus.rejected[:3]) or "the files are empty"
        names = ", ".join(str(path) for some, _ in everything for path in some) or "no path"
        raise DataError(f"{names}: no passage that can be used ({shown}); give {', '.join(SUFFIXES)} with text")
    return corpus


def passages_of(rows: Iterable[Mapping[str, Any]], settings: CorpusSettings | None = None) -> Corpus:
    """The passages of rows that are in memory; as `read_corpus`, but an empty corpus is no error."""
    chosen, corpus, seen = settings or CorpusSettings(), Corpus(), set[str]()
    for number, row in enumerate(rows, start=1):
        _take(corpus, seen, f"row {number}", dict(row), None, chosen)
    _drop_twins(corpus, chosen.near)
    return corpus


def _files(path: Path, rejected: list[Rejected]) -> Iterator[tuple[Path, str]]:
    """Files to read with the name they go by; hidden ones and those of other kinds are left out."""
    if path.is_file():
        yield path, path.name
        return
    if not path.is_dir():
        raise DataError(f"no corpus at {path}: give a file or folder of {', '.join(SUFFIXES)}")
    for file in sorted(item for item in path.rglob("*") if item.is_file()):
        name = file.relative_to(path).as_posix()
        if file.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in name.split("/")):
            yield file, name
        else:
            rejected.append(Rejected(name, f"{file.suffix or 'no suffix'} is not read: {', '.join(SUFFIXES)} are"))


def _rows(file: Path, name: str, rejected: list[Rejected]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each document in a file."""
    kind = file.suffix.lower()
    try:
        if kind == ".parquet":
            yield from _parquet(file, name)
        elif kind in (".txt", ".md"):
            yield name, {"id": name, "text": file.read_text(encoding="utf-8")}
        else:
            yield from _lines(file, name, rejected)
    except (UnicodeDecodeError, OSError, ValueError) as error:
        rejected.append(Rejected(name, f"cannot be read: {error}"))


def _lines(file: Path, name: str, rejected: list[Rejected]) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{name}:{number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                rejected.append(Rejected(where, f"not JSON: {error}"))
                continue
            if isinstance(row, dict):
                yield where, row
            else:
                rejected.append(Rejected(where, f"holds a {type(row).__name__}, not an object"))


def _parquet(file: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow.parquet as parquet

    number = 0
    with parquet.ParquetFile(file) as table:
        for group in range(table.num_row_groups):  # `iter_batches` over the whole file reads ahead without bound
            for batch in table.iter_batches(batch_size=4096, row_groups=[group]):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{name}:{number}", row


def _take(
    corpus: Corpus, seen: set[str], where: str, row: dict[str, Any], file: Path | None, settings: CorpusSettings
) -> None:
    """Adds the passages of one document, or the reason why not."""
    text = _first(row, TEXT_KEYS)
    license = _first(row, LICENSE_KEYS) or settings.license
    source = _first(row, ("source",)) or settings.source or (file.stem if file else None)
    name = _first(row, ID_KEYS) or content_hash(text or "")
    reason = _refusal(text, license, source, name, seen)
    if reason:
        corpus.rejected.append(Rejected(where, reason))
        return
    assert text and license and source  # _refusal has seen to it
    seen.add(name)
    pieces = [piece for _, piece in chunks(text, settings.size, settings.overlap)]
    title = _first(row, TITLE_KEYS) or ""
    for number, piece in enumerate(pieces):
        passage_id = name if len(pieces) == 1 else f"{name}~{number}"
        corpus.passages.append(Passage(passage_id, piece, title, source, license))
    corpus.documents += 1


def _refusal(text: str | None, license: str | None, source: str | None, name: str, seen: set[str]) -> str | None:
    if not text or not any(sign.isalnum() for sign in text):
        return f"holds no text under {', '.join(TEXT_KEYS)}"
    if not license:
        return "names no licence: add a `license` to the row, or give one for the whole corpus"
    if not source:
        return "names no source: add a `source` to the row, or give one for the whole corpus"
    return f"id {name!r} stands in the corpus already" if name in seen else None


def _first(row: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The first of the keys that holds something, as text without blanks around it."""
    for key in keys:
        value = row.get(key)
        if isinstance(value, str | int) and str(value).strip():
            return str(value).strip()
    return None


def _drop_twins(corpus: Corpus, near: float) -> None:
    same = twins([passage.text for passage in corpus.passages], near)
    corpus.same_as = {corpus.passages[i].id: corpus.passages[j].id for i, j in same.items()}
    corpus.passages = [passage for i, passage in enumerate(corpus.passages) if i not in same]
