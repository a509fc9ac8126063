"""Simple statistics of each decoded picture, from one pass over the pixels, and counts per split and class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from hf_model.audit.pictures import Pictures
from hf_model.config import LABELS

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
STATISTICS = (
    "mean",
    "standard deviation",
    *(f"percentile {p}" for p in PERCENTILES),
    "border mean",
    "border deviation",
    "share of black",
    "share of white",
    "horizontal gradient",
    "vertical gradient",
    "Laplacian",
    "asymmetry",
)
SHARPNESS = "horizontal gradient"
SMALL, TINY = 32, 16
BORDER = 0.06
"""Width of the frame, as a fraction of the side."""


@dataclass(frozen=True, eq=False)
class Measures:
    """Of M pictures. statistics: float64 (M, 17) in the order of ``STATISTICS``; histograms: int64 (M, 256);
    small: uint8 (M, 32, 32); tiny: uint8 (M, 16, 16).
    """

    statistics: np.ndarray
    histograms: np.ndarray
    small: np.ndarray
    tiny: np.ndarray

    @property
    def sharpness(self) -> np.ndarray:
        """Mean absolute difference of horizontal neighbours, grey values, float64 (M,)."""
        return self.statistics[:, STATISTICS.index(SHARPNESS)]


def measure(pictures: Pictures) -> Measures:
    """Statistics, histograms and thumbnails of the decoded pictures."""
    count = len(pictures.pixels)
    statistics = np.empty((count, len(STATISTICS)))
    histograms = np.empty((count, 256), dtype=np.int64)
    small, tiny = (np.empty((count, side, side), dtype=np.uint8) for side in (SMALL, TINY))
    for i, pixels in enumerate(tqdm(pictures.pixels, desc=f"statistics of {pictures.name}")):
        histograms[i] = np.bincount(pixels.ravel(), minlength=256)
        statistics[i] = picture_statistics(pixels, histograms[i])
        picture = Image.fromarray(pixels)
        small[i] = picture.resize((SMALL, SMALL), Image.Resampling.BOX)
        tiny[i] = picture.resize((TINY, TINY), Image.Resampling.BOX)
    return Measures(statistics, histograms, small, tiny)


def picture_statistics(pixels: np.ndarray, histogram: np.ndarray) -> np.ndarray:
    """float64 (17,) of one picture uint8 (H, W) and its histogram (256,); grey values, shares for black and white."""
    total, grey = pixels.size, np.arange(256)
    mean = histogram @ grey / total
    deviation = np.sqrt(max(histogram @ grey**2 / total - mean**2, 0.0))
    percentiles = np.searchsorted(np.cumsum(histogram), np.array(PERCENTILES) / 100 * total)
    edge = max(1, round(BORDER * min(pixels.shape)))
    frame = np.concatenate(
        [
            pixels[:edge].ravel(),
            pixels[-edge:].ravel(),
            pixels[edge:-edge, :edge].ravel(),
            pixels[edge:-edge, -edge:].ravel(),
        ]
    )
    signed = pixels.astype(np.int16)
    across, down = np.abs(np.diff(signed, axis=1)), np.abs(np.diff(signed, axis=0))
    curve = 4 * signed[1:-1, 1:-1] - signed[:-2, 1:-1] - signed[2:, 1:-1] - signed[1:-1, :-2] - signed[1:-1, 2:]
    half = pixels.shape[1] // 2
    asymmetry = abs(float(signed[:, :half].mean()) - float(signed[:, -half:].mean()))
    return np.array(
        [
            mean,
            deviation,
            *percentiles,
            frame.mean(),
            frame.std(),
            histogram[0] / total,
            histogram[255] / total,
            across.mean(),
            down.mean(),
            np.abs(curve).mean(),
            asymmetry,
        ]
    )


def count(pictures: Pictures) -> list[dict[str, Any]]:
    """One entry per split and class: pictures, patients (None if unknown), readable, sizes, modes and bytes."""
    readable = np.zeros(len(pictures), dtype=bool)
    readable[pictures.kept] = True
    out = []
    for split, label, rows in _by_split_and_class(pictures.splits, pictures.split, pictures.labels):
        files = [pictures.files[i] for i in rows]
        opened = [f for f in files if f.width and f.height]
        known = None if pictures.patients is None else {pictures.patients[i] for i in rows} - {None}
        out.append(
            {
                "split": split,
                "class": label,
                "n": len(rows),
                "patients": None if known is None else len(known),
                "readable": int(readable[rows].sum()),
                "width": quantiles([f.width for f in opened]),
                "height": quantiles([f.height for f in opened]),
                "aspect": quantiles([f.width / f.height for f in opened]),
                "bytes": quantiles([f.size for f in files]),
                "modes": dict(Counter(f"{f.format} {f.mode}" for f in opened).most_common()),
            }
        )
    return out


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """Minimum, 5 %, median, 95 % and maximum; None of nothing."""
    if not values:
        return None
    found = np.percentile(np.asarray(values, dtype=float), (0, 5, 50, 95, 100))
    return dict(zip(("least", "low", "median", "high", "largest"), map(float, found), strict=True))


def intensity(pictures: Pictures, histograms: np.ndarray) -> list[dict[str, Any]]:
    """Per split and class, from the histograms int64 (M, 256): the share of each grey value, 256 numbers."""
    out = []
    for split, label, at in _by_split_and_class(pictures.splits, pictures.decoded_split, pictures.decoded_labels):
        if len(at):
            total = histograms[at].sum(axis=0)
            out.append({"split": split, "class": label, "share": (total / total.sum()).round(6).tolist()})
    return out


def mean_pictures(pictures: Pictures) -> dict[tuple[str, str], np.ndarray]:
    """(split, class) -> mean of the decoded pictures, float64 (H, W) in grey values."""
    out = {}
    for split, label, at in _by_split_and_class(pictures.splits, pictures.decoded_split, pictures.decoded_labels):
        if len(at):
            total = np.zeros(pictures.pixels.shape[1:], dtype=np.uint64)
            for i in at:
                total += pictures.pixels[i]
            out[split, label] = total / len(at)
    return out


def _by_split_and_class(
    splits: Sequence[str], split: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[str, str, np.ndarray]]:
    """(split, class name, positions) in the order of ``splits`` and ``LABELS``."""
    for name in splits:
        for label, kind in enumerate(LABELS):
            yield name, kind, np.flatnonzero((split == name) & (labels == label))
