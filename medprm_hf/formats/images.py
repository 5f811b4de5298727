"""Images beside a data file: written once each as `<stem>_images/<sha256[:16]>.png`, referenced by relative path.

    row["image"] = {"bytes": b"\\x89PNG…", "path": None}   ->   "visualprm_images/3f1c….png"

Reading goes the other way: a path that leads to an image file becomes its bytes. Backslashes of Windows paths
are read as slashes. A file that is no image is never opened into a row, whatever its name is.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from medprm_hf.errors import ImageError
from medprm_hf.formats.base import Refused
from medprm_hf.ids import bytes_hash

ImageMode = Literal["files", "none", "inline", "as found"]
"""Writing: image files beside the output · no images · base64 inside it (raw-json only) · paths untouched."""
LoadMode = Literal["load", "reference"]
"""Reading: bytes of every image that can be found · the path as it stands."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
)


def image_suffix(data: bytes) -> str | None:
    """`.png`, `.jpg`, … by the first bytes; null if they are no image's."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for magic, suffix in _MAGIC if data.startswith(magic)), None)


class ImageFolder:
    """Writes each image once, under the name of its hash."""

    def __init__(self, output: Path, mode: ImageMode) -> None:
        self.folder = output.parent / f"{output.name.split('.')[0]}_images"
        self.mode = mode
        self.written = 0
        self._last: tuple[bytes, str] | None = None

    def reference(self, image: Any) -> str | None:
        """The path of an image as the file will say it (`/` everywhere); null without an image.

        An image that is a path alone is referenced as it stands.
        """
        if image is None or self.mode == "none":
            return None
        data, path = image_parts(image)
        if data is None or self.mode == "as found":
            return path
        if self._last is None or self._last[0] is not data:
            self._last = (data, self._write(data))
        return self._last[1]

    def _write(self, data: bytes) -> str:
        name = bytes_hash(data)[:16] + (image_suffix(data) or ".png")
        target = self.folder / name
        if not target.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{name}.part")
            partial.write_bytes(data)
            partial.replace(target)
            self.written += 1
        return f"{self.folder.name}/{name}"


def image_parts(image: Any) -> tuple[bytes | None, str | None]:
    """Bytes and path of an image column's value: {"bytes", "path"}, bytes or a path."""
    if isinstance(image, Mapping):
        return image.get("bytes"), image.get("path")
    if isinstance(image, bytes):
        return image, None
    if isinstance(image, str):
        return None, image
    kind = type(image).__name__
    raise Refused("bad_image", f"image is a {kind}; give {{'bytes', 'path'}}, bytes or a path", "image")


def load_image(path: str, root: Path) -> bytes:
    """Bytes of the image that a file under `root` refers to; raises ImageError if it is missing or no image."""
    found = root / path.replace("\\", "/")
    if not found.is_file():
        raise ImageError(f"image {path!r} is not at {found}: put it there, or name its folder with image_root")
    with found.open("rb") as file:
        if image_suffix(file.read(16)) is None:
            raise ImageError(f"{path!r} is no PNG, JPEG, GIF, BMP, TIFF or WebP image")
        file.seek(0)
        return file.read()


def inline(image: Any) -> dict[str, Any] | None:
    """{"bytes": base64, "path"} for raw-json."""
    if image is None:
        return None
    data, path = image_parts(image)
    return {"bytes": None if data is None else base64.b64encode(data).decode(), "path": path}
