"""Planted identifiers: none is left in header, metadata, file name or notes; UIDs still relate; pixels are the same."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from medprm_hf.errors import ImageError
from medprm_hf.imaging.deidentify import Deidentifier, strip_metadata
from medprm_hf.imaging.dicom import render_dicom
from medprm_hf.imaging.intake import refusal_of, take_in

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
DICOMS = Path(pydicom.__file__).parent / "data" / "test_files"
PLANTED = ("DOE^JANE", "Doe Jane", "4711223", "19620314", "ACC99881", "Springfield", "Dr. Who", "SN-77-X", "083015.5")
SECRET = b"one secret"


def named(uids: tuple[str, str, str] = ("1.2.3.4.5", "1.2.3.4.5.6", "1.2.3.4.5.6.7")) -> Any:
    """A CT slice with identifiers in every corner."""
    dataset = pydicom.dcmread(DICOMS / "CT_small.dcm")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = uids
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "DOE^JANE", "4711223", "19620314"
    dataset.AccessionNumber, dataset.InstitutionAddress, dataset.StationName = "ACC99881", "Springfield", "SN-77-X"
    dataset.PerformingPhysicianName, dataset.ImageComments, dataset.StudyTime = "Dr. Who", "Doe Jane", "083015.5"
    dataset.SeriesDescription = dataset.ProtocolName = dataset.StudyDescription = "Doe Jane"
    dataset.DeviceSerialNumber, dataset.AcquisitionDate = "SN-77-X", "19620314"
    block = dataset.private_block(0x0029, "ACME 4711223", create=True)
    block.add_new(1, "LO", "DOE^JANE")
    block.add_new(2, "UN", b"Springfield")
    request, referenced, code = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    request.RequestedProcedureID = request.RequestedProcedureDescription = "ACC99881"
    dataset.RequestAttributesSequence = [request]
    referenced.ReferencedSOPInstanceUID, referenced.ReferencedSOPClassUID = uids[2], "1.2.840.10008.5.1.4.1.1.2"
    referenced.add_new(0x00080080, "LO", "Springfield")
    code.CodeMeaning, code.CodeValue = "Dr. Who", "4711223"
    referenced.PurposeOfReferenceCodeSequence = [code]
    dataset.ReferencedImageSequence = [referenced]
    dataset.add_new(0x60000010, "US", 8)
    dataset.add_new(0x60000022, "LO", "Doe Jane")
    dataset.add_new(0x60003000, "OW", b"DOE^JANE")
    icon = pydicom.Dataset()
    icon.BitsAllocated, icon.PixelData = 8, b"DOE^JANE"
    dataset.IconImageSequence = [icon]
    dataset.file_meta.SourceApplicationEntityTitle = "Springfield"
    dataset.preamble = b"DOE^JANE".ljust(128, b"\0")
    return dataset


def written(dataset: Any) -> bytes:
    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset)
    return out.getvalue()


def test_no_planted_identifier_is_left_in_a_header() -> None:
    dirty = named()
    assert all(word.encode() in written(dirty) for word in PLANTED)
    clean = Deidentifier(SECRET).header(dirty)
    data = written(clean)
    assert [word for word in PLANTED if word.encode() in data] == []
    assert all(uid.encode() not in data for uid in ("1.2.3.4.5",))
    assert not any(
        element.tag.is_private or element.tag.group >= 0x6000 < 0x7FE0 > element.tag.group for element in clean
    )
    assert dirty.PatientName == "DOE^JANE"  # the one given is left as it is
    assert clean.PixelData == dirty.PixelData and render_dicom(data).data == render_dicom(written(dirty)).data
    assert clean.PatientIdentityRemoved == "YES" and clean.Modality == "CT"
    assert Deidentifier(SECRET).file_name(dirty) == f"{clean.SOPInstanceUID}.dcm"


def test_uids_still_relate_and_two_secrets_differ() -> None:
    one, other = Deidentifier(SECRET), Deidentifier(b"another")
    first, second = one.header(named()), one.header(named(("1.2.3.4.5", "1.2.3.4.5.6", "1.2.3.4.5.6.8")))
    assert first.StudyInstanceUID == second.StudyInstanceUID and first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID and first.PatientID == second.PatientID
    assert first.ReferencedImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert first.ReferencedImageSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    foreign = other.header(named())
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID"):
        assert foreign.get(name) != first.get(name)
    assert len(first.SOPInstanceUID) <= 64 and one.pseudonym("") == ""


def test_every_packaged_header_is_cleaned_or_refused() -> None:
    maker, count = Deidentifier(SECRET), 0
    for file in sorted(DICOMS.glob("*.dcm")):
        try:
            clean = maker.header(pydicom.dcmread(file, force=True))
        except (ImageError, pydicom.errors.InvalidDicomError):
            continue
        count += 1
        assert not any(element.VR in ("PN", "DA", "TM", "DT", "LT", "ST", "UT", "UC") and element.value
                       for element in clean.iterall()), file.name  # fmt: skip
    assert count > 70


def jpeg(progressive: bool = False) -> bytes:
    values = np.random.Generator(np.random.Philox(key=3)).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "Doe Jane", "Dr. Who"
    exif.get_ifd(0x8825)[1] = "N"
    out = io.BytesIO()
    Image.fromarray(values).save(out, "JPEG", exif=exif, comment=b"4711223", progressive=progressive, quality=90)
    data = out.getvalue()
    note = b"\xff\xfe\x00\x0fSpringfield\0\0"
    iptc = b"\xff\xed\x00\x0aDOE^JANE"
    jfxx = b"\xff\xe0\x00\x0fJFXX\0ACC99881"
    data = data[:2] + jfxx + iptc + note + data[2:]
    if progressive:  # comments may also stand between the scans
        at = data.rfind(b"\xff\xda")
        data = data[:at] + note + data[at:]
    return data + b"SN-77-X\xff\xd9"


def png() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("PatientName", "DOE^JANE")
    info.add_itxt("Comment", "Doe Jane")
    info.add_text("zipped", "4711223 " * 50, zip=True)
    exif = Image.Exif()
    exif[0x010E] = "Dr. Who"
    out = io.BytesIO()
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 30)).save(out, "PNG", pnginfo=info, exif=exif)
    return out.getvalue() + b"Springfield"


@pytest.mark.parametrize("data", [jpeg(), jpeg(True), png()], ids=["jpeg", "progressive", "png"])
def test_metadata_goes_and_pixels_stay_byte_for_byte(data: bytes) -> None:
    clean = strip_metadata(data)
    assert [word for word in PLANTED if word.encode() in clean] == [] and b"zTXt" not in clean
    before, after = (Image.open(io.BytesIO(d)) for d in (data, clean))
    assert before.mode == after.mode and before.tobytes() == after.tobytes()
    assert not after.getexif() and not getattr(after, "text", {}) and "comment" not in after.info
    assert strip_metadata(clean) == clean


@pytest.mark.parametrize("data", [jpeg()[:300], png()[:60], b"\xff\xd8\xff"])
def test_files_that_break_off_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="break off"):
        strip_metadata(data)


def test_other_formats_are_left_to_be_converted() -> None:
    assert strip_metadata(b"BM....") == b"BM...."


# --- the door ------------------------------------------------------------------------------------------------


def test_what_comes_in_names_nobody(tmp_path: Path) -> None:
    for data, name in ((written(named()), "DOE_JANE.dcm"), (jpeg(), "DOE_JANE.jpg"), (png(), "DOE_JANE.png")):
        (tmp_path / name).write_bytes(data)
        for source in (
            data,
            tmp_path / name,
            {"bytes": data, "path": name},
            {"bytes": None, "path": str(tmp_path / name)},
        ):
            taken = take_in(source)
            assert taken.cell is not None and taken.cell["bytes"] is not None
            held = taken.cell["bytes"] + repr((taken.cell["path"], taken.notes)).encode()
            assert [word for word in (*PLANTED, "DOE_JANE") if word.encode() in held] == []
            assert taken.cell["path"].startswith(str(taken.sha256)[:16]) and take_in(taken.cell) == taken._replace(
                notes=[]
            )
    assert take_in(written(named())).notes[0] == "CT 128 x 128"
    assert take_in(png()).notes == ["metadata removed"]
    assert take_in(None) == (None, None, [])


def test_what_cannot_be_shown_keeps_no_bytes_and_no_name(tmp_path: Path) -> None:
    plan = (DICOMS / "rtplan.dcm").read_bytes()
    for source in (plan, {"bytes": plan, "path": "DOE_JANE.dcm"}, tmp_path / "DOE_JANE.png", b"DOE^JANE", ""):
        taken = take_in(source)
        assert taken.cell == {"bytes": None, "path": "refused.png"} and taken.sha256 is None
        assert refusal_of(taken.notes) and "JANE" not in str(taken.notes)
    assert refusal_of([]) is None and refusal_of(None) is None
