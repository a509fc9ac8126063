"""Pictures that are nearly the same: one film under another compression, size, brightness, frame, or mirrored.

Found in two steps. A perceptual hash (64 signs of the lowest cosine frequencies about their median: Zauner 2010, as in
the package ``imagehash``) proposes pairs, also against mirrored pictures; the correlation of the pictures at 64 px
decides. The hash alone is no evidence here: chests are so alike that on the published data it proposes thousands of
pairs of different children. The correlation has to hold inside even borders too: two different chests in the same black
frame correlate because of the frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.fft import dctn

HASH_DISTANCE = 10
"""Bits of 64. Two renderings of one picture of the published data differ in 8 at most (5,856 measured)."""
CORRELATION = 0.975
"""Two renderings of one picture correlate with 0.987 and more (median 0.999); different pictures with 0.96 at most.
Framed in black to 60 % of their width, 137 pairs of 2,000 different pictures passed it, inside their frames none."""
HASH_SIDE, PIXEL_SIDE, LOW = 32, 64, 8
EVEN = 4.0
"""Standard deviation, in grey values at 64 px, up to which a row or column at the edge is a border."""
MOST_BORDER = 0.75
"""Share of a side that may be border; a picture with more is taken as it is."""
_BLOCK = 512


@dataclass(frozen=True)
class Pair:
    """Two pictures (positions in 0 to M) that are nearly the same."""

    first: int
    second: int
    distance: int
    correlation: float
    mirrored: bool


def near_pairs(
    pixels: Sequence[np.ndarray] | np.ndarray, hashes: Sequence[str], side: np.ndarray | None = None
) -> list[Pair]:
    """Pairs of pictures that are nearly, but not exactly, the same.

    Args:
        pixels: uint8 (M, H, W), or M pictures of one size. hashes: M; pictures with equal ones are left out. side:
            (M,); only pairs of two different values are looked for, which is quicker.
    """
    small = thumbnails(pixels, PIXEL_SIDE)
    exact = np.unique(np.asarray(hashes), return_inverse=True)[1]
    code, turned = perceptual_hash(small), small[:, :, ::-1]
    found: dict[tuple[int, int], Pair] = {}
    for flip, other, other_code in ((False, small, code), (True, turned, perceptual_hash(turned))):
        for first, second, distance in _candidates(code, other_code, side):
            if exact[first] == exact[second] or (first, second) in found:
                continue
            one, two = small[first], other[second]
            correlation = _correlation(one, two)
            if correlation >= CORRELATION:
                box = _shared(_inner_box(one), _inner_box(two))
                if _correlation(one[box], two[box]) >= CORRELATION:
                    found[first, second] = Pair(first, second, distance, correlation, flip)
    return sorted(found.values(), key=lambda pair: -pair.correlation)


def thumbnails(pixels: Sequence[np.ndarray] | np.ndarray, side: int) -> np.ndarray:
    """uint8 (M, H, W) -> uint8 (M, side, side), each pixel the mean of its area."""

    def shrink(picture: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))

    if not len(pixels):
        return np.empty((0, side, side), np.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow resizes without Python's lock
        return np.stack(list(pool.map(shrink, pixels)))


def _inner_box(small: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of uint8 (64, 64) between even borders."""
    return _between(small.std(axis=1)), _between(small.std(axis=0))


def _between(deviation: np.ndarray) -> slice:
    uneven = np.flatnonzero(deviation > EVEN)
    if not len(uneven) or uneven[-1] + 1 - uneven[0] < (1 - MOST_BORDER) * len(deviation):
        return slice(0, len(deviation))
    return slice(int(uneven[0]), int(uneven[-1]) + 1)


def _shared(first: tuple[slice, slice], second: tuple[slice, slice]) -> tuple[slice, slice]:
    """Where both have a picture; everything where that is nowhere."""
    both = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first, second, strict=True)]
    if any(part.stop - part.start < 2 for part in both):
        return slice(0, PIXEL_SIDE), slice(0, PIXEL_SIDE)
    return both[0], both[1]


def perceptual_hash(small: np.ndarray) -> np.ndarray:
    """uint8 (M, 64, 64) -> uint64 (M,): which of the 8 x 8 lowest frequencies at 32 px lie above their median."""
    half = small.reshape(len(small), HASH_SIDE, 2, HASH_SIDE, 2).mean(axis=(2, 4), dtype=np.float32)
    waves = dctn(half, axes=(1, 2), norm="ortho")[:, :LOW, :LOW].reshape(len(small), -1)
    above = waves > np.median(waves, axis=1, keepdims=True)
    return np.packbits(above, axis=1).view(np.uint64)[:, 0]


def _candidates(code: np.ndarray, other: np.ndarray, side: np.ndarray | None) -> Iterator[tuple[int, int, int]]:
    """(first, second, distance) with first < second and few differing bits."""
    for start in range(0, len(code), _BLOCK):
        distance = np.bitwise_count(code[start : start + _BLOCK, None] ^ other[None, :])
        rows, columns = np.nonzero(distance <= HASH_DISTANCE)
        upper = rows + start < columns
        if side is not None:
            upper &= side[rows + start] != side[columns]
        yield from zip(
            (rows[upper] + start).tolist(),
            columns[upper].tolist(),
            distance[rows[upper], columns[upper]].tolist(),
            strict=True,
        )


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    # pair by pair from the bytes: standardised copies of 50,000 thumbnails would take 800 MB
    one, two = standardised(np.stack([first, second]))
    return float(one @ two)


def standardised(small: np.ndarray) -> np.ndarray:
    """float32 (M, side * side), each with mean 0 and norm 1; zeros for an even picture."""
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
