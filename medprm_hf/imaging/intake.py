"""The one door by which images come in: what passes is a PNG or JPEG that names nobody, or nothing but a reason.

    cell, digest, notes = take_in({"bytes": dicom_bytes, "path": "DOE_JANE/1.dcm"})
    cell    →  {"bytes": b"\\x89PNG…", "path": "3f9a….png"}       digest = SHA-256 of exactly these bytes
    notes   →  ["CT 512 x 512", "window -600/1500 (lung)"]

DICOM and NIfTI are rendered, everything else loses its metadata; what file it was is said by nothing that is kept. An
image that cannot be shown keeps no bytes (they might be a raw DICOM): its notes hold the refusal, and the questions
stage drops the row by it. Paths of missing files stay out of the row too.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from medprm_hf.errors import ImageError
from medprm_hf.ids import bytes_hash
from medprm_hf.imaging.deidentify import strip_metadata
from medprm_hf.imaging.load import load_image
from medprm_hf.imaging.loaded import LoadedImage

REFUSED = "refused: "
"""What the note of an image begins with that could not be taken in."""
Cell = dict[str, Any]


class TakenIn(NamedTuple):
    """An image as a row holds it."""

    cell: Cell | None
    """{bytes, path}; bytes null where it was refused, so that it never passes for a text-only question; None where
    there was no image."""
    sha256: str | None
    """Of the bytes that are kept."""
    notes: list[str]
    """What was decided, in order."""


def take_in(source: Any) -> TakenIn:
    """Whatever a source gives as an image (bytes, path, cell, PIL image, LoadedImage, None) as a row may hold it.

    The ImageError that a source met itself is a refusal in those words.
    """
    if source is None:
        return TakenIn(None, None, [])
    try:
        if isinstance(source, ImageError):
            raise source
        found = source if isinstance(source, LoadedImage) else load_image(_with_bytes(source))
        data = strip_metadata(found.data)
    except ImageError as error:
        return TakenIn({"bytes": None, "path": "refused.png"}, None, [REFUSED + _without_path(str(error), source)])
    digest = bytes_hash(data)
    suffix = "jpg" if found.mime == "image/jpeg" else "png"
    removed = ("metadata removed",) if len(data) < len(found.data) else ()
    return TakenIn({"bytes": data, "path": f"{digest[:16]}.{suffix}"}, digest, [*found.notes, *removed])


def refusal_of(notes: list[str] | None) -> str | None:
    """Why an image was not taken in; None where it was."""
    return next((note.removeprefix(REFUSED) for note in notes or [] if note.startswith(REFUSED)), None)


def _with_bytes(source: Any) -> Any:
    """A cell whose bytes stand beside a name is read by its bytes; only a lone path is opened."""
    if isinstance(source, dict) and source.get("bytes") is not None:
        return source["bytes"]
    return source


def _without_path(message: str, source: Any) -> str:
    """A refusal without the name of the file: names of files name people."""
    path = source.get("path") if isinstance(source, dict) else source
    if isinstance(path, str | PathLike):
        for name in (str(path), str(path)[:120] + "…", Path(str(path)[:4096]).name):
            message = message.replace(name, "the file") if name else message
    return message
