"""NIfTI files and DICOM series: orientation by hand, slices, montages, and refusals by name."""

from __future__ import annotations

import gzip
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medprm_hf.errors import ConfigError, ImageError
from medprm_hf.imaging.load import load_image
from medprm_hf.imaging.volumes import choose_slices, montage, render_nifti, render_series

nibabel = pytest.importorskip("nibabel", reason="the extra dicom is not installed")
pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
DATA = Path(nibabel.__file__).parent / "tests" / "data"
DICOMS = Path(pydicom.__file__).parent / "data" / "test_files"

REFUSED = {
    "row_major.dconn.nii": "a Cifti2Image holds no volume",
    "minc1_4d.mnc": "a MINC file of several volumes",
    "nifti1.hdr": "cannot be read .No such file",  # a header whose .img is not packaged
    "nifti2.hdr": "cannot be read .No such file",
    "analyze.hdr": "cannot be read .No such file",
    "tinypet.v": "cannot be read as a volume .Cannot work out file type of",
    "bad_datatype+orig.HEAD": "multiple data types",
    "phantom_truncated.PAR": "Header inconsistency",
    "simple.trk": "cannot be read as a volume",
    "README.rst": "cannot be read as a volume",
}
VOLUMES = [
    "anatomical.nii", "functional.nii", "example4d.nii.gz", "example_nifti2.nii.gz", "reoriented_anat_moved.nii",
    "resampled_anat_moved.nii", "standard.nii.gz", "test.mgz", "tiny.mnc", "scaled+tlrc.HEAD",
    "phantom_EPI_asc_CLEAR_2_1.PAR",
]  # fmt: skip


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("name", VOLUMES)
@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_volumes_are_shown_as_a_radiologist_sees_them(name: str, axis: str) -> None:
    """Every pixel is found again by its place in the patient: the affine is asked where each voxel lies."""
    image: Any = nibabel.load(DATA / name)
    data = np.asarray(image.dataobj, np.float64)
    data = data[(..., *([0] * (data.ndim - 3)))] if data.ndim > 3 else data
    codes = nibabel.aff2axcodes(image.affine)
    letters = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    order = [next(i for i, code in enumerate(codes) if letters[code][0] == place) for place in range(3)]
    ras = data.transpose(order)
    for place in range(3):
        if letters[codes[order[place]]][1] < 0:
            ras = np.flip(ras, place)
    along = {"sagittal": 0, "coronal": 1, "axial": 2}[axis]
    plane = np.take(ras, ras.shape[along] // 2, along)
    low, high = np.nanpercentile(plane, (0.5, 99.5))
    found = pixels(render_nifti(DATA / name, axis=axis).data)
    assert found.shape == (plane.shape[1], plane.shape[0])
    wide, tall = plane.shape
    for x, y in [(0, 0), (wide - 1, 0), (0, tall - 1), (wide // 2, tall // 3), (wide // 3, tall // 2)]:
        grey = np.clip((np.nan_to_num(plane[x, y], nan=low) - low) / ((high - low) or 1), 0, 1) * 255
        assert abs(int(found[tall - 1 - y, wide - 1 - x]) - grey) <= 0.51  # right on the left, top on top


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_no_volume_is_refused_by_name(name: str) -> None:
    with pytest.raises(ImageError, match=REFUSED[name]) as refusal:
        render_nifti(DATA / name)
    assert str(DATA) not in str(refusal.value)


def test_every_packaged_file_is_rendered_or_refused() -> None:
    rendered = []
    for file in sorted(DATA.glob("*.nii*")) + sorted(DATA.glob("*.mgz")) + sorted(DATA.glob("*.PAR")):
        try:
            rendered.append((file.name, render_nifti(file).width))
        except ImageError as error:
            assert len(str(error)) < 400
    assert len(rendered) == 10


def test_bytes_are_as_good_as_paths() -> None:
    for name in ("anatomical.nii", "standard.nii.gz", "example_nifti2.nii.gz"):
        data = (DATA / name).read_bytes()
        assert load_image(data).data == render_nifti(DATA / name).data
    with pytest.raises(ImageError, match="neither as an image nor as a NIfTI"):
        load_image(gzip.compress(b"nothing"))


def liar(shape: tuple[int, ...], data: bytes = b"\0" * 64) -> bytes:
    """A NIfTI header that claims a shape, with little behind it."""
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2, 2), np.int16), np.eye(4))
    raw = bytearray(image.to_bytes()[:352])
    raw[40:56] = np.array([len(shape), *shape, *([1] * (7 - len(shape)))], np.int16).tobytes()
    return bytes(raw) + data


