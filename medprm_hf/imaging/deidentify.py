"""Takes what may name a patient out of DICOM headers, image metadata and file names.

    maker = Deidentifier(secret=b"...")          # the same secret maps the same patient and UIDs alike
    clean = maker.header(dataset)                # a new Dataset
    maker.file_name(dataset)                     # "2.25.1840….dcm"
    strip_metadata(jpeg_bytes)                   # EXIF, comments and text chunks gone, pixels untouched

Headers are cleaned by a list of what may stay, which is stricter than the basic profile's list of what must go
(DICOM PS3.15, Annex E): numbers about the picture and how it was made, a few coded words, and UIDs, which are mapped
so that relations stay (same patient, study, series, referenced image). Dates, times, free text, names, private tags,
overlays, curves and thumbnails go. What lies in the pixels is `burned_in.py`'s to suspect.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import struct
from collections.abc import Iterator
from typing import Any

from medprm_hf.errors import ImageError

METHOD = "medprm-hf allow-list (stricter than PS3.15 E basic profile)"
_NUMBERS = frozenset(
    ("AT", "DS", "FD", "FL", "IS", "OB", "OB or OW", "OD", "OF", "OL", "OW", "SL", "SS", "UL", "US", "US or SS")
)
_GROUPS = frozenset((0x0018, 0x0020, 0x0028, 0x0054, 0x0062, 0x3004, 0x5200, 0x7FE0))
"""Acquisition, relationship, image pixel, nuclear medicine, segmentation, dose, functional groups, pixels."""
_WORDS = frozenset(
    (
        "BodyPartExamined", "BurnedInAnnotation", "ConversionType", "DoseUnits", "ImageLaterality", "ImageType",
        "Laterality", "LossyImageCompression", "Modality", "PatientOrientation", "PatientPosition",
        "PhotometricInterpretation", "PixelIntensityRelationship", "PresentationIntentType", "PresentationLUTShape",
        "RescaleType", "ScanningSequence", "SegmentationType", "SequenceVariant", "Units", "ViewPosition",
        "VOILUTFunction", "MRAcquisitionType", "SOPClassUID",
    )
)  # fmt: skip
"""Coded words that say what the picture is."""
_EMPTY = (
    "AccessionNumber", "PatientBirthDate", "PatientName", "PatientSex", "ReferringPhysicianName", "StudyDate",
    "StudyID", "StudyTime",
)  # fmt: skip
"""What the standard wants to be there, and may be empty."""
_STANDARD_UIDS = "1.2.840.10008."


class Deidentifier:
    """Cleans headers; one secret gives one patient one pseudonym, another secret another."""

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)

    def header(self, dataset: Any) -> Any:
        """A new Dataset with what may stay; the one given is left as it is. ImageError where it cannot be read."""
        try:
            clean = self._clean(dataset)
        except Exception as error:  # pydicom reads values late, and raises nearly everything on broken ones
            raise ImageError(
                f"its header cannot be read through ({type(error).__name__}): leave the file out"
            ) from error
        for name in _EMPTY:
            setattr(clean, name, "")
        clean.PatientID = self.pseudonym(str(dataset.get("PatientID") or ""))
        clean.PatientIdentityRemoved = "YES"
        clean.DeidentificationMethod = METHOD
        clean.preamble = b"\0" * 128
        clean.file_meta = self._meta(dataset, clean)
        return clean

    def pseudonym(self, name: str) -> str:
        """A patient's or study's id without its name: 16 hexadecimal digits; empty stays empty."""
        return self._digest("patient", name)[:16] if name else ""

    def uid(self, uid: str) -> str:
        """A UID under 2.25 in the place of one that a scanner gave; those of the standard stay."""
        if not uid or uid.startswith(_STANDARD_UIDS):
            return uid
        return f"2.25.{int(self._digest('uid', uid)[:32], 16)}"

    def file_name(self, dataset: Any) -> str:
        """A name that says nothing but which picture it is."""
        instance = str(dataset.get("SOPInstanceUID") or "")
        return f"{self.uid(instance) or secrets.token_hex(16)}.dcm"

    def _digest(self, kind: str, text: str) -> str:
        return hmac.new(self._secret, f"{kind}\0{text}".encode(), hashlib.sha256).hexdigest()

    def _clean(self, dataset: Any) -> Any:
        from pydicom.dataset import Dataset

        clean = Dataset()
        for element in dataset:
            if element.VR == "SQ" and _may_nest(element):
                value = [self._clean(item) for item in element.value]
                clean.add_new(element.tag, "SQ", value)
            elif element.VR == "UI" and element.tag.group in (0x0008, 0x0020, 0x0028, 0x0018, 0x3006):
                values = element.value if element.VM > 1 else [element.value]
                mapped = [self.uid(str(value)) for value in values if value]
                clean.add_new(element.tag, "UI", mapped[0] if len(mapped) == 1 else mapped)
            elif _may_stay(element):
                clean.add(element)
        return clean

    def _meta(self, dataset: Any, clean: Any) -> Any:
        from pydicom.dataset import FileMetaDataset

        meta = FileMetaDataset()
        given = getattr(dataset, "file_meta", None) or {}
        for name in ("MediaStorageSOPClassUID", "TransferSyntaxUID"):
            if given.get(name):
                setattr(meta, name, given.get(name))
        meta.MediaStorageSOPInstanceUID = clean.get("SOPInstanceUID") or ""
        return meta


def _may_stay(element: Any) -> bool:
    if element.tag.is_private or element.VR == "SQ":
        return False
    if element.keyword in _WORDS:
        return True
    return element.tag.group in _GROUPS and element.VR in _NUMBERS


def _may_nest(element: Any) -> bool:
    refers = element.tag.group == 0x0008 and element.keyword.startswith(("Referenced", "Source"))
    return not element.tag.is_private and (refers or element.tag.group in _GROUPS)


def strip_metadata(data: bytes) -> bytes:
    """PNG or JPEG bytes without EXIF, comments and texts; the coded pixels, and what is needed to show them, stay.

    Other formats come back as they are (they are converted before they are sent). Raises ImageError where the file
    ends in the middle of a segment.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return data[:8] + b"".join(_png_chunks(data))
        if data.startswith(b"\xff\xd8"):
            return b"\xff\xd8" + b"".join(_jpeg_segments(data))
    except (struct.error, IndexError) as error:
        raise ImageError(f"{len(data)} bytes that break off inside a segment: use an unbroken file") from error
    return data


