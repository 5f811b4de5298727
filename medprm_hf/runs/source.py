"""The source of a run, read as a stream: shard after shard is written as its rows come, and counted at the end.

    shards/source/00000.json … 00041.json    {"rows": 40, "digest": "9b1f…"}
    shards/source/all.json                   {"fingerprint": "…", "shards": 42, "rows": 1661, "digest": "…"}

`all.json` comes last: without it the source is read again from its first row (nothing was asked for it), and a shard
whose rows are the same keeps its file. What follows from a shard hangs on its digest, so where one row of an input file
was changed, the shards of other rows stay done. No rows are held but one shard's; of every id eight bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import ConfigError
from medprm_hf.ids import bytes_hash, content_hash
from medprm_hf.loading import files_noted, open_source
from medprm_hf.recipe import Recipe
from medprm_hf.runs.inputs import Inputs, local_paths
from medprm_hf.runs.shards import SOURCE, Marker, Shards
from medprm_hf.schema import SCHEMA_VERSION, written_by

SOURCE_COLUMNS = (*written_by("sources"), "split")
"""What a source may write; its split is a wish that the questions stage settles."""
ALL = "all"
ROWS = "rows"
"""Name of the source where the rows were handed over in Python."""
Row = dict[str, Any]


class HandedOver:
    """Rows that were handed over in Python: they may come from a generator, so they are read once."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = rows
        self.read = False
        """Whether all of them are in the shards."""


class Source:
    """The source shards of a run directory."""

    def __init__(self, shards: Shards, recipe: Recipe, rows: HandedOver | None = None) -> None:
        """`rows` stand for the recipe's source where they were handed over in Python."""
        self._shards, self._recipe, self._given = shards, recipe, rows
        self.inputs = Inputs(shards.folder(SOURCE) / "inputs.jsonl")

    @property
    def whole(self) -> Marker | None:
        """The marker of a source that was read to its end for these settings, whatever its files hold today."""
        marker = self._shards.note(SOURCE, ALL)
        return marker if marker and marker["fingerprint"] == self.fingerprint() else None

    def fingerprint(self) -> str:
        """Hash of the settings that decide what is read and how it is cut."""
        spec = self._recipe.source.model_dump_json()
        return content_hash(SCHEMA_VERSION, spec, self._recipe.shard_questions)

    def changed(self) -> list[str]:
        """Input files whose content has changed since the source was read to its end."""
        return self.inputs.changed() if self.whole else []

    def fresh(self) -> bool:
        """Whether there is nothing to read: the source was read to its end, and its files are what they were."""
        whole = None if self._given is not None and not self._given.read else self.whole
        return whole is not None and len(self._shards.prints(SOURCE)) >= whole["shards"] and not self.changed()

    def read(self) -> Iterator[int]:
        """Reads what is to be read; gives the number of shards so far, after each."""
        if self.fresh():
            return
        options, name = self._recipe.source.options(), self._recipe.source.name
        if self._given is None and name == ROWS:
            raise ConfigError(
                f"the rows of {self._shards.directory} were handed over in Python and are not all on file: call "
                "medprm_hf.pipeline with them and this directory again"
            )
        rows = open_source(name, **options) if self._given is None else iter(self._given.rows)
        all_of_it, count, total = hashlib.sha256(), 0, 0
        with self.inputs.writing() as note, files_noted(note):
            for path in local_paths(options):
                note(path)
            for size, digest in self._pieces(rows):
                all_of_it.update(digest.encode())
                count, total = count + 1, total + size
                yield count
        if not count:
            raise ConfigError(f"source {name} gave no questions: see its options")
        whole = {"shards": count, "rows": total, "digest": all_of_it.hexdigest()[:16]}
        whole = {"fingerprint": self.fingerprint(), **whole}
        if self._shards.note(SOURCE, ALL) != whole:
            self._shards.write_note(SOURCE, ALL, whole)
        if self._given is not None:
            self._given.read = True

    def _pieces(self, rows: Iterator[Row]) -> Iterator[tuple[int, str]]:
        """Writes shard after shard; gives rows and digest of each."""
        known, ids, number = self._shards.prints(SOURCE), Ids(), 0
        while piece := list(islice(rows, self._recipe.shard_questions)):
            ids.add([row["question_id"] for row in piece])
            digest = _digest(piece)
            if known.get(number) != digest:
                # From here on the shards are no longer those that the marker of the whole speaks of.
                (self._shards.folder(SOURCE) / f"{ALL}.json").unlink(missing_ok=True)
                columns = {name: [row[name] for row in piece] for name in SOURCE_COLUMNS}
                self._shards.write(SOURCE, number, columns, {"rows": len(piece), "digest": digest})
            yield len(piece), digest
            number += 1


class Ids:
    """Tells an id that came before, from eight bytes of each: sorted runs, each about twice as long as the next."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def add(self, names: list[str]) -> None:
        """Takes new ids in; ConfigError names the first that came before."""
        if not names:
            return
        digests = [hashlib.sha256(str(name).encode("utf-8", "surrogatepass")).digest()[:8] for name in names]
        new = np.frombuffer(b"".join(digests), np.uint64)
        twice = np.zeros(len(new), bool)
        twice[np.setdiff1d(np.arange(len(new)), np.unique(new, return_index=True)[1])] = True
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, new), len(run) - 1)
            twice |= run[at] == new
        if twice.any():
            raise ConfigError(
                f"the source gives question_id {names[int(np.argmax(twice))]!r} twice: ids must be unique"
            )
        run = np.sort(new)
        while self._runs and len(self._runs[-1]) <= len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        self._runs.append(run)


def _digest(rows: list[Row]) -> str:
    """A hash of what the rows hold, images by their own hash."""
    digest = hashlib.sha256()
    for row in rows:
        plain = [value for name, value in sorted(row.items()) if name != "image"]
        digest.update(json.dumps([plain, _image(row)], ensure_ascii=True, default=repr).encode())
    return digest.hexdigest()[:16]


def _image(row: Row) -> Any:
    cell = row["image"] or {}
    data = cell.get("bytes")
    return [cell.get("path"), row["image_sha256"] or (bytes_hash(data) if data else None)]