def test_headers_that_lie_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="a volume of 30000 x 30000 x 30000; allowed"):
        render_nifti(liar((30_000, 30_000, 30_000)))
    for shape in ((300, 300, 100, 30_000), (30, 30, 30)):
        with pytest.raises(ImageError, match="voxels cannot be read"):
            render_nifti(liar(shape))
    with pytest.raises(ImageError, match="a volume of 4; allowed|cannot be read"):
        render_nifti(liar((4,)))
    with pytest.raises(ImageError, match="voxels|cannot be read"):
        render_nifti(gzip.compress(liar((300, 300, 300)))[:60])


def test_a_small_file_that_holds_much_is_not_unpacked_for_one_slice() -> None:
    import tracemalloc

    data = gzip.compress(liar((256, 256, 400), b"\0" * (256 * 256 * 400 * 2)))
    tracemalloc.start()
    found = render_nifti(data, slices="0")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.width, found.height) == (256, 256) and peak < 20_000_000  # the volume is 52 MB


def test_numbers_that_are_none_and_odd_kinds() -> None:
    values = np.ones((3, 4, 2), np.float32)
    values[0, 0, 1], values[1, 1, 1] = np.nan, 5
    assert render_nifti(nibabel.Nifti1Image(values, np.eye(4)).to_bytes()).width == 3
    color = np.zeros((2, 2, 2), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    with pytest.raises(ImageError, match="not single numbers"):
        render_nifti(nibabel.Nifti1Image(color, np.eye(4)).to_bytes())


def test_slices_and_montages() -> None:
    assert choose_slices("middle", 5).indices == (2,)
    assert choose_slices("montage:4", 8).indices == (1, 3, 5, 7)
    assert choose_slices("montage:9", 2).indices == (0, 1)
    sheet = montage([np.full((2, 3), n, np.uint8) for n in (1, 2, 3)])
    assert sheet.tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 0, 0, 0]] * 2
    for bad in ("first", "montage:0", "-1"):
        with pytest.raises(ConfigError, match="write middle"):
            choose_slices(bad, 5)
    with pytest.raises(ImageError, match="slice 9 is not among the 5 slices"):
        choose_slices("9", 5)
    assert render_nifti(DATA / "anatomical.nii", slices="montage:9", window="5000/9000").width == 33 * 3
    with pytest.raises(ConfigError, match="axis='axal'.*axial"):
        render_nifti(DATA / "anatomical.nii", axis="axal")


def test_a_series_is_sorted_by_where_its_slices_lie(tmp_path: Path) -> None:
    from pydicom.uid import generate_uid

    dataset = pydicom.dcmread(DICOMS / "CT_small.dcm")
    dataset.WindowCenter, dataset.WindowWidth, dataset.RescaleIntercept = 128, 256, 0
    uid = generate_uid()
    for place, name in ((0, "c"), (1, "a"), (2, "b")):
        dataset.SeriesInstanceUID, dataset.InstanceNumber = uid, 9
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, place * 5]
        dataset.PixelData = np.full((128, 128), 100 * place, np.int16).tobytes()
        dataset.save_as(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no slice")
    greys = [int(pixels(render_series(tmp_path, slices=str(n)).data)[0, 0]) for n in range(3)]
    assert greys == [0, 100, 200]
    sheet = pixels(render_series(tmp_path, slices="montage:3").data)
    assert sheet.shape == (256, 256) and sheet[0, 200] == 100 and sheet[200, 0] == 200
    shutil.copy(DICOMS / "MR_small.dcm", tmp_path / "other.dcm")
    with pytest.raises(ImageError, match="holds 2 series: give each a folder"):
        render_series(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no DICOM slice"):
        render_series(tmp_path / "empty")
