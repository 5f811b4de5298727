"""Records of a published dataset, one at a time: of a local copy, or from the Hub by `datasets.load_dataset`.

    for record in records("copy/of/vqa-rad", columns=("image", "question", "answer")):     # files are streamed
    for record in records(None, "flaviagiammarino/vqa-rad", columns=…):                    # so is the Hub
        record.split, record.number, record["question"]

A local copy is a file, or a folder as the Hub has it (train-00000-of-00003.parquet, test.jsonl, CONFIG/test.csv, …).
Images stay {bytes, path}: they are decoded at the one door (imaging/intake.py). Columns that are needed and lack are
refused before the first row, with those that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.registry import near
from medprm_hf.sources.rows import split_name
from medprm_hf.sources.streams import SUFFIXES, stream, suffix_of

_ORDER: dict[str | None, int] = {"train": 0, "development": 1, "test": 2}


@dataclass(frozen=True)
class Record:
    """One record as its dataset has it."""

    value: dict[str, Any]
    """Its columns."""
    split: str | None
    """train, development or test, by the name of its split or file."""
    number: int
    """Its place in the split or file, from 0."""
    where: str
    """The split's or the file's own name."""
    key: str | None = None
    """Its name, where the file is an object by name."""

    def __getitem__(self, name: str) -> Any:
        return self.value.get(name)


def records(
    path: str | Path | None,
    hub: str | None = None,
    *,
    config: str | None = None,
    columns: Sequence[str] = (),
    only: str | None = None,
    tables: Sequence[str] = (),
) -> Iterator[Record]:
    """Records of a local copy, or of a Hub dataset where there is no path.

    `only`: train, development or test. `columns`: those without which no row can be made. `tables`: beginnings of
    the names of the files that count, where a folder holds others. Raises DataError for a path or split that is
    not there, and columns that lack.
    """
    if only is not None and split_name(only) is None:
        raise DataError(f"split={only!r} is none of train, development, test")
    wanted = split_name(only)
    found = _local(Path(path), config, tables) if path is not None else _remote(hub, config)
    checked = set[str]()
    seen = set[str | None]()
    for record in found:
        seen.add(record.split)
        if wanted and record.split not in (wanted, None):
            continue
        if record.where not in checked:
            checked.add(record.where)
            _check(record, columns)
        yield record
    if wanted and not checked:
        there = ", ".join(sorted(str(name) for name in seen)) or "no records at all"
        raise DataError(f"{path or hub}: no split {wanted}; there is: {there}")


def _check(record: Record, columns: Sequence[str]) -> None:
    if not isinstance(record.value, dict):
        raise DataError(f"{record.where}: record {record.number} is a {type(record.value).__name__}, not columns")
    for name in columns:
        if name not in record.value:
            raise DataError(f"{record.where}: no column {name!r}{near(name, record.value)} (is it this dataset?)")


def table_files(folder: Path, config: str | None = None, tables: Sequence[str] = ()) -> list[Path]:
    """The tables of a local copy, train first: of the first of CONFIG/, CONFIG/data/, the folder, data/ with some."""
    heads = ([folder / config, folder / config / "data"] if config else []) + [folder, folder / "data"]
    for place in heads:
        files = sorted(f for f in place.glob("*") if f.is_file() and suffix_of(f) in SUFFIXES)
        files = [f for f in files if f.name != "dataset_infos.json"]
        files = [f for f in files if not tables or f.name.startswith(tuple(tables))]
        if files:
            return sorted(files, key=lambda file: (_ORDER.get(split_name(file.name.split(".")[0]), 3), file.name))
    return []


def _local(path: Path, config: str | None, tables: Sequence[str]) -> Iterator[Record]:
    if not path.exists():
        raise DataError(f"no file or folder at {path}: give the local copy as path")
    files = [path] if path.is_file() else table_files(path, config, tables)
    if not files:
        named = f" whose name begins with {' or '.join(tables)}" if tables else ""
        raise DataError(f"{path} holds no table{named} ({', '.join(SUFFIXES)})")
    for file in files:
        split = split_name(file.name.split(".")[0])
        for number, (key, value) in enumerate(stream(file)):
            yield Record(value, split, number, file.name, key)


def _remote(hub: str | None, config: str | None) -> Iterator[Record]:
    if hub is None:
        raise DataError("no Hub dataset stands for this source: give a local copy as path")
    from datasets import load_dataset

    try:
        splits = load_dataset(hub, config, streaming=True)
    except Exception as error:  # the client has many kinds: a missing repository, a gate, no network
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{hub}{f' ({config})' if config else ''} cannot be loaded: {said}: log in where the dataset is gated "
            "(`hf auth login`), or download it and give the folder as path"
        ) from error
    for name, rows in splits.items():
        plain = rows if rows.features is None else rows.decode(False)  # JSON has no features, and nothing to decode
        for number, value in enumerate(plain):
            yield Record(value, split_name(name), number, str(name))


def hub_files(path: str | Path | None, hub: str | None, names: Sequence[str]) -> list[Path]:
    """Files that a dataset keeps beside its table (such as images.zip): in the local copy, or fetched from the Hub.

    A local copy may lack them; they are left out then. What the Hub does not have raises DataError.
    """
    folder = Path(path) if path is not None else Path(str(hub))
    if path is not None or folder.is_dir():
        folder = folder.parent if folder.is_file() else folder
        return [folder / name for name in names if (folder / name).is_file()]
    from huggingface_hub import hf_hub_download

    try:
        return [Path(hf_hub_download(str(hub), name, repo_type="dataset")) for name in names]
    except Exception as error:
        raise DataError(f"{hub}: {', '.join(names)} cannot be fetched: {str(error).splitlines()[0]}") from error
