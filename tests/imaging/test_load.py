"""Images of every kind: kept, converted with a note, or refused with both numbers and the way out."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from medprm_hf.errors import ImageError
from medprm_hf.ids import bytes_hash
from medprm_hf.imaging.load import load_image

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def gradient(mode: str = "RGB", size: tuple[int, int] = (12, 7)) -> Image.Image:
    values = np.arange(size[0] * size[1] * 3).reshape(size[1], size[0], 3) % 251
    return Image.fromarray(values.astype(np.uint8)).convert(mode)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(("mode", "form", "mime"), [
    ("RGB", "PNG", "image/png"), ("L", "PNG", "image/png"), ("RGB", "JPEG", "image/jpeg"), ("L", "JPEG", "image/jpeg"),
])  # fmt: skip
def test_plain_png_and_jpeg_keep_their_bytes(tmp_path: Path, mode: str, form: str, mime: str) -> None:
    data = encoded(gradient(mode), form)
    path = tmp_path / "image.bin"
    path.write_bytes(data)
    for source in (data, str(path), path, {"bytes": data, "path": None}, {"bytes": None, "path": str(path)}):
        loaded = load_image(source)
        assert (loaded.data, loaded.mime, loaded.mode, loaded.notes) == (data, mime, mode, ())
        assert (loaded.width, loaded.height, loaded.sha256) == (12, 7, bytes_hash(data))


CONVERTED: list[tuple[str, bytes, str, str]] = [
    ("bmp", encoded(gradient(), "BMP"), "RGB", "BMP written as PNG"),
    ("tiff", encoded(gradient("L"), "TIFF"), "L", "TIFF written as PNG"),
    ("webp", encoded(gradient(), "WEBP", lossless=True), "RGB", "WEBP written as PNG"),
    ("one bit", encoded(gradient("1")), "L", "1 bit to 8-bit grey"),
    ("palette", encoded(gradient("P")), "RGB", "P to RGB"),
    ("grey palette", encoded(gradient("L").convert("P")), "L", "P to 8-bit grey"),
    ("alpha", encoded(gradient("RGBA")), "RGB", "RGBA flattened over black"),
    ("grey alpha", encoded(gradient("LA")), "L", "LA flattened over black"),
    ("cmyk", encoded(gradient("CMYK"), "JPEG"), "RGB", "CMYK to RGB"),
    ("16 bit", encoded(Image.fromarray(np.array([[0, 1000], [2000, 4000]], np.uint16))), "L",
     "I;16 grey: 0..4000 mapped to 0..255"),
    ("float", encoded(Image.fromarray(np.array([[0.5, 1.5]], np.float32)), "TIFF"), "L",
     "F grey: 0.5..1.5 mapped to 0..255"),
    ("flat 16 bit", encoded(Image.fromarray(np.full((2, 2), 700, np.uint16))), "L",
     "I;16 grey: 700..700 mapped to 0..255"),
    ("two pictures in a jpeg", encoded(gradient(), "MPO", save_all=True, append_images=[gradient()]), "RGB",
     "MPO written as PNG"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "mode", "note"), CONVERTED, ids=[row[0] for row in CONVERTED])
def test_the_rest_becomes_png_with_a_note(name: str, data: bytes, mode: str, note: str) -> None:
    loaded = load_image(data)
    assert (loaded.mode, loaded.mime, loaded.notes[-1]) == (mode, "image/png", note)
    assert loaded == load_image(data)
    again = load_image(loaded.data)
    assert again.data == loaded.data and again.notes == ()


def test_depth_is_mapped_linearly() -> None:
    loaded = load_image(Image.fromarray(np.array([[0, 1000], [2000, 4000]], np.uint16)))
    assert pixels(loaded.data).tolist() == [[0, 64], [128, 255]]


def test_pil_images_are_taken_without_loss() -> None:
    loaded = load_image(gradient())
    assert (pixels(loaded.data) == np.asarray(gradient())).all() and loaded.notes == ()


def test_transparent_pixels_are_black() -> None:
    clear = Image.new("RGBA", (2, 1), (255, 255, 255, 0))
    assert pixels(load_image(encoded(clear)).data).tolist() == [[[0, 0, 0], [0, 0, 0]]]


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200, 90)]
    for form in ("GIF", "TIFF", "PNG"):
        loaded = load_image(encoded(frames[0], form, save_all=True, append_images=frames[1:]))
        assert loaded.notes[0] == "first of 3 frames" and loaded.mime == "image/png"
        assert set(pixels(loaded.data).ravel().tolist()) == {10}


def test_exif_rotation_is_applied_and_metadata_does_not_travel() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "Jane Doe"
    loaded = load_image(encoded(gradient(), "JPEG", exif=exif))
    assert (loaded.width, loaded.height, loaded.notes) == (7, 12, ("rotated as its EXIF says",))
    info = PngImagePlugin.PngInfo()
    info.add_text("PatientName", "Jane Doe")
    tagged = load_image(encoded(gradient("P"), pnginfo=info))
    assert b"Jane Doe" not in loaded.data + tagged.data


def png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    body = b"IDAT" + zlib.compress(b"\0")
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


WHOLE = encoded(gradient(size=(200, 200)))
REFUSED: list[tuple[str, Any, str]] = [
    ("no such file", "/no/such/image.png", r"/no/such/image.png cannot be read .*check the path"),
    ("a folder", "/", r"cannot be read"),
    ("odd path", "a\0b", r"cannot be read"),
    ("address", "https://example.org/a.png", r"addresses are not fetched; download it"),
    ("empty", b"", r"0 bytes, at least a header"),
    ("text", b"this is no image", r"16 bytes that cannot be decoded .*PNG, JPEG"),
    ("truncated png", WHOLE[: len(WHOLE) // 2], r"cannot be decoded"),
    ("truncated jpeg", encoded(gradient(size=(200, 200)), "JPEG")[:900], r"900 bytes that cannot be decoded"),
    ("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"cannot be decoded"),
    ("bomb", png_header(20_000, 20_000), r"20000 x 20000 = 400000000 pixels|400000000 pixels"),
    ("small bomb", png_header(8_000, 7_000), r"8000 x 7000 = 56000000 pixels, allowed are 1 to 50000000"),
    ("empty cell", {"bytes": None, "path": None}, r"neither bytes nor a path"),
    ("no image", 7, r"image is a int"),
    ("none", None, r"image is a NoneType"),
]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("name", "source", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refusals_name_what_is_wrong(name: str, source: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load_image(source)


def test_limits_are_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(WHOLE)
    for source in (WHOLE, path):
        with pytest.raises(ImageError, match=rf"{len(WHOLE)} bytes are over the limit of 100"):
            load_image(source, max_bytes=100)
    for image in (WHOLE, gradient(size=(200, 200))):
        with pytest.raises(ImageError, match="200 x 200 = 40000 pixels, allowed are 1 to 39999"):
            load_image(image, max_pixels=39_999)


@given(st.binary(max_size=60), st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=40))
@settings(deadline=None, max_examples=150)
def test_broken_bytes_raise_nothing_else(junk: bytes, at: int, change: bytes) -> None:
    for data in (junk, WHOLE[:at] + change + WHOLE[at + len(change) :], WHOLE[:at]):
        try:
            assert load_image(data).width > 0
        except ImageError:
            pass


def test_real_images_are_kept() -> None:
    paths = [*(SHARED / "images_open").glob("*.*g"), *(SHARED / "openstax_ap1e" / "images_dev").glob("*.jpg")]
    if not paths:
        pytest.skip(f"no real images under {SHARED}")
    for path in paths:
        loaded = load_image(path)
        assert loaded.data == path.read_bytes() or loaded.notes
        assert loaded.mode in ("RGB", "L") and loaded.width * loaded.height > 1000
