"""Writing in the pixels: found where it is drawn on real images, and not on clean ones."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from medprm_hf.imaging.burned_in import suspect_writing

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
CLEAN = ("images_open/nih_00000001_000.png", "openstax_ap1e/images_dev/511_Hair_Follicle.jpg",
         "openstax_ap1e/images_dev/2707_Edema_of_Right_Hand_Due_to_Allergic_Reaction.jpg")  # fmt: skip
LABELLED = ("openstax_ap1e/images_dev/1916_Leukocyte_Key.jpg", "openstax_ap1e/images_dev/506_Layers_of_the_Dermis.jpg")


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)


def encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def with_text(image: Image.Image, size: int, ink: int, ground: int | None) -> bytes:
    marked = image.convert("L")
    draw = ImageDraw.Draw(marked)
    text = "DOE^JANE 4711223 1962-03-14"
    if ground is not None:
        draw.rectangle(draw.textbbox((8, 8), text, font=font(size)), fill=ground)
    draw.text((8, 8), text, fill=ink, font=font(size))
    return encoded(marked)


def opened(name: str) -> Image.Image:
    if not (SHARED / name).is_file():
        pytest.skip(f"no real image at {SHARED / name}")
    return Image.open(SHARED / name)


@pytest.mark.parametrize("name", CLEAN)
def test_writing_on_real_images_is_found_and_clean_ones_pass(name: str) -> None:
    image = opened(name)
    assert suspect_writing((SHARED / name).read_bytes()) == ()
    for size, ink, ground in ((12, 0, 255), (12, 255, 0), (20, 0, 255), (20, 255, 0)):
        lines = suspect_writing(with_text(image, size, ink, ground))
        assert lines and lines[0].top < 40 and lines[0].shapes >= 6, (size, ink, ground)


@pytest.mark.parametrize("name", LABELLED)
def test_printed_labels_are_writing(name: str) -> None:
    opened(name)
    assert len(suspect_writing((SHARED / name).read_bytes())) >= 2


def test_side_markers_noise_and_large_images_are_no_writing() -> None:
    rng = np.random.Generator(np.random.Philox(key=5))
    noise = Image.fromarray(rng.normal(128, 25, (300, 300)).clip(0, 255).astype(np.uint8))
    assert suspect_writing(encoded(noise)) == ()
    marker = Image.new("L", (300, 300), 20)
    ImageDraw.Draw(marker).text((20, 20), "L", fill=255, font=font(30))
    assert suspect_writing(encoded(marker)) == ()
    large = Image.new("L", (4200, 600), 0)
    ImageDraw.Draw(large).text((50, 50), "DOE^JANE 4711223", fill=255, font=font(60))
    assert suspect_writing(encoded(large))
    assert suspect_writing(encoded(Image.new("L", (1, 1)))) == ()
