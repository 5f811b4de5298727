"""Every distinct image of a dataset, looked at once: is it there, does it show something, does it name somebody?

    looker = Looker(findings, cleared=frozenset())
    look = looker.look(row)      →  Look(phash=0x9f…, bad=frozenset())      or bad={"metadata"}, {"writing"}, …

Metadata is found by taking it out (imaging/deidentify.py) and comparing; formats whose metadata is not taken out are
refused as such. Writing in the pixels is suspected, not read: who has looked at a picture and found nothing clears it
by its SHA-256.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

from medprm_hf.errors import ImageError
from medprm_hf.formats.images import image_parts, image_suffix
from medprm_hf.ids import bytes_hash
from medprm_hf.imaging.burned_in import suspect_writing
from medprm_hf.imaging.deidentify import strip_metadata
from medprm_hf.imaging.perceptual import picture_hash
from medprm_hf.publishing.findings import Findings

MIN_SIDE = 16
"""Pixels below which a side is no picture."""
MAX_BYTES = 64 << 20
MAX_PIXELS = 100_000_000
_AGAIN = "take it in again through `medprm import`, which removes it"


PERSONAL = frozenset({"kind", "metadata", "writing"})
"""What is wrong with an image that may show who somebody is."""


class Look(NamedTuple):
    """What was found in one image."""

    phash: int | None
    """Perceptual hash, 64 bits; null where there is no readable image."""
    bad: frozenset[str]
    """missing, broken, metadata, writing, …: why it may not leave; empty if nothing is wrong."""


NONE = Look(None, frozenset())


class Looker:
    """Looks at each image once, by its bytes."""

    def __init__(
        self, findings: Findings, cleared: frozenset[str] = frozenset(), *, checked: bool = False, drop: bool = False
    ) -> None:
        """`checked`: the images were looked through for persons when they came in; `drop`: those that may show one
        are left out, so that they are no error."""
        self._findings, self._cleared, self._checked, self._drop = findings, cleared, checked, drop
        self._seen: dict[str, Look] = {}
        self.images = 0
        """Distinct images met."""
        self.bytes = 0
        """Their bytes together."""

    def look(self, row: dict[str, Any]) -> Look:
        """What is to be said of a row's image; `NONE` for a text-only row."""
        if row.get("image") is None:
            return NONE
        data, _ = image_parts(row["image"])
        if data is None:
            return self._bad("images", "missing", "an image is missing: only its path is left", row,
                             "put the files where the rows say, and build or convert again")  # fmt: skip
        sha = bytes_hash(data)
        if row.get("image_sha256") not in (None, sha):
            self._bad(
                "images", "changed", "image_sha256 is not that of the image's bytes", row, "build or import again"
            )
        if sha not in self._seen:
            self.images += 1
            self.bytes += len(data)
            self._seen[sha] = self._looked_at(data, sha, row)
        return self._seen[sha]

    def _looked_at(self, data: bytes, sha: str, row: dict[str, Any]) -> Look:
        if image_suffix(data) not in (".png", ".jpg"):
            kind = (
                "a DICOM file" if data[128:132] == b"DICM" else f"of another kind ({image_suffix(data) or 'unknown'})"
            )
            return self._bad("phi", "kind", f"an image is {kind}, whose metadata is not looked through", row, _AGAIN)
        try:
            size, extremes = _measured(data)
            stripped = strip_metadata(data)
            phash = picture_hash(data)
        except (ImageError, OSError, ValueError, SyntaxError) as error:
            return self._bad("images", "broken", f"an image cannot be decoded ({type(error).__name__})", row,
                             "drop it, or take it in again")  # fmt: skip
        bad = set()
        if min(size) < MIN_SIDE:
            bad.add("tiny")
            self._bad("images", "tiny", f"an image has a side below {MIN_SIDE} pixels", row, "leave it out")
        elif extremes[0] == extremes[1]:
            bad.add("constant")
            self._bad("images", "constant", "an image is one colour all over", row, "leave it out")
        if self._checked:
            return Look(phash, frozenset(bad))
        if len(stripped) != len(data):
            bad.add("metadata")
            self._bad("phi", "metadata", "an image carries metadata (EXIF, comments or texts)", row, _AGAIN)
        if sha not in self._cleared and "tiny" not in bad and suspect_writing(data):
            bad.add("writing")
            self._bad("phi", "writing", "an image seems to have writing burned in", row,
                      "look; clear it by SHA-256 (--cleared FILE), or drop it (--identifiers drop)")  # fmt: skip
        return Look(phash, frozenset(bad))

    def _bad(self, check: str, kind: str, what: str, row: dict[str, Any], way_out: str) -> Look:
        if check == "phi" and self._drop:
            self._findings.add(check, "note", what, str(row.get("question_id")), "left out")
        else:
            self._findings.add(check, "error", what, str(row.get("question_id")), way_out)
        return Look(None, frozenset({kind}))


def _measured(data: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height, and the darkest and brightest grey; raises for what cannot be decoded."""
    from PIL import Image

    if len(data) > MAX_BYTES:
        raise ImageError(f"{len(data)} bytes")
    with Image.open(io.BytesIO(data)) as image:
        if image.size[0] * image.size[1] > MAX_PIXELS:
            raise ImageError(f"{image.size[0]} x {image.size[1]} pixels")
        low, high = image.convert("L").getextrema()
        return image.size, (int(low), int(high))  # type: ignore[arg-type]
