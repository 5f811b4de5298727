"""The case index: images with their diagnoses, and who may see which.

    index = CaseIndex.build(cases, Path("cases"), encoder="local-dir:biomedclip")
    index.similar([Asked("q7", vector, group="patient-3", image_sha256="…")], k=5)

A question never meets its own case, its own patient or study (`group`), its own image, or a case of a split that is
held out: a judge that is shown those would be shown the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from medprm_hf.errors import ConfigError, DataError, ImageError
from medprm_hf.ids import content_hash
from medprm_hf.imaging.load import load_image
from medprm_hf.retrieval.corpus import Rejected
from medprm_hf.retrieval.images import BIOMEDCLIP, Floats, ImageEncoder, open_image_encoder
from medprm_hf.retrieval.rows import Rows, in_one_move, read_manifest, write_manifest
from medprm_hf.retrieval.vectors import VectorIndex

KIND = "cases"
HELD_OUT = ("development", "test")
"""Splits whose cases are shown to nobody."""
_TOGETHER = 512  # cases encoded at a time


@dataclass(frozen=True)
class Case:
    """What is known of an indexed image."""

    question_id: str
    """Its question, or another unique name."""
    diagnosis: str
    """What is shown of it."""
    image_sha256: str
    """SHA-256 of the image."""
    group: str | None
    """Patient or study."""
    split: str | None
    """Split; null where it has none."""
    source: str
    """Where it comes from."""
    license: str
    """Its licence."""


_FIELDS = tuple(field.name for field in fields(Case))


@dataclass(frozen=True)
class Asked:
    """One question that looks for similar cases."""

    question_id: str
    """Its id."""
    group: str | None
    """Its patient or study."""
    image_sha256: str
    """SHA-256 of its image, as it is loaded."""
    held_out: tuple[str, ...] = HELD_OUT
    """Splits that it must not see."""

    def may_see(self, case: Case) -> bool:
        """Whether the case is another's."""
        return not (
            case.question_id == self.question_id
            or case.image_sha256 == self.image_sha256
            or (self.group is not None and case.group == self.group)
            or case.split in self.held_out
        )


def cases_of(
    rows: Iterable[Mapping[str, Any]], license: str | None = None, source: str | None = None
) -> tuple[list[tuple[Case, bytes]], list[Rejected]]:
    """Cases with their images from rows of question columns (or {id, image, diagnosis}), and those that are none.

    The diagnosis is the column `diagnosis`, else `answer`; a row needs it, an image, a source and a licence.
    """
    cases: list[tuple[Case, bytes]] = []
    rejected: list[Rejected] = []
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        name = str(row.get("question_id") or row.get("id") or "")
        try:
            if name in seen:
                raise DataError(f"question_id {name!r} stands there already")
            cases.append(_case(row, name, license, source))
            seen.add(name)
        except DataError as error:
            rejected.append(Rejected(f"row {number} ({name or 'no id'})", str(error)))
    return cases, rejected


def _case(row: Mapping[str, Any], name: str, license: str | None, source: str | None) -> tuple[Case, bytes]:
    if not row.get("image"):
        raise ImageError("holds no image")
    found = {
        "question_id": name,
        "diagnosis": row.get("diagnosis") or row.get("answer"),
        "source": row.get("source") or source,
        "license": row.get("license") or license,
    }
    missing = [key for key, value in found.items() if not value]
    if missing:
        raise DataError(f"names no {' and no '.join(missing)}")
    image = load_image(row["image"])
    group = row.get("group")
    values = {key: str(value) for key, value in found.items()}
    case = Case(**values, image_sha256=image.sha256, group=str(group) if group else None, split=row.get("split"))
    return case, image.data


class CaseIndex:
    """Images that can be searched; see the module."""

    def __init__(self, folder: Path, manifest: dict[str, Any], encoder: ImageEncoder) -> None:
        self.folder, self.manifest, self.encoder = folder, manifest, encoder
        self.rows = Rows(folder, _FIELDS, manifest["files"])
        self.vectors = VectorIndex.open(folder / "vectors")
        self.vectors.count = len(self.rows)  # an extension that was cut off may have left more

    @classmethod
    def build(cls, cases: Sequence[tuple[Case, bytes]], folder: Path, encoder: str = BIOMEDCLIP) -> CaseIndex:
        """Writes a new index, in one move; DataError without a case, ConfigError where the folder is there."""
        if not cases:
            raise DataError(f"no cases to build {folder} of: give rows with an image and a diagnosis")
        opened = open_image_encoder(encoder)
        with in_one_move(folder) as work:
            VectorIndex.create(work / "vectors", opened.dim)
            empty = {"kind": KIND, "encoder": encoder, "probe": opened.probe.tolist(), "files": 0, "cases": ""}
            Rows(work, _FIELDS, 0).append([])
            write_manifest(work, empty | {"files": 1})
            cls(work, read_manifest(work, KIND), opened).extend(cases)
        return cls.open(folder, encoder)

    @classmethod
    def open(cls, folder: Path, encoder: str | None = None) -> CaseIndex:
        """A saved index. ConfigError where another encoder than `encoder` built it (null: the one it names)."""
        manifest = read_manifest(folder, KIND)
        opened, built = open_image_encoder(encoder or manifest["encoder"]), manifest["encoder"]
        probe = np.array(manifest["probe"], np.float32)
        if not opened.same_as(probe):
            raise ConfigError(
                f"{folder} was built by image encoder {built!r} ({probe.shape[1]} numbers), asked for is "
                f"{opened.name!r} ({opened.dim} numbers), whose vectors cannot be compared with its own: set "
                f"image_encoder: {built}, or build another index"
            )
        return cls(folder, manifest, opened)

    @property
    def fingerprint(self) -> str:
        """Hash of the cases and of what encoded them."""
        return content_hash(self.manifest["cases"], self.manifest["encoder"], self.manifest["probe"])

    def __len__(self) -> int:
        return len(self.rows)

    def extend(self, cases: Sequence[tuple[Case, bytes]]) -> int:
        """Adds cases whose id is new and encodes them alone; gives their number."""
        known = set(self.rows.column("question_id"))
        new = [(case, image) for case, image in cases if case.question_id not in known]
        for start in range(0, len(new), _TOGETHER):
            self.vectors.add(self.encoder.images([image for _, image in new[start : start + _TOGETHER]]))
        if new:
            rows = [asdict(case) for case, _ in new]
            self.rows.append(rows)
            licenses = Counter(self.manifest.get("licenses", {})) + Counter(case.license for case, _ in new)
            merged = content_hash(self.manifest["cases"], [list(row.values()) for row in rows])
            self.manifest |= {"files": self.rows.files, "cases": merged, "licenses": dict(licenses)}
            write_manifest(self.folder, self.manifest)
        return len(new)

    def similar(self, asked: Sequence[Asked], vectors: Floats, k: int = 5) -> list[list[tuple[Case, float]]]:
        """The k most similar cases that each question may see, with their cosine; `vectors` is (n, dim)."""
        found: list[list[tuple[Case, float]]] = [[] for _ in asked]
        open_, depth = list(range(len(asked))), 4 * k
        while open_ and len(self):
            scores, rows = self.vectors.search(vectors[open_], depth)
            for place, i in enumerate(open_):
                seen = (Case(**row) for row in self.rows.take(rows[place].tolist()))
                pairs = zip(seen, scores[place].tolist(), strict=True)
                found[i] = [(case, score) for case, score in pairs if asked[i].may_see(case)][:k]
            if depth >= len(self):
                break
            open_, depth = [i for i in open_ if len(found[i]) < k], 4 * depth
        return found