_PNG_KEPT = frozenset(
    (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs")
)


def _png_chunks(data: bytes) -> Iterator[bytes]:
    at = 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data):
            raise IndexError("chunk")
        if kind in _PNG_KEPT:
            yield data[at:end]
        if kind == b"IEND":
            return  # what is appended behind a picture is no part of it
        at = end


_JPEG_KEPT = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
"""Application segments that say how colours are meant, and how they begin; other users of these numbers go."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    """Segment by segment to the end of the picture: comments also stand between the scans, junk behind the end."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise IndexError("marker")
        kind = data[at + 1]
        if kind == 0xFF:  # padding
            at += 1
            continue
        if kind == 0xD9:
            yield data[at : at + 2]
            return
        (size,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + size
        if end > len(data):
            raise IndexError("segment")
        if kind == 0xDA:  # a scan: coded pixels up to the next marker
            following = _MARKER.search(data, end)
            end = following.start() if following else len(data)
        yield _jpeg_kept(kind, data[at:end])
        if end == len(data):
            return  # the end marker is missing, which decoders forgive
        at = end


def _jpeg_kept(kind: int, segment: bytes) -> bytes:
    """The segment, or nothing of it; JFIF without its thumbnail."""
    if kind in _JPEG_KEPT:
        if not segment[4:].startswith(_JPEG_KEPT[kind]):
            return b""
        return segment if kind != 0xE0 else b"\xff\xe0\x00\x10" + segment[4:16] + b"\0\0"
    return b"" if 0xE0 <= kind <= 0xEF or kind == 0xFE else segment
