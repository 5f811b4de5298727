"""From a run's dataset, or any file of labelled solutions, to examples that can be trained on, and a report on them.

Rows that cannot be used are left out with a reason, never bent: an image that cannot be read, no step, no label. A
part is held back for temperature and threshold; no question and no image stands on both sides.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medprm_hf.errors import ConfigError, DataError, ImageError
from medprm_hf.formats import read
from medprm_hf.formats.parquet import batches, parquet_files, published_split, with_split
from medprm_hf.formats.versions import check_version, migrated, version_of
from medprm_hf.ids import bytes_hash, stable_seed
from medprm_hf.imaging.load import load_image
from medprm_hf.scoring.layout import Case, Laid, Layout, Prefix
from medprm_hf.specs_train import TrainSpec
from medprm_hf.together import Together
from medprm_hf.training.targets import Targets, is_hard_negative, targets_of

Row = Mapping[str, Any]


def read_rows(source: str | Path) -> Iterator[dict[str, Any]]:
    """Rows of a run's directory, of a dataset folder, or of any file that `medprm_hf.read` reads.

    Of a published folder these are its solutions, all splits of them. Rows with `keep` false are left out.
    ConfigError where there is nothing of the kind.
    """
    path = Path(source)
    rows = _parquet(path) if path.is_dir() or path.suffix == ".parquet" else read(path)
    for row in rows:
        if row.get("steps") and row.get("keep") is not False:
            yield row


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as parquet

    folder = path / "dataset" if (path / "dataset").is_dir() else path
    files = [path] if path.is_file() else parquet_files(path) or sorted(folder.rglob("*.parquet"))
    if not files:
        raise ConfigError(f"{path} holds no dataset/ and no parquet file: build the run first, or name another file")
    for file in files:
        split = published_split(file)
        with parquet.ParquetFile(file) as table:
            version = version_of(table.schema_arrow)
            check_version(version, str(file))
            for batch in batches(table):
                yield from (with_split(migrated(row, version), split) for row in batch.to_pylist())


HELD_OUT = ("test", "benchmark")
"""Splits that are for measuring alone."""


def parted(rows: Sequence[Row], share: float, seed: int = 0) -> tuple[list[Row], list[Row], list[str]]:
    """(training, development, what to say of it), by the rows' own splits.

    Rows of a held-out split are not touched. Rows of split development, where there are any, are the development part;
    else `share` of the training rows is held back.
    """
    mine = [row for row in rows if row.get("split") not in HELD_OUT]
    left = len(rows) - len(mine)
    if left and not mine:
        raise DataError(f"all {left} rows are of a split that is for measuring (test): name rows to train on")
    said = [f"left alone: {left} rows of the test split"] if left else []
    development = [row for row in mine if row.get("split") == "development"]
    training = [row for row in mine if row.get("split") != "development"]
    if development and training:
        return training, development, [*said, f"development: the {len(development)} rows of that split"]
    training, development = hold_back(mine, share, seed)
    return training, development, said


def hold_back(rows: Sequence[Row], share: float, seed: int = 0) -> tuple[list[Row], list[Row]]:
    """(training, development): whole questions with all that share their image or group, about `share` of the rows."""
    together = Together()
    keys = [_keys(row, place) for place, row in enumerate(rows)]
    for own in keys:
        together.join(*own)
    parts: dict[str, list[Row]] = {}
    for row, own in zip(rows, keys, strict=True):
        parts.setdefault(together.root(own[0]), []).append(row)
    order = sorted(parts.values(), key=lambda part: stable_seed(seed, "development", *_keys(part[0], 0)))
    training: list[Row] = []
    development: list[Row] = []
    for part in order:
        (development if len(development) < share * len(rows) else training).extend(part)
    if not training:
        raise DataError(
            f"all {len(rows)} rows hang together by question, image or group, so none can be held back: "
            "give rows of more questions"
        )
    return training, development


def _keys(row: Row, place: int) -> list[str]:
    """What a row shares with others: its question, its image, its patient."""
    named = [("q", row.get("question_id")), ("i", image_hash(row)), ("g", row.get("group"))]
    return [f"{kind}:{name}" for kind, name in named if name] or [f"row:{place}"]


def image_hash(row: Row) -> str | None:
    """SHA-256 of the row's image, computed where the column is empty."""
    if row.get("image_sha256"):
        return str(row["image_sha256"])
    image = row.get("image")
    data = image.get("bytes") if isinstance(image, Mapping) else None
    return bytes_hash(data) if data else None


@dataclass(frozen=True)
class Example:
    """One solution to train on."""

    case: Case
    targets: Targets
    key: str
    """Names the question, for sharing its prefix."""
    hard_negative: bool
    references: tuple[bytes, ...] = ()
    """Encoded images of similar cases, for two towers."""


