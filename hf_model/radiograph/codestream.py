"""The size that a compressed frame itself claims, read before a decoder gets it."""

from __future__ import annotations

import struct

JPEG_START, JPEG2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
# Start-of-frame markers of T.81 (C0 to CF but for DHT C4, JPG C8, DAC CC) and of JPEG-LS, T.87 (F7).
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


def frame_size(stream: bytes) -> tuple[int, int] | None:
    """(width, height) of a JPEG, JPEG-LS or JPEG 2000 stream; None for any other (RLE has no size of its own).

    Raises ValueError for a JPEG stream without a frame header.
    """
    if stream.startswith(JPEG_START):
        return _jpeg_size(stream)
    start = stream[:4096].find(JPEG2000_START)
    if start < 0:
        return None
    # SIZ (T.800 A.5.1): marker, length, capabilities, then width and height of the grid and the picture's offset in it
    right, bottom, left, top = struct.unpack_from(">4I", stream, start + 8)
    return right - left, bottom - top


def _jpeg_size(stream: bytes) -> tuple[int, int]:
    position = 2
    while position + 9 <= len(stream):
        if stream[position] != 0xFF:
            break
        marker = stream[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in BARE_MARKERS:
            position += 2
        elif marker in FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", stream, position + 5)
            return width, height
        else:
            position += 2 + struct.unpack_from(">H", stream, position + 2)[0]
    raise ValueError("no frame header")
