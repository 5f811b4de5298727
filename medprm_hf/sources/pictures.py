"""Images that lie beside a table: in one of several folders, or still inside their ZIP files.

    images = Pictures([root, root / "images"], [root / "images.zip"])
    images.cell("PMC1064097_F1.jpg")  →  {"bytes": b"…", "path": "PMC1064097_F1.jpg"}

An image that cannot be found is a refusal, so that its row is left out with that reason and never taken for a
text-only question. A name may not lead out of its folder.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from medprm_hf.errors import ImageError
from medprm_hf.imaging.load import load_image
from medprm_hf.imaging.loaded import as_png
from medprm_hf.loading import image_value

Cell = dict[str, Any]
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def picture(value: Any) -> Any:
    """The image of a record that must have one; what is null or empty is a refused image, never no image."""
    if value is None or value == "":
        return ImageError("the record's image is empty")
    return value


def is_image(file: Path) -> bool:
    """Whether a file's name is that of a raster image."""
    return file.suffix.lower() in _IMAGES


class Pictures:
    """Finds images by the names that a table gives them."""

    def __init__(self, folders: Iterable[Path], zips: Iterable[Path] = ()) -> None:
        self._folders = [folder for folder in folders if folder.is_dir()]
        self._zips = [zipfile.ZipFile(file) for file in zips if file.is_file()]
        self._heads = [_head(archive) for archive in self._zips]

    def cell(self, name: Any) -> Cell | ImageError:
        """{bytes, path} of the image; where it is nowhere, the refusal that its row carries."""
        found = self.find(name)
        if found is None:
            return ImageError("the image that the table names is not in the copy, neither in its folder nor in its ZIP")
        return found

    def find(self, name: Any) -> Cell | None:
        """{bytes, path} of the image; null where it is nowhere."""
        said = str(name or "").replace("\\", "/")
        parts = PurePosixPath(said).parts
        if not said or ".." in parts or said.startswith("/"):
            return None
        for folder in self._folders:
            if (folder / said).is_file():
                return image_value(folder / said)
        for archive, head in zip(self._zips, self._heads, strict=True):
            for member in (said, head + said):
                try:
                    return {"bytes": archive.read(member), "path": parts[-1]}
                except KeyError:
                    continue
        return None


def _head(archive: zipfile.ZipFile) -> str:
    """The folder in which an archive keeps its first image, with a slash: `images/`, or nothing."""
    for name in archive.namelist():
        if name.lower().endswith(_IMAGES) and not name.startswith("__MACOSX"):
            return name.split("/", 1)[0] + "/" if "/" in name else ""
    return ""


def side_by_side(cells: Sequence[Cell | ImageError]) -> Any:
    """Several pictures of one question as one PNG, left to right, as high as the lowest of them; one stays as it is.

    Where one of them cannot be read, that one is given back, so that the row is left out with its reason.
    """
    if len(cells) == 1:
        return cells[0]
    from PIL import Image

    shown = []
    for cell in cells:
        if isinstance(cell, ImageError):
            return cell
        try:
            found = load_image(cell["bytes"])
        except ImageError:
            return cell
        shown.append(Image.open(io.BytesIO(found.data)).convert("RGB"))
    height = min(picture.height for picture in shown)
    shown = [one.resize((max(1, round(one.width * height / one.height)), height)) for one in shown]
    sheet = np.concatenate([np.asarray(one) for one in shown], axis=1)
    return as_png(sheet, (f"{len(shown)} pictures side by side",))
