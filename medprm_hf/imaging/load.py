"""Any image that a row may hold, as bytes that a model can be sent; or an ImageError that says why not.

PNG and JPEG in RGB or 8-bit grey keep their very bytes. Everything else becomes PNG, and `notes` says what was
done to it: palettes and alpha are flattened, other depths mapped to 8 bits, EXIF rotation applied, the first
frame of several taken, DICOM and NIfTI rendered (dicom.py, volumes.py). Limits are checked on the header, before a
pixel is decoded.

    >>> load_image(png).notes                                                          # doctest: +SKIP
    ()
"""

from __future__ import annotations

import io
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from medprm_hf.errors import ImageError
from medprm_hf.ids import bytes_hash
from medprm_hf.imaging.loaded import MAX_BYTES, MAX_PIXELS, LoadedImage

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")
"""What is opened. Formats that run other programs (EPS) or hold no raster stay out."""

_KEPT = {"PNG": "image/png", "JPEG": "image/jpeg"}

Source = bytes | str | PathLike[str] | dict[str, Any] | Image.Image


def load_image(source: Source, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> LoadedImage:
    """The image behind bytes, a path, a datasets cell {bytes, path} or a PIL image.

    Raises ImageError where it is missing, broken, of another format, or over a limit (pixels, bytes).
    """
    if isinstance(source, Image.Image):
        _check_pixels(source, max_pixels, "image")
        return _converted(source, ())
    data, name = _read(source, max_bytes)
    if data[128:132] == b"DICM":
        from medprm_hf.imaging.dicom import render_dicom

        return render_dicom(data, max_pixels=max_pixels)
    if data[344:347] in (b"n+1", b"ni1") or data[4:7] == b"n+2" or data[:2] == b"\x1f\x8b":
        from medprm_hf.imaging.volumes import render_nifti

        return render_nifti(data)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_pixels(image, max_pixels, name)
            image.load()
            return _original(image, data) or _converted(image, _frames(image))
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: {error} (the limit here is {max_pixels}): scale it down first") from error
    except Exception as error:  # Pillow's decoders raise nearly everything on broken files
        said = str(error).split("<", 1)[0].strip() or type(error).__name__
        raise ImageError(
            f"{name}: {len(data)} bytes that cannot be decoded ({said}); "
            f"use an unbroken file of one of {', '.join(FORMATS)}"
        ) from error


def _read(source: bytes | str | PathLike[str] | dict[str, Any], max_bytes: int) -> tuple[bytes, str]:
    """(bytes, a name for messages)."""
    if isinstance(source, dict):
        data, path = source.get("bytes"), source.get("path")
        if data is None and path is None:
            raise ImageError("image cell has neither bytes nor a path: give one of them, or null for no image")
        return _read(data if data is not None else str(path), max_bytes)
    if isinstance(source, bytes | bytearray | memoryview):
        return _limited(bytes(source), len(source), max_bytes, "image")
    if not isinstance(source, str | PathLike):
        raise ImageError(f"image is a {type(source).__name__}: give bytes, a path, a datasets cell or a PIL image")
    return _read_file(fspath(source), max_bytes)


def _read_file(path: str, max_bytes: int) -> tuple[bytes, str]:
    name = path if len(path) <= 120 else f"{path[:120]}…"
    if path.startswith(("http://", "https://", "s3://", "data:")):
        raise ImageError(f"image {name}: addresses are not fetched; download it and give its path or bytes")
    try:
        size = Path(path).stat().st_size
        return _limited(Path(path).read_bytes() if size <= max_bytes else b"", size, max_bytes, name)
    except (OSError, ValueError) as error:
        raise ImageError(f"image {name} cannot be read ({error}): check the path and its rights") from error


def _limited(data: bytes, size: int, max_bytes: int, name: str) -> tuple[bytes, str]:
    if size == 0:
        raise ImageError(f"{name}: 0 bytes, at least a header is needed: give the whole file")
    if size > max_bytes:
        raise ImageError(f"{name}: {size} bytes are over the limit of {max_bytes}: scale or compress it first")
    return data, name


def _check_pixels(image: Image.Image, max_pixels: int, name: str) -> None:
    pixels = image.width * image.height
    if pixels == 0 or pixels > max_pixels:
        raise ImageError(
            f"{name}: {image.width} x {image.height} = {pixels} pixels, allowed are 1 to {max_pixels}: scale it first"
        )


def _frames(image: Image.Image) -> tuple[str, ...]:
    count = getattr(image, "n_frames", 1)
    return (f"first of {count} frames",) if count > 1 else ()


def _rotated(image: Image.Image) -> bool:
    return bool(image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1))


def _original(image: Image.Image, data: bytes) -> LoadedImage | None:
    """The image with its own bytes, if every model reads them alike."""
    mime = _KEPT.get(image.format or "")
    if mime is None or image.mode not in ("RGB", "L") or _frames(image) or _rotated(image):
        return None
    if "transparency" in image.info:
        return None
    return LoadedImage(data, bytes_hash(data), image.width, image.height, image.mode, mime)


def _converted(image: Image.Image, notes: tuple[str, ...]) -> LoadedImage:
    try:
        if _rotated(image):
            notes = (*notes, "rotated as its EXIF says")
            image = ImageOps.exif_transpose(image)
        flat, note = _to_eight_bits(image)
    except (OSError, ValueError) as error:
        raise ImageError(f"{image.mode} image cannot be turned into 8 bits ({error}): convert it first") from error
    out = io.BytesIO()
    plain = Image.new(flat.mode, flat.size)  # a copy without metadata: no text chunk, EXIF or profile travels
    plain.paste(flat)
    plain.save(out, "PNG", compress_level=6)
    data = out.getvalue()
    found = tuple(text for text in (*notes, note) if text)
    return LoadedImage(data, bytes_hash(data), flat.width, flat.height, flat.mode, "image/png", found)


def _to_eight_bits(image: Image.Image) -> tuple[Image.Image, str]:
    """(RGB or L, what was done)."""
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        source = image.format and image.format not in _KEPT
        return image, f"{image.format} written as PNG" if source else ""
    if image.mode == "1":
        return image.convert("L"), "1 bit to 8-bit grey"
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled(image)
    if "A" in image.getbands() or "transparency" in image.info:
        return _flattened(image)
    grey = image.mode == "P" and _is_grey(image)
    return image.convert("L" if grey else "RGB"), f"{image.mode} to {'8-bit grey' if grey else 'RGB'}"


def _scaled(image: Image.Image) -> tuple[Image.Image, str]:
    """Deeper grey, mapped linearly from its own smallest and largest value to 0..255."""
    values = np.asarray(image, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError("no finite value")
    low, high = float(values[finite].min()), float(values[finite].max())
    share = (np.where(finite, values, low) - low) / (high - low or 1.0)
    grey = Image.fromarray(np.round(share * 255).astype(np.uint8))
    return grey, f"{image.mode} grey: {low:g}..{high:g} mapped to 0..255"


def _flattened(image: Image.Image) -> tuple[Image.Image, str]:
    """Transparency over black: outside of a scan there is nothing."""
    grey = image.mode in ("LA", "La", "L")
    layered = image.convert("RGBA")
    under = Image.new("RGBA", image.size, (0, 0, 0, 255))
    flat = Image.alpha_composite(under, layered).convert("L" if grey else "RGB")
    return flat, f"{image.mode} flattened over black"


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = image.convert("RGB").split()
    return red.tobytes() == green.tobytes() == blue.tobytes()
