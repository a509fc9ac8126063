"""What a picture file says before it is decoded."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from hf_model.data.loading import read_bytes
from hf_model.radiograph.dicom import has_prefix, looks_like_dicom

DICOM = "DICOM"
_TAGS = ["Rows", "Columns", "PhotometricInterpretation", "BitsStored"]


@dataclass(frozen=True)
class Header:
    """What a file says before it is decoded. format, mode and the sizes are None where no picture opens.

    size: bytes. mode: Pillow's, or of DICOM the photometric interpretation and the bits stored, "MONOCHROME2 12".
    """

    size: int
    sha256: str
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None


def read_header(image: dict[str, object] | None) -> Header:
    """Length, SHA-256 and what Pillow, or pydicom of a DICOM file, tells of a picture without decoding it."""
    try:
        data = read_bytes(image)
    except OSError:
        return Header(0, "")
    digest = hashlib.sha256(data).hexdigest()
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return Header(len(data), digest, picture.format, picture.mode, *picture.size)
    except Exception:  # format readers raise anything at all on broken bytes; what is wrong is told by integrity
        if has_prefix(data) or looks_like_dicom(data):
            return Header(len(data), digest, *_dicom_facts(data))
        return Header(len(data), digest)


def _dicom_facts(data: bytes) -> tuple[str, str, int, int] | tuple[()]:
    """Format, mode, width and height; nothing where the header is broken or describes no picture."""
    from pydicom import dcmread

    try:
        found = dcmread(io.BytesIO(data), force=True, stop_before_pixels=True, specific_tags=_TAGS)
        height, width = int(found.get("Rows") or 0), int(found.get("Columns") or 0)
        mode = f"{found.get('PhotometricInterpretation', 'unknown')} {found.get('BitsStored', '?')}"
    except Exception:  # pydicom raises anything at all on broken bytes; what is wrong is told by integrity
        return ()
    return (DICOM, mode, width, height) if width and height else ()
