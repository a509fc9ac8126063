"""Sample values -> 8-bit grey, by rules that are written down."""

from __future__ import annotations

import numpy as np

DEPTHS = (8, 10, 12, 14, 16)
"""Bits per sample that detectors and their exports use inside a 16-bit container."""


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


def from_unit_floats(values: np.ndarray) -> np.ndarray | None:
    """Floating point samples 0..1 -> grey uint8; None where any lies outside or is not finite."""
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        return None
    return scaled(values, 0, 1)
