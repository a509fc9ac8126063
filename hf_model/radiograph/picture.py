"""JPEG, PNG, TIFF, WebP and BMP -> grey, by Pillow with an allow-list of formats."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from hf_model.config import MAX_PIXELS, MIN_SIDE
from hf_model.radiograph.types import Finding, Radiograph, UnreadableRadiograph

PICTURE_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")
MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"BM", "BMP"),
)
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "P", "PA", "LA", "La", "RGBa", "1", "L")
PHOTOMETRIC_TAG, WHITE_IS_ZERO = 262, 0
# Chroma is the largest minus the smallest of R, G and B, 0 to 255; areas are fractions of the picture.
COLOUR_SIDE, STRONG_CHROMA, MEAN_CHROMA, COLOURED_AREA, COLOURED_MARKS = 128, 40, 12.0, 0.03, 0.0005
# Orientation of EXIF 2.3, tag 274, as (quarter turns counter-clockwise, then mirror left-right).
ORIENTATION_TAG = 274
TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
DEPTHS = (8, 10, 12, 14, 16)
"""Bits per sample that detectors and their exports use inside a 16-bit container."""


def sniff_picture(data: bytes) -> str | None:
    """The format that the first bytes claim, or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for magic, kind in MAGIC if data.startswith(magic)), None)


def read_picture(data: bytes, name: str, target_side: int | None = None) -> Radiograph:
    """Bytes of one picture file -> Radiograph. Raises UnreadableRadiograph and nothing else."""
    kind = sniff_picture(data)
    try:
        with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as picture:
            return _read(picture, kind, name, target_side)
    except UnreadableRadiograph:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels(name) from error
    except Exception as error:  # on hostile bytes decoders raise many types (struct.error, KeyError, ...)
        raise UnreadableRadiograph(
            "damaged", f"{name} is a damaged or incomplete {kind} file; export or upload it again."
        ) from error


def check_size(width: int, height: int, name: str) -> None:
    """Refuse a picture by its size, before it is decoded."""
    if width * height > MAX_PIXELS:
        raise too_many_pixels(name, width, height)
    if min(width, height) < MIN_SIDE:
        raise UnreadableRadiograph(
            "too-small",
            f"{name} has {width} x {height} pixels and at least {MIN_SIDE} on each side are needed; "
            "upload the original, not a thumbnail.",
        )


def too_many_pixels(name: str, width: int | None = None, height: int | None = None) -> UnreadableRadiograph:
    """The refusal for a picture with more than MAX_PIXELS."""
    size = f"{width} x {height} pixels" if width else "too many pixels"
    return UnreadableRadiograph(
        "too-many-pixels", f"{name} has {size} and the limit is {MAX_PIXELS / 1e6:.0f} megapixels; export it smaller."
    )


