"""Read any upload: bytes or a path -> one validated grey radiograph, or a refusal with its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hf_model.config import MAX_UPLOAD_BYTES
from hf_model.radiograph.dicom import has_prefix, looks_like_dicom, read_dicom
from hf_model.radiograph.picture import read_picture, sniff_picture
from hf_model.radiograph.types import Radiograph, UnreadableRadiograph

CODES = {
    "missing": "there is no such file",
    "empty": "the file has no bytes",
    "too-large": "more bytes than MAX_UPLOAD_BYTES",
    "not-a-picture": "none of the formats that are read",
    "damaged": "of a known format, but broken or cut short",
    "too-many-pixels": "more pixels than MAX_PIXELS",
    "too-small": "the shorter side is below MIN_SIDE",
    "multi-frame": "more than one frame or page",
    "unsupported-pixels": "sample values that have no agreed grey",
    "unsupported-compression": "a DICOM transfer syntax that cannot be decoded here",
    "no-pixels": "a DICOM object without a picture",
}
"""Every code of ``UnreadableRadiograph``."""

ACCEPTED = "JPEG, PNG, TIFF, WebP, BMP or DICOM"
# What people upload by mistake, recognised by its first bytes: naming it helps more than "not a picture".
OTHERS = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive or office document"),
    (b"GIF8", "a GIF"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 stream"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"<", "a text, HTML or SVG document"),
)


def read_radiograph(
    source: bytes | str | Path, *, name: str | None = None, target_side: int | None = None
) -> Radiograph:
    """Read one upload.

    source: the file's bytes, or its path. name: what messages call it (default: the path's name, or "the upload").
    target_side: side in pixels that the picture will be resized to; a JPEG may then be decoded at 1/2, 1/4 or 1/8 of
    its size as long as its shorter side stays at least twice that. Content decides the format, never the extension.

    Raises UnreadableRadiograph and, whatever the content, nothing else.
    """
    data, name = _load(source, name)
    return replace(_decode(data, name, target_side), file_size=len(data))


def _decode(data: bytes, name: str, target_side: int | None) -> Radiograph:
    # DICOM first: its preamble may be a TIFF header, so that one file is both (PS3.10 7.1)
    if has_prefix(data):
        return read_dicom(data, name)
    if sniff_picture(data):
        return read_picture(data, name, target_side)
    if looks_like_dicom(data):
        return read_dicom(data, name)
    raise UnreadableRadiograph("not-a-picture", f"{name} is {_described(data)}; upload a {ACCEPTED} file.")


def _load(source: bytes | str | Path, name: str | None) -> tuple[bytes, str]:
    """The bytes, checked for size before they are read, and the name for messages."""
    if isinstance(source, bytes | bytearray | memoryview):
        name = name or "the upload"
        _check_length(len(source), name)
        return bytes(source), name
    path = Path(source)
    name = name or path.name
    try:
        if not path.is_file():
            raise UnreadableRadiograph("missing", f"{name} does not exist or is not a file; check the path.")
        _check_length(path.stat().st_size, name)
        return path.read_bytes(), name
    except (OSError, ValueError) as error:
        if isinstance(error, UnreadableRadiograph):
            raise
        raise UnreadableRadiograph("missing", f"{name} cannot be opened; check its permissions.") from error


def _check_length(length: int, name: str) -> None:
    if length == 0:
        raise UnreadableRadiograph("empty", f"{name} is empty; upload it again.")
    if length > MAX_UPLOAD_BYTES:
        raise UnreadableRadiograph(
            "too-large",
            f"{name} has {length / 2**20:.0f} MiB and the limit is {MAX_UPLOAD_BYTES / 2**20:.0f} MiB; "
            "export it with fewer pixels or with compression.",
        )


def _described(data: bytes) -> str:
    head = data[:64].lstrip()
    for magic, what in OTHERS:
        if data.startswith(magic) or (magic == b"<" and head.startswith(magic)):
            return what
    if data[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    return "not a picture in a known format"
