"""The indexes that the retrieve stage searches: built once in a folder named by what they hold, opened once a process.

text_index(spec)      of `retrieve.corpus` or `retrieve.index`
case_index(spec)      of `retrieve.cases`
build_index(…)        what `medprm index` does
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.ids import bytes_hash, content_hash
from medprm_hf.loading import open_source
from medprm_hf.retrieval.cases import CaseIndex, cases_of
from medprm_hf.retrieval.corpus import Corpus, CorpusSettings, Rejected, read_corpus
from medprm_hf.retrieval.index import TextIndex
from medprm_hf.retrieval.rows import MANIFEST
from medprm_hf.specs import CorpusFile, RetrieveSpec

RUN = "run"
"""`retrieve.cases: run`: the run's own cases."""
_TOGETHER = 512  # rows whose images are held in memory at a time

_opened: dict[tuple[str, str], TextIndex | CaseIndex] = {}
_lock = threading.RLock()
Row = TypeVar("Row")


def text_index(spec: RetrieveSpec) -> TextIndex | None:
    """The text index of a spec, built where it is not there yet; null where the spec names none."""
    if spec.index:
        return open_text(Path(spec.index), spec.encoder)
    if not spec.corpus:
        return None
    files = [_corpus_file(item) for item in spec.corpus]
    folder = Path(spec.indexes) / f"text-{_text_name(spec, files)}"
    with _lock:
        if not (folder / MANIFEST).is_file():
            TextIndex.build(_corpus(spec, files), folder, spec.encoder)
        return open_text(folder, spec.encoder)


def case_index(spec: RetrieveSpec) -> CaseIndex | None:
    """The case index of a table or folder; null where the spec names none or the run's own cases."""
    if not spec.cases or spec.cases == RUN:
        return None
    path = Path(spec.cases)
    if path.is_dir():
        return open_cases(path, spec.image_encoder)
    if not path.is_file():
        raise ConfigError(f"retrieve.cases={spec.cases}: no such table or case index; or write {RUN}")
    folder = Path(spec.indexes) / f"cases-{content_hash(bytes_hash(path.read_bytes()), spec.image_encoder)}"
    with _lock:
        if not (folder / MANIFEST).is_file():
            _build_cases(open_source("table", path=str(path)), folder, spec.image_encoder)
        return open_cases(folder, spec.image_encoder)


def open_text(folder: Path, encoder: str | None) -> TextIndex:
    """The index of a folder, the same object within one process."""
    with _lock:
        key = (str(folder.resolve()), encoder or "")
        found = _opened.get(key)
        if not isinstance(found, TextIndex):
            found = _opened[key] = TextIndex.open(folder, encoder)
        return found


def open_cases(folder: Path, encoder: str | None) -> CaseIndex:
    """The case index of a folder, the same object within one process."""
    with _lock:
        key = (str(folder.resolve()), encoder or "")
        found = _opened.get(key)
        if not isinstance(found, CaseIndex):
            found = _opened[key] = CaseIndex.open(folder, encoder)
        return found


def cases_of_run(rows: Iterable[Mapping[str, Any]], spec: RetrieveSpec) -> str:
    """Indexes those of a run's rows that may be shown; gives the folder, empty where there is none."""
    shown = (row for row in rows if row.get("split") not in spec.held_out and row.get("question_status") != "dropped")
    work = Path(spec.indexes) / f".cases-{os.getpid()}-{threading.get_ident()}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        _build_cases(shown, work, spec.image_encoder)
    except DataError:  # not one row with image, answer, source and licence
        return ""
    folder = Path(spec.indexes) / f"cases-{CaseIndex.open(work, spec.image_encoder).fingerprint}"
    if (folder / MANIFEST).is_file():
        shutil.rmtree(work)
    else:
        os.rename(work, folder)
    return str(folder)


def build_index(
    files: list[str], out: Path, *, images: bool = False, license: str | None = None, source: str | None = None,
    encoder: str | None = None, spec: RetrieveSpec | None = None,
) -> list[str]:  # fmt: skip
    """What `medprm index` does: builds a text or case index, or extends the one at `out`; gives lines to show."""
    settings = spec or RetrieveSpec()
    if images:
        name = encoder or settings.image_encoder
        rows = (row for file in files for row in open_source("table", path=file))
        added, rejected = _build_cases(rows, out, name, license, source)
        return [f"{out}: {added} cases added, {len(CaseIndex.open(out))} in all, {name}", *_reasons(rejected)]
    corpus = _corpus(settings, [CorpusFile(file, license, source) for file in files])
    if (out / MANIFEST).is_file():
        index = TextIndex.open(out, encoder)
        added = index.extend(corpus)
    else:
        index = TextIndex.build(corpus, out, encoder or settings.encoder)
        added = len(index)
    twins = f"{len(corpus.same_as)} repeated passages left out"
    licenses = ", ".join(f"{name} {count}" for name, count in sorted(index.manifest["licenses"].items()))
    lines = [f"{out}: {added} passages added, {len(index)} in all, {twins}", f"encoder {index.manifest['encoder']}"]
    return [*lines, f"licences: {licenses}", *_reasons(corpus.rejected)]


def _build_cases(
    rows: Iterable[Mapping[str, Any]], folder: Path, encoder: str, license: str | None = None, source: str | None = None
) -> tuple[int, list[Rejected]]:
    """Builds or extends a case index piece by piece, so that images are not all in memory."""
    index = CaseIndex.open(folder, encoder) if (folder / MANIFEST).is_file() else None
    rejected: list[Rejected] = []
    added, rows = 0, iter(rows)
    while piece := list(islice(rows, _TOGETHER)):
        cases, refused = cases_of(piece, license, source)
        rejected += refused
        if cases and index is None:
            index = CaseIndex.build(cases, folder, encoder)
            added += len(cases)
        elif cases and index is not None:
            added += index.extend(cases)
    if index is None:
        why = "; ".join(f"{item.where}: {item.reason}" for item in rejected[:3]) or "no rows"
        raise DataError(f"no case that can be shown ({why}); each needs image, diagnosis, source and licence")
    return added, rejected


def _corpus_file(item: CorpusFile | Mapping[str, str] | str) -> CorpusFile:
    """In a notebook a mapping or a path will do."""
    if isinstance(item, CorpusFile):
        return item
    return CorpusFile(item) if isinstance(item, str) else CorpusFile(**item)


def _corpus(spec: RetrieveSpec, files: list[CorpusFile]) -> Corpus:
    """The passages of all files, repetitions across files left out too."""
    settings = CorpusSettings(size=spec.chunk_tokens, overlap=spec.chunk_overlap)
    named = [((item.path,), replace(settings, license=item.license, source=item.source)) for item in files]
    return read_corpus([], groups=named)


def _text_name(spec: RetrieveSpec, files: list[CorpusFile]) -> str:
    """Hash of the files' bytes and of how they are cut and encoded."""
    contents = [[item.license, item.source, _hashes(Path(item.path))] for item in files]
    return content_hash(contents, spec.chunk_tokens, spec.chunk_overlap, spec.encoder)


def _hashes(path: Path) -> list[str]:
    if not path.exists():
        raise ConfigError(f"retrieve.corpus: no file or folder at {path}")
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    return [f"{file.name}:{bytes_hash(file.read_bytes())}" for file in files]


def _reasons(rejected: list[Rejected]) -> list[str]:
    shown = [f"  {item.where}: {item.reason}" for item in rejected[:10]]
    return [f"left out: {len(rejected)}", *shown] if rejected else []