def _read(picture: Image.Image, kind: str, name: str, target_side: int | None) -> Radiograph:
    width, height = picture.size
    check_size(width, height, name)
    # Further pictures in a JPEG (MPO: previews, depth maps) are not frames; the first is the photograph itself.
    if kind != "JPEG" and getattr(picture, "n_frames", 1) > 1:
        raise UnreadableRadiograph(
            "multi-frame", f"{name} has {picture.n_frames} frames or pages; export the frontal view alone."
        )
    if kind == "JPEG" and target_side:
        # Pillow picks the largest of 1, 1/2, 1/4, 1/8 that keeps both sides at or above this size
        picture.draft(picture.mode, (2 * target_side, 2 * target_side))
    white_is_zero = kind == "TIFF" and picture.tag_v2.get(PHOTOMETRIC_TAG) == WHITE_IS_ZERO
    picture.load()
    grey, depth, findings = _grey(picture, name, white_is_zero)
    turns, mirrored = TURNS.get(_orientation(picture), (0, False))
    grey = np.rot90(grey, turns)
    grey = np.ascontiguousarray(grey[:, ::-1] if mirrored else grey)
    size = (height, width) if turns % 2 else (width, height)
    return Radiograph(grey, name, kind, size, depth, findings)


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 where the block is missing or broken. (Pillow itself turns TIFF while loading.)"""
    try:
        return int(picture.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # a broken EXIF block must not cost the picture; its parser raises many types
        return 1


def _grey(picture: Image.Image, name: str, white_is_zero: bool) -> tuple[np.ndarray, int, tuple[Finding, ...]]:
    """Decoded picture -> (grey uint8 (H, W), bit depth, findings)."""
    if picture.mode in DEEP_MODES:
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableRadiograph(
                "unsupported-pixels",
                f"{name} has pixel values {values.min()} to {values.max()}; export it as 8 or 16 bit grey.",
            )
        grey, depth = from_unsigned(values.astype(np.uint16))
        # Pillow inverts white-is-zero files of 8 bits, and leaves those of 16 as they are
        return (255 - grey if white_is_zero else grey), depth, ()
    if picture.mode == "F":
        values = np.asarray(picture)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise UnreadableRadiograph(
                "unsupported-pixels", f"{name} has floating point pixels outside 0 to 1; export it as 8 or 16 bit grey."
            )
        return scaled(values, 0, 1), 32, ()
    if picture.mode not in COLOUR_MODES:
        raise UnreadableRadiograph(
            "unsupported-pixels", f"{name} has {picture.mode} pixels; export it as 8 or 16 bit grey."
        )
    if picture.mode == "L" and not picture.has_transparency_data:
        return np.asarray(picture), 8, ()  # most radiographs are so: nothing to convert, so nothing is copied
    opaque = _opaque(picture)
    return np.asarray(opaque.convert("L")), 1 if picture.mode == "1" else 8, colour_findings(opaque)


def colour_findings(picture: Image.Image) -> tuple[Finding, ...]:
    """A flag or note if an L or RGB picture has more colour than a radiograph's slight tint and small marks."""
    if picture.mode == "L":
        return ()
    # On a small averaged copy JPEG's coarse chroma noise is gone and areas of colour remain
    factor = max(1, min(picture.size) // COLOUR_SIDE)
    # Channel by channel: to reduce an axis of three takes NumPy twenty times as long
    red, green, blue = (np.asarray(channel) for channel in picture.reduce(factor).split())
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    coloured = float(np.mean(chroma > STRONG_CHROMA))
    if coloured > COLOURED_AREA or float(chroma.mean()) > MEAN_CHROMA:
        message = "The picture is in colour, as a photograph or screenshot is; a radiograph is grey."
        return (Finding("colour", message, "flag"),)
    if coloured > COLOURED_MARKS:
        message = "Small parts of the picture are in colour (marks or writing?); they were turned grey."
        return (Finding("colour-marks", message, "note"),)
    return ()


def _opaque(picture: Image.Image) -> Image.Image:
    """As L or RGB; transparent parts become black, as the surround of a film is."""
    if not picture.has_transparency_data:
        return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    picture = picture.convert("RGBA")
    if picture.getextrema()[3][0] == 255:
        return picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture).convert("RGB")


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map low..high linearly to 0..255, rounded to nearest, clipped; uint8 of the same shape."""
    grey = (values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64) - low) * (255.0 / (high - low))
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def depth_of(values: np.ndarray) -> int:
    """Bits that unsigned samples in a 16-bit container use: the smallest of 8, 10, 12, 14, 16 that holds their maximum.

    A file does not say: 12-bit detectors are exported as 16-bit files with values up to 4095, which would be black if
    they were read as 16 bit. Files whose values are all multiples of 257 are 8-bit pictures written as 16 bit (0xab ->
    0xabab) and count as 16 bit however dark they are.
    """
    largest = int(values.max(initial=0))
    if largest > 255 and not np.any(values % 257):
        return 16
    return next(depth for depth in DEPTHS if largest < 2**depth)


def from_unsigned(values: np.ndarray, depth: int | None = None) -> tuple[np.ndarray, int]:
    """Unsigned samples up to 65535 -> (grey uint8, the bit depth that was taken).

    ``round(value * 255 / (2**depth - 1))``: an 8-bit picture written as 16 bit (times 257) comes back exactly.
    """
    depth = depth or depth_of(values)
    if depth == 8:
        return values.astype(np.uint8), 8
    # one table look-up per pixel instead of arithmetic on a float copy
    table = scaled(np.arange(2**depth), 0, 2**depth - 1)
    return table[values], depth
