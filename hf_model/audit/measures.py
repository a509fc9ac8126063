"""Simple numbers of each decoded picture, all in one pass over the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from hf_model.audit.pictures import Pictures

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
    """Go once over the decoded pixels."""
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
