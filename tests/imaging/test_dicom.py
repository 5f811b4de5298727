"""Every DICOM of pydicom's package is a correct PNG, against a rendering written here, or a refusal that is named."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medprm_hf.errors import ConfigError, ImageError
from medprm_hf.imaging.coded import coded_size
from medprm_hf.imaging.dicom import read_dicom, render_dicom
from medprm_hf.imaging.load import load_image
from medprm_hf.imaging.windows import PRESETS, Window, read_window, to_eight_bits

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
DATA = Path(pydicom.__file__).parent / "data"

NO_PICTURE = "without a picture"
REFUSED = {
    "test_files/JPEG-lossy.dcm": r"JPEG Extended .*Unable to decode",  # 12 bits, a misplaced marker
    "test_files/JPEG2000-embedded-sequence-delimiter.dcm": r"compressed picture says 3722445056 x 1",
    "test_files/MR_truncated.dcm": r"8130 vs 8192 bytes",
    "test_files/badVR.dcm": r"does not say how large",
    "test_files/meta_missing_tsyntax.dcm": r"does not say how large",
    "test_files/nested_priv_SQ.dcm": r"does not say how large",
    "test_files/no_meta.dcm": r"no DICOM file",  # begins in the middle of a data set
    "palettes/README.md": r"no DICOM file",
} | dict.fromkeys((
    "test_files/ExplVR_BigEndNoMeta.dcm", "test_files/ExplVR_LitEndNoMeta.dcm", "test_files/UN_sequence.dcm",
    "test_files/empty_charset_LEI.dcm", "test_files/no_meta_group_length.dcm", "test_files/priv_SQ.dcm",
    "test_files/reportsi.dcm", "test_files/reportsi_with_empty_number_tags.dcm", "test_files/rtplan.dcm",
    "test_files/rtplan_truncated.dcm", "test_files/rtstruct.dcm", "test_files/test-SR.dcm",
    "test_files/waveform_ecg.dcm", "charset_files/chrJapMulti.dcm", "charset_files/chrJapMultiExplicitIR6.dcm",
    "charset_files/chrKoreanMulti.dcm", "charset_files/chrSQEncoding.dcm", "charset_files/chrSQEncoding1.dcm",
    "palettes/fall.dcm", "palettes/hotiron.dcm", "palettes/hotmetalblue.dcm", "palettes/pet.dcm",
    "palettes/pet20step.dcm", "palettes/spring.dcm", "palettes/summer.dcm", "palettes/winter.dcm",
), NO_PICTURE)  # fmt: skip


def packaged() -> Iterator[str]:
    for file in sorted(DATA.rglob("*")):
        name = file.relative_to(DATA).as_posix()
        if file.suffix == ".dcm" or "DICOMDIR" in file.name or (file.is_file() and "dicomdirtests/" in name):
            if "TINY_ALPHA/PT" not in name or name.endswith("0000"):
                yield name
    yield "palettes/README.md"


def expected(dataset: Any) -> np.ndarray:
    """The grey formula of PS3.3 C.11.2.1.2.1 written once more, value by value in numpy."""
    values = dataset.pixel_array
    frames = int(dataset.get("NumberOfFrames") or 1)
    values = values[frames // 2] if frames > 1 else values
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    levels = values.astype(np.float64) * slope + intercept
    center, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if center is not None and str(center):
        c, w = (float(np.ravel(v)[0]) for v in (center, width))
        grey = np.where(levels <= c - 0.5 - (w - 1) / 2, 0.0, ((levels - (c - 0.5)) / (w - 1) + 0.5) * 255)
        grey = np.where(levels > c - 0.5 + (w - 1) / 2, 255.0, grey)
    elif dataset.BitsStored <= 8:
        grey = levels / (2**dataset.BitsStored - 1) * 255
    else:
        seen = levels[values != dataset.get("PixelPaddingValue", -99999)]
        low, high = np.percentile(seen, (0.5, 99.5))
        grey = np.clip((levels - low) / (high - low), 0, 1) * 255
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


@pytest.mark.parametrize("name", list(packaged()))
def test_every_packaged_file_is_right_or_refused_by_name(name: str) -> None:
    if name in REFUSED or "DICOMDIR" in name or "README" in name or "TINY_ALPHA/PT" in name:
        said = REFUSED.get(name, "no DICOM file" if "README" in name else NO_PICTURE)
        with pytest.raises(ImageError, match=said):
            render_dicom(DATA / name)
        return
    found = render_dicom(DATA / name)
    picture = np.asarray(Image.open(io.BytesIO(found.data)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(DATA / name)
        assert picture.shape[:2] == (dataset.Rows, dataset.Columns)
        if dataset.PhotometricInterpretation.startswith("MONOCHROME"):
            assert found.mode == "L"
            assert np.abs(picture - expected(dataset)).max() <= 0.51
        else:
            assert found.mode == "RGB"
    assert found.notes[0].endswith(f"{found.width} x {found.height}")


BARS = {5: (255, 0, 0), 15: (255, 128, 128), 25: (0, 255, 0), 35: (128, 255, 128), 45: (0, 0, 255),
        55: (128, 128, 255), 65: (0, 0, 0), 75: (64, 64, 64), 85: (192, 192, 192), 95: (255, 255, 255)}  # fmt: skip
"""The 100 x 100 colour samples of GDCM and dcmtk show these bars, by row."""
BARRED = (
    "dcmtk_+eb+cr", "dcmtk_+eb+cy+n1", "dcmtk_+eb+cy+n2", "dcmtk_+eb+cy+np", "dcmtk_+eb+cy+s2", "dcmtk_+eb+cy+s4",
    "gdcm_KY", "jls_lossy_line", "jls_lossy_sample", "jpeg_dcmtk", "jpeg_gdcm", "jpeg_lossy_gdcm", "rle", "rle_16bit",
    "rle_32bit",
)  # fmt: skip


@pytest.mark.parametrize("name", [*(f"SC_rgb_{name}.dcm" for name in BARRED), "SC_ybr_full_422_uncompressed.dcm"])
def test_colours_are_the_known_bars_in_every_coding(name: str) -> None:
    picture = np.asarray(Image.open(io.BytesIO(render_dicom(DATA / "test_files" / name).data)), np.int16)
    for row, color in BARS.items():
        assert np.abs(picture[row, 50] - color).max() <= 6, (row, picture[row, 50])


def test_a_palette_is_looked_up() -> None:
    dataset = pydicom.dcmread(DATA / "test_files/examples_palette.dcm")
    tables = [
        np.frombuffer(getattr(dataset, f"{c}PaletteColorLookupTableData"), "<u2") for c in ("Red", "Green", "Blue")
    ]
    index = np.frombuffer(dataset.PixelData, np.uint8)[: 350 * 800].reshape(350, 800)
    by_hand = np.stack([table[index] for table in tables], -1) >> 8
    assert (np.asarray(Image.open(io.BytesIO(render_dicom(dataset).data))) == by_hand).all()


def ct(values: Any, **tags: Any) -> Any:
    """A small CT slice in memory."""
    dataset = read_dicom(DATA / "test_files/CT_small.dcm")
    pixels = np.asarray(values, np.int16)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.tobytes()
    dataset.RescaleIntercept, dataset.RescaleSlope = tags.pop("RescaleIntercept", 0), 1
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def grey(dataset: Any, window: str = "auto") -> list[list[int]]:
    return np.asarray(Image.open(io.BytesIO(render_dicom(dataset, window).data))).tolist()  # type: ignore[no-any-return]


def test_presets_are_hounsfield_units() -> None:
    for name, window in PRESETS.items():
        low, high = window.center - window.width / 2, window.center + window.width / 2
        raw = [[low - 500, low, window.center, high, high + 500]]
        black, low_end, middle, high_end, white = grey(ct(np.add(raw, 1024), RescaleIntercept=-1024), name)[0]
        assert (black, low_end, high_end, white) == (0, 0, 255, 255) and 127 <= middle <= 130
    assert grey(ct([[0, 50, 100]]), "50.5/101") == [[0, 128, 255]]
    mr = ct([[0, 100]], Modality="MR", WindowCenter=50, WindowWidth=101)
    assert "window lung is for CT and was left out for MR" in render_dicom(mr, "lung").notes
    for bad in ("lungs", "40", "40/1", "a/b"):
        with pytest.raises(ConfigError, match="write auto, CENTER/WIDTH"):
            read_window(bad)


def test_what_the_header_says_of_grey_is_followed() -> None:
    window = {"WindowCenter": 50.5, "WindowWidth": 101}
    assert grey(ct([[0, 100]], PhotometricInterpretation="MONOCHROME1", **window)) == [[255, 0]]
    assert grey(ct([[0, 100, 400]], WindowCenter=[50.5, 9], WindowWidth=[101, 9])) == [[0, 255, 255]]
    assert grey(ct([[-2000, 0, 100]], PixelPaddingValue=-2000)) == [[0, 0, 255]]
    assert to_eight_bits(np.array([0.0, 50, 100]), Window(50, 100, "LINEAR_EXACT")).tolist() == [0, 128, 255]
    assert to_eight_bits(np.array([-1e9, 50, 1e9]), Window(50, 100, "SIGMOID")).tolist() == [0, 128, 255]
    enhanced = ct([[0, 100]])
    values, shown = pydicom.Dataset(), pydicom.Dataset()
    values.RescaleSlope, values.RescaleIntercept = 2, -100
    shown.WindowCenter, shown.WindowWidth = 0.5, 201
    group = pydicom.Dataset()
    group.PixelValueTransformationSequence, group.FrameVOILUTSequence = [values], [shown]
    enhanced.SharedFunctionalGroupsSequence = [group]
    assert render_dicom(enhanced).notes[-1] == "window 0.5/201 (the file's)" and grey(enhanced) == [[0, 255]]


def test_frames_are_chosen() -> None:
    file = DATA / "test_files/SC_rgb_rle_2frame.dcm"
    assert render_dicom(file, frame=0).notes[1] == "frame 0 of 2 (from 0)"
    assert render_dicom(file, frame=0).data != render_dicom(file, frame=1).data
    with pytest.raises(ImageError, match="frame 2 is not among the 2 frames"):
        render_dicom(file, frame=2)


def test_bombs_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="60000 x 60000 x 1 frames; allowed are 1 to 50000000"):
        dataset = ct([[0, 1]])
        dataset.Rows = dataset.Columns = 60_000
        render_dicom(dataset)
    head = (DATA / "test_files/image_dfl.dcm").read_bytes()[:330]
    plain = pydicom.dcmread(DATA / "test_files/image_dfl.dcm")
    start = len(head) - 330 + 128 + 4 + 12 + plain.file_meta.FileMetaInformationGroupLength
    deflater = zlib.compressobj(9, wbits=-15)
    body = b"".join([*(deflater.compress(bytes(1 << 20)) for _ in range(260)), deflater.flush()])
    with pytest.raises(ImageError, match="over 250000000 bytes when inflated"):
        render_dicom((DATA / "test_files/image_dfl.dcm").read_bytes()[:start] + body)
    whole = (DATA / "test_files/CT_small.dcm").read_bytes()
    for size in (0, 100, 132, 200, 1000, 5000, len(whole) - 2000):
        with pytest.raises(ImageError):
            render_dicom(whole[:size])
    with pytest.raises(ImageError, match="cannot be read"):
        render_dicom(tmp_path / "none.dcm")


def test_a_compressed_picture_may_not_be_larger_than_its_header_says() -> None:
    dataset = pydicom.dcmread(DATA / "test_files/SC_rgb_jpeg_dcmtk.dcm")
    at = dataset.PixelData.index(b"\xff\xc0")
    dataset.PixelData = dataset.PixelData[: at + 5] + b"\xea\x60\xea\x60" + dataset.PixelData[at + 9 :]
    with pytest.raises(ImageError, match="compressed picture says 60000 x 60000, its header 100 x 100"):
        render_dicom(dataset)
    assert coded_size(b"\xff\xd8\xff") is None and coded_size(b"") is None


def test_load_image_takes_dicom_bytes_and_paths() -> None:
    file = DATA / "test_files/MR_small.dcm"
    assert load_image(file) == load_image(file.read_bytes()) == render_dicom(file)
