"""Pictures that are in the data set more than once: exactly, or under another compression, size or brightness.

Near duplicates are found in two steps. A perceptual hash (64 signs of the lowest cosine frequencies about their
median: Zauner 2010, as in the package ``imagehash``) proposes pairs, also against mirrored pictures; the correlation
of the pictures at 64 px decides. The hash alone is no evidence here: chests are so alike that on the published data it
proposes thousands of pairs of different children.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from hf_model.audit.pictures import Pictures

HASH_DISTANCE = 10
"""Bits of 64. Two renderings of one picture of the published data differ in 8 at most (5,856 measured)."""
CORRELATION = 0.975
"""Two renderings of one picture correlate with 0.987 and more (median 0.999); different pictures with 0.96 at most."""
HASH_SIDE, PIXEL_SIDE, LOW = 32, 64, 8
_BLOCK = 512


@dataclass(frozen=True)
class Pair:
    """Two decoded pictures (positions in 0 to M) that are nearly the same."""

    first: int
    second: int
    distance: int
    correlation: float
    mirrored: bool


def thumbnails(pixels: Sequence[np.ndarray] | np.ndarray, side: int) -> np.ndarray:
    """uint8 (M, H, W) -> uint8 (M, side, side), each pixel the mean of its area."""
    out = np.empty((len(pixels), side, side), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        out[i] = Image.fromarray(picture).resize((side, side), Image.Resampling.BOX)
    return out


def perceptual_hash(small: np.ndarray) -> np.ndarray:
    """uint8 (M, 32, 32) -> uint64 (M,): which of the 8 x 8 lowest frequencies lie above their median."""
    waves = dctn(small.astype(np.float32), axes=(1, 2), norm="ortho")[:, :LOW, :LOW].reshape(len(small), -1)
    above = waves > np.median(waves, axis=1, keepdims=True)
    return np.packbits(above, axis=1).view(np.uint64)[:, 0]


def equal_groups(keys: Sequence[Hashable]) -> list[list[int]]:
    """Positions that share a key, two and more, in order of their first."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        members[key].append(position)
    return [group for group in members.values() if len(group) > 1]


def near_pairs(
    pixels: Sequence[np.ndarray] | np.ndarray, hashes: Sequence[str], side: np.ndarray | None = None
) -> list[Pair]:
    """Pairs of pictures that are nearly, but not exactly, the same.

    Args:
        pixels: uint8 (M, H, W), or M pictures of one size. hashes: M; pictures with equal ones are left to
            ``equal_groups``. side: (M,); only pairs of two different values are looked for, which is quicker.
    """
    small, large = thumbnails(pixels, HASH_SIDE), thumbnails(pixels, PIXEL_SIDE)
    code = perceptual_hash(small)
    exact = np.unique(np.asarray(hashes), return_inverse=True)[1]
    plain, mirrored = standardised(large), standardised(large[:, :, ::-1])
    found: dict[tuple[int, int], Pair] = {}
    for flip, other in ((False, code), (True, perceptual_hash(small[:, :, ::-1]))):
        for first, second, distance in _candidates(code, other, side):
            if exact[first] == exact[second] or (first, second) in found:
                continue
            correlation = float(plain[first] @ (mirrored if flip else plain)[second])
            if correlation >= CORRELATION:
                found[first, second] = Pair(first, second, distance, correlation, flip)
    return sorted(found.values(), key=lambda pair: -pair.correlation)


def _candidates(code: np.ndarray, other: np.ndarray, side: np.ndarray | None):
    """(first, second, distance) with first < second and few differing bits."""
    for start in range(0, len(code), _BLOCK):
        distance = np.bitwise_count(code[start : start + _BLOCK, None] ^ other[None, :])
        rows, columns = np.nonzero(distance <= HASH_DISTANCE)
        upper = rows + start < columns
        if side is not None:
            upper &= side[rows + start] != side[columns]
        yield from zip((rows[upper] + start).tolist(), columns[upper].tolist(),
                       distance[rows[upper], columns[upper]].tolist(), strict=True)  # fmt: skip


def standardised(small: np.ndarray) -> np.ndarray:
    """float32 (M, side * side), each with mean 0 and norm 1; zeros for an even picture."""
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def describe_group(pictures: Pictures, positions: Sequence[int]) -> dict[str, Any]:
    """One group of equal pictures as JSON; positions are in 0 to M."""
    rows = [int(pictures.kept[p]) for p in positions]
    patients = None if pictures.patients is None else sorted({pictures.patients[r] for r in rows})
    return {
        "files": [pictures.where(r) for r in rows],
        "splits": sorted({str(pictures.split[r]) for r in rows}),
        "labels": sorted({int(pictures.labels[r]) for r in rows}),
        "patients": patients,
    }


def summarise_groups(groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of groups from ``describe_group``, and the groups."""
    return {
        "groups": len(groups),
        "files": sum(len(g["files"]) for g in groups),
        "across_splits": sum(len(g["splits"]) > 1 for g in groups),
        "label_conflicts": sum(len(g["labels"]) > 1 for g in groups),
        "across_patients": sum(len(g["patients"] or ()) > 1 for g in groups),
        "list": groups,
    }


def find_duplicates(pictures: Pictures) -> tuple[dict[str, Any], list[Pair]]:
    """The JSON part on duplicates (of files, of decoded pixels, near), and the near pairs."""
    pairs = near_pairs(pictures.pixels, pictures.hashes)
    files = equal_groups([header.sha256 or f"row {i}" for i, header in enumerate(pictures.headers)])
    exact = [describe_group(pictures, g) for g in equal_groups(pictures.hashes)]
    near = [describe_group(pictures, (p.first, p.second)) |
            {"correlation": p.correlation, "distance": p.distance, "mirrored": p.mirrored} for p in pairs]  # fmt: skip
    return {
        "rendering": pictures.name,
        "pixel_size": list(pictures.pixels.shape[1:]),
        "equal_files": {"groups": len(files), "files": sum(map(len, files))},
        "exact": summarise_groups(exact),
        "near": summarise_groups(near),
        "surplus_pictures": len(pictures.hashes) - _distinct(pairs, pictures.hashes),
        "method": f"perceptual hash within {HASH_DISTANCE} of 64 bits, then correlation at {PIXEL_SIDE} px of at "
        f"least {CORRELATION}; mirrored copies too",
    }, pairs


def _distinct(pairs: list[Pair], hashes: Sequence[str]) -> int:
    """How many pictures are left when equal and nearly equal ones count once."""
    exact = np.unique(np.asarray(hashes), return_inverse=True)[1]
    ends = exact[np.array([(p.first, p.second) for p in pairs], dtype=np.int64).reshape(-1, 2)]
    size = int(exact.max()) + 1
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    return int(connected_components(graph, directed=False)[0])