@dataclass
class Survey:
    """What is known before training starts."""

    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows that are not trained on, by reason."""
    with_image: int = 0
    steps: int = 0
    """Steps of the rows that are trained on."""
    known: int = 0
    """Of them with a label."""
    lost: int = 0
    """Steps that max_length has no room for."""
    lost_known: int = 0
    """Of them with a label."""
    evidence_cut: int = 0
    """Tokens of evidence that had no room."""
    longest: int = 0
    """Tokens; 0 where nothing was counted because there is no limit."""

    def lines(self) -> list[str]:
        """The survey as a person reads it."""
        used = self.rows - self.left_out.total()
        said = [f"{used} of {self.rows} solutions, {self.known} of {self.steps} steps with a label"]
        said += [f"left out: {count} {reason}" for reason, count in sorted(self.left_out.items())]
        if 0 < self.with_image < used:
            said.append(f"images: {self.with_image} solutions with one, {used - self.with_image} without")
        if self.longest:
            said.append(
                f"lost to max_length: {self.lost} steps ({self.lost_known} of them with a label), "
                f"{self.evidence_cut} tokens of evidence; longest {self.longest} tokens"
            )
        return said


class Album:
    """Images of training questions by name: what similar cases of a row refer to. Never those of other splits."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._images = {row.get("question_id"): row["image"] for row in rows if row.get("image")}

    def of(self, row: Row) -> tuple[bytes, ...]:
        """Encoded images of a row's similar cases, its own question's left out."""
        names = [case["question_id"] for case in row.get("similar_cases") or ()]
        known = [name for name in names if name in self._images and name != row.get("question_id")]
        return tuple(load_image(self._images[name]).data for name in known)


def examples_of(rows: Iterable[Row], spec: TrainSpec, survey: Survey, album: Album | None = None) -> list[Example]:
    """What of the rows can be trained on; the survey counts the rest."""
    found = []
    for place, row in enumerate(rows):
        survey.rows += 1
        try:
            example = _example(row, spec, place, album)
        except ImageError:
            survey.left_out["image cannot be read"] += 1
            continue
        if not example.targets.known.any():
            survey.left_out["no step with a label"] += 1
            continue
        survey.with_image += example.case.image is not None
        survey.steps += len(example.targets.weights)
        survey.known += int(example.targets.known.sum())
        found.append(example)
    return found


def _example(row: Row, spec: TrainSpec, place: int, album: Album | None) -> Example:
    case = Case.of_row(row)
    key = f"{row.get('question_id') or place}/{bytes_hash(case.image) if case.image else ''}"
    targets = targets_of(row, spec.loss, spec.labels, spec.threshold, spec.confidence)
    hard = is_hard_negative(row, targets)
    if spec.outcome:
        right = row.get("is_correct")
        probs = np.array([[float(bool(right)), float(not right)]])
        targets = Targets(probs * (right is not None), np.array([float(right is not None)]), np.zeros((1, 2), np.int64))
    references = album.of(row) if album and spec.form == "two_towers" else ()
    return Example(case, targets, key, hard, references)


class Prefixes:
    """Prefixes of the last questions: solutions of one question need its image only once."""

    def __init__(self, layout: Layout, limit_bytes: int = 256_000_000) -> None:
        self.layout = layout
        self.limit = limit_bytes
        self._held: OrderedDict[str, Prefix] = OrderedDict()
        self._bytes = 0

    def lay(self, example: Example) -> Laid:
        """The example as tokens."""
        prefix = self._held.get(example.key)
        if prefix is None:
            prefix = self._held[example.key] = self.layout.prefix(example.case)
            self._bytes += _size(prefix)
            while self._bytes > self.limit and len(self._held) > 1:
                self._bytes -= _size(self._held.popitem(last=False)[1])
        else:
            self._held.move_to_end(example.key)
        return self.layout.join(prefix, example.case.steps)


class Batcher:
    """Examples to a batch of model inputs, (B, T)."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.prefixes = Prefixes(layout)

    def inputs(self, examples: Sequence[Example]) -> tuple[list[Laid], dict[str, Any]]:
        """Each example as tokens, and all of them as one batch."""
        laid = [self.prefixes.lay(example) for example in examples]
        return laid, dict(self.layout.collate(laid))


def _size(prefix: Prefix) -> int:
    return sum(tensor.nbytes for tensor in prefix.image_inputs.values()) + 8 * len(prefix.ids)


def fitting(examples: Sequence[Example], prefixes: Prefixes, survey: Survey) -> list[Example]:
    """The examples of which at least one labelled step fits into max_length; the survey counts what is lost."""
    if prefixes.layout.settings.max_length is None:
        return list(examples)
    kept = []
    for example in examples:
        known = example.targets.known
        try:
            laid = prefixes.lay(example)
        except DataError:
            survey.left_out["no room for the first step"] += 1
            survey.lost += len(known)
            survey.lost_known += int(known.sum())
            continue
        fits = len(laid.positions)
        survey.lost += laid.lost
        survey.lost_known += int(known[fits:].sum())
        survey.evidence_cut += laid.evidence_cut
        survey.longest = max(survey.longest, len(laid.input_ids))
        if known[:fits].any():
            kept.append(example)
        else:
            survey.left_out["no labelled step fits"] += 1
    if not kept:
        raise DataError(
            f"max_length={prefixes.layout.settings.max_length} has room for a labelled step of none of "
            f"{len(examples)} solutions: raise train.max_length"
        )
    return kept
